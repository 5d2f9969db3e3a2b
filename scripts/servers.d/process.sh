# shellcheck shell=bash
# Process identities, free ports and the watchdog. Sourced by scripts/servers.

# The kernel may reuse a pid. Together with the start time it identifies one process.
start_time_of() {
  local stat fields
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # The second field is the program's name in parentheses and may contain spaces, so count from its end.
  read -r -a fields <<<"${stat##*) }"
  # A zombie counts as ended.
  [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
  printf '%s' "${fields[19]}"
}

# record_pid FILE PID: writes "pid start-time".
record_pid() {
  local started
  started=$(start_time_of "$2") || return 1
  printf '%s %s\n' "$2" "$started" >"$1"
}

# live_pid FILE: prints the recorded pid if that process still runs.
live_pid() {
  local pid started
  [[ -s $1 ]] && read -r pid started <"$1" || return 1
  [[ $(start_time_of "$pid") == "$started" ]] || return 1
  printf '%s' "$pid"
}

# until_within SECONDS COMMAND…: polls COMMAND every 50 ms; fails after the time limit.
until_within() {
  local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
  shift
  until "$@"; do
    ((${EPOCHREALTIME/[.,]/} < deadline)) || return 1
    sleep 0.05
  done
}

has_ended() { ! live_pid "$1" >/dev/null; }

# end_process FILE SIGNAL SECONDS: signals the recorded process, and kills it after the time limit. Never affects another process.
end_process() {
  local pid
  if pid=$(live_pid "$1"); then
    kill -s "$2" "$pid" 2>/dev/null || true
    if ! until_within "$3" has_ended "$1"; then
      warn "process $pid ignored SIG$2 for $3 s; killing it"
      kill -s KILL "$pid" 2>/dev/null || true
      until_within 10 has_ended "$1" || return 1
    fi
  fi
  rm -f "$1"
}

# launch PIDFILE OUTPUT COMMAND…: starts COMMAND in a session of its own, so that Ctrl-C does not reach it, and without the
# caller's descriptors: an inherited pipe or lock would block the caller's readers forever.
launch() {
  local pidfile=$1 output=$2 pid
  shift 2
  (
    local descriptor number
    for descriptor in /proc/"$BASHPID"/fd/*; do
      number=${descriptor##*/}
      ((number <= 2)) || eval "exec $number>&-"
    done 2>/dev/null
    exec setsid "$@" </dev/null >>"$output" 2>&1
  ) &
  pid=$!
  disown "$pid"
  # A process that ended at once has no pid file; the caller sees it by live_pid and the output.
  record_pid "$pidfile" "$pid" || rm -f "$pidfile"
}

# free_port: a loopback port without a listener, below the kernel's range for outgoing connections. Another process may take it
# first, so the caller must be prepared to fail and to try another one.
free_port() {
  local low=10000 high=32768 port used
  { read -r high _ </proc/sys/net/ipv4/ip_local_port_range; } 2>/dev/null || true
  ((high > low + 1000)) || high=32768
  used=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '{ split($2, local, ":"); print local[2] }')
  while :; do
    port=$((low + SRANDOM % (high - low)))
    grep -qix "$(printf '%04X' "$port")" <<<"$used" || break
  done
  printf '%d' "$port"
}

# watch_owner DIR PID EPHEMERAL: stops DIR's servers when process PID has ended, also if it was killed.
watch_owner() {
  local dir=$1 owner=$2 options=()
  [[ $3 == no ]] || options=(--purge)
  live_pid "$dir/watchdog.pid" >/dev/null && return
  record_pid "$dir/owner.pid" "$owner" || die "the owner, process $owner, does not run"
  launch "$dir/watchdog.pid" "$dir/watchdog.log" "$scripts/servers" watch "$dir" "${options[@]}"
}
