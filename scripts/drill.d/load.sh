# shellcheck shell=bash
# Events that come all the time, and whether all of them have arrived. Each is of a client of its own, so that each leads to an
# e-mail. Sourced by scripts/drill, which sets `work` and `organisation`.
# shellcheck disable=SC2154

clients=6000

event() { # event ID TYPE CLIENT
  printf '{"specversion":"1.0","id":"%s","source":"/drill/crm","type":"%s","time":"%s","subject":"%s","orgid":"%s","data":{}}\n' \
    "$1" "$2" "$(date -u +%FT%TZ)" "$3" "$organisation"
}

add_clients() {
  {
    echo 'email,/drill/crm:id'
    for ((number = 1; number <= clients; number++)); do printf 'lead%d@example.com,cus_%d\n' "$number" "$number"; done
  } >"$work/clients.csv"
  in_shell "journey contact import clients.csv --org 'Acme Ltd'" >/dev/null
}

# Two a second. What the broker has not confirmed is sent again, as senders do; `load/published` has what it has confirmed.
start_load() {
  : >"$work/load/published"
  (
    for ((number = 1; number < clients; number += 2)); do
      for each in "$number" "$((number + 1))"; do event "load_$each" lead_created "cus_$each"; done >"$work/load/next.jsonl"
      until in_shell 'journey publish --timeout 5s load/next.jsonl'; do
        [[ ! -f $work/load/stop ]] || exit 0
        sleep 0.5
      done
      cat "$work/load/next.jsonl" >>"$work/load/published"
      [[ ! -f $work/load/stop ]] || exit 0
      sleep 1
    done
  ) >"$work/run/load.log" 2>&1 &
  load_pid=$!
  echo "$load_pid" >"$work/run/load.pid"
}

stop_load() {
  touch "$work/load/stop"
  wait "$load_pid" || true
}

# waiting [FEW]: how many events and actions wait that should not for long; 0 also for a few that come and go.
waiting() {
  # In the queues, as they were at most 5 s ago.
  { curl -fs --max-time 3 "http://127.0.0.1:$probes/metrics" || echo 'journey_actions_unpublished 999'; } | awk -v few="${1:-5}" '
    /^journey_queue_messages\{queue="journey[.](ingest|retry|actions)/ || /^journey_actions_unpublished / { sum += $2 }
    END { print (sum > few ? sum : 0) }'
}

# session SQL: a session that runs the statement and then stays, idle, until the server ends it or the drill does.
session() {
  local input
  # shellcheck source=/dev/null
  source "$servers/postgres/settings"
  # shellcheck disable=SC2154
  exec {input}> >(PGPASSWORD=$postgres_password PGAPPNAME=host-application exec psql --quiet --no-align --tuples-only \
    -h 127.0.0.1 -p "$postgres_port" -U postgres -d journey >/dev/null 2>&1)
  printf '%s;\n' "$1" >&"$input"
}

# check_nothing_lost: every event that the broker has confirmed is stored once and has led to an action, and every action is
# published and reported as delivered by the worker.
check_nothing_lost() {
  local limit=$((SECONDS + 90)) sent state='' expected lost
  sent=$(sort -u "$work/load/published" | wc -l)
  expected="stored $sent, once $sent, with an action $sent, delivered $sent, not published 0"
  until [[ $state == "$expected" ]]; do
    ((SECONDS < limit)) || { warn "expected: $expected"; warn "found:    $state"; break; }
    sleep 1
    state=$(database "
      SELECT format('stored %s, once %s, with an action %s, delivered %s, not published %s', count(*),
        count(DISTINCT e.source_event_id), count(DISTINCT a.event_id),
        count(DISTINCT a.event_id) FILTER (WHERE a.state = 'delivered'),
        count(*) FILTER (WHERE a.published_at IS NULL))
      FROM client_journey_events e LEFT JOIN journey_actions a ON a.event_id = e.id
      WHERE e.source = '/drill/crm'") || true
  done
  lost=$(comm -23 <(grep -oE '"id":"[a-z_0-9]+"' "$work/load/published" | cut -d '"' -f 4 | sort -u) \
    <(database "SELECT source_event_id FROM client_journey_events WHERE source = '/drill/crm'" | sort -u))
  [[ -z $lost ]] || warn "lost: ${lost//$'\n'/ }"
  detail "sent $sent: $state; lost $(wc -w <<<"$lost")"
  [[ -z $lost && $state == "$expected" ]]
}
