# shellcheck shell=bash
# The faults. `plant_NAME` causes one; `faults` says which alert has to fire, within how many seconds, which cure of the alert's
# section in docs/runbook.md ends it (the start of a paragraph in bold), and within how many seconds the alert has to clear.
# Sourced by scripts/drill.
# shellcheck disable=SC2034,SC2154

# NAME ALERT SECONDS CLEARS CURE
faults=(
  'killed-again-and-again JourneyRestarts              40 110 It is killed'
  'database-stopped       JourneyEventsNotStored       20  40 The database has stopped'
  'privilege-revoked      JourneyEventsNotStored       25  75 A privilege is missing'
  'row-locked             JourneyPromiseFastBurn       45  60 A transaction holds locks'
  'broker-stopped         JourneyNotConsuming          20  60 The broker has stopped'
  'memory-alarm           JourneyPublishingBlocked     25  30 It is short of memory'
  'disk-alarm             JourneyPublishingBlocked     25  30 It is short of disk'
  'action-queue-missing   JourneyActionsNotPublished   40  60 The queue is missing, or not bound'
  'action-queue-full      JourneyActionsNotPublished   40  60 The queue is full'
  'worker-gone            JourneyWorkerGone            50  20 The worker has ended'
  'killed                 JourneyDown                  20  30 It has ended'
  'unknown-clients        JourneyRetries               30  90 Clients were not created'
  'frozen                 JourneyDown                  20  30 It is frozen'
  'one-of-two-frozen      JourneyInstanceDown          30  30 It has ended, or is frozen'
  'unknown-types          JourneyDeadLetters           30  90 They are of no use'
  'connections-leaked     JourneyConnectionsNearLimit  40  30 A program leaks them'
  'pause-forgotten        JourneyPaused               110  30 It is forgotten'
  'hold-forgotten         JourneyHoldOpen             200  30 It is forgotten'
)

plant_database_stopped() { in_shell 'systemctl stop postgresql'; }
plant_broker_stopped() { in_shell 'systemctl stop rabbitmq-server'; }
plant_worker_gone() { in_shell 'systemctl stop email-worker'; }
plant_killed() { in_shell 'systemctl kill --signal=KILL journey'; }
plant_pause_forgotten() { in_shell 'journey pause --reason drill'; }
plant_hold_forgotten() { in_shell 'journey hold add --channel voice --reason drill'; }
plant_privilege_revoked() { database 'REVOKE INSERT ON client_journey_events FROM journey_adapter'; }
plant_frozen() { kill -STOP "$(<"$work/run/journey.pid")"; }

# A second instance, on a machine of its own. The first one keeps the promise meanwhile.
start_other() {
  machine=-2
  in_shell 'systemctl start journey'
  until_ready
  scrape "$probes" "$other_probes"
  # Its first scrape.
  until [[ $(curl -fs "http://127.0.0.1:$prometheus/api/v1/query?query=count(up==1)") == *'"2"'* ]]; do sleep 0.5; done
}
stop_other() {
  scrape "$probes"
  in_shell 'systemctl stop journey'
  machine=''
}

plant_one_of_two_frozen() {
  start_other
  kill -STOP "$(<"$work/run/journey-2.pid")"
}
after_one_of_two_frozen() { stop_other; }

plant_killed_again_and_again() {
  local time
  start_other
  for time in first second third; do
    echo "the $time time"
    in_shell 'systemctl kill --signal=KILL journey; systemctl start journey'
    until_ready
    sleep 2
  done
}
after_killed_again_and_again() { stop_other; }

# The broker blocks who publishes, so the adapter needs something to publish: events that have waited.
plant_alarm() {
  in_shell 'journey pause --reason drill'
  sleep 6
  in_shell "$1; sleep 1; journey resume"
}
plant_memory_alarm() { plant_alarm 'rabbitmqctl set_vm_memory_high_watermark 0.00001'; }
plant_disk_alarm() { plant_alarm 'rabbitmqctl set_disk_free_limit 900GB'; }

# A session that has forgotten its transaction, with every lead locked.
plant_row_locked() { session 'BEGIN; SELECT count(*) FROM (SELECT FROM contacts FOR UPDATE) locked'; }

# With nothing in it: what a deleted queue holds is lost with it.
plant_action_queue_missing() {
  in_shell 'journey pause --reason "to delete the queue while it is empty"'
  until [[ $(waiting 0) == 0 ]]; do sleep 0.5; done
  in_shell 'sleep 6; systemctl stop email-worker; rabbitmqctl delete_queue journey.actions.email; journey resume'
}
after_action_queue_missing() { in_shell 'systemctl start email-worker'; }

plant_action_queue_full() {
  in_shell "systemctl stop email-worker
    rabbitmqctl set_policy drill '^journey[.]actions[.]email\$' '{\"max-length\": 3}' --apply-to queues --priority 20"
}
after_action_queue_full() { in_shell 'rabbitmqctl clear_policy drill'; }

# Events of clients that do not exist yet; contacts.csv, which the cure imports, has them.
plant_unknown_clients() {
  local number client
  echo 'id,email' >"$work/contacts.csv"
  for number in {1..30}; do
    client=$(</proc/sys/kernel/random/uuid)
    printf '%s,new%s@example.com\n' "$client" "$number" >>"$work/contacts.csv"
    event "new_$number" note_added "$client"
  done >"$work/load/new.jsonl"
  in_shell 'journey publish load/new.jsonl'
  cat "$work/load/new.jsonl" >>"$work/load/published"
}

plant_unknown_types() {
  local number
  for number in {1..40}; do event "odd_$number" frobnicated "cus_$number"; done >"$work/load/odd.jsonl"
  in_shell 'journey publish load/odd.jsonl'
}

# All but two or so of the 37 that there are for users.
plant_connections_leaked() {
  until (($(database "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") >= 36)); do
    session 'SELECT 1'
    sleep 0.1
  done
}
