# shellcheck shell=bash
# Processes by identity, ports by attempt, and the watchdog. Sourced by scripts/servers.

# A pid alone may have been given to someone else since; with the kernel's start time it names one process for ever.
start_time_of() {
  local stat fields
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # The second field is the program's name in parentheses and may hold spaces: count from behind it.
  read -r -a fields <<<"${stat##*) }"
  # A zombie has ended, whatever /proc still shows.
  [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
  printf '%s' "${fields[19]}"
}

# record_pid FILE PID: writes "pid start-time".
record_pid() {
  local started
  started=$(start_time_of "$2") || return 1
  printf '%s %s\n' "$2" "$started" >"$1"
}

# live_pid FILE: prints the recorded pid if that very process still runs.
live_pid() {
  local pid started
  [[ -s $1 ]] && read -r pid started <"$1" || return 1
  [[ $(start_time_of "$pid") == "$started" ]] || return 1
  printf '%s' "$pid"
}

# until_within SECONDS COMMAND…: polls COMMAND every 50 ms; fails once the time is over.
until_within() {
  local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
  shift
  until "$@"; do
    ((${EPOCHREALTIME/[.,]/} < deadline)) || return 1
    sleep 0.05
  done
}

has_ended() { ! live_pid "$1" >/dev/null; }

# end_process FILE SIGNAL SECONDS: asks the recorded process to end, then insists. Never touches any other process.
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

# launch PIDFILE OUTPUT COMMAND…: starts COMMAND in a session of its own, so that a Ctrl-C meant for the caller does not reach
# it, holding none of the caller's descriptors: an inherited pipe or lock would keep the caller's readers waiting for ever.
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
  # A process that ended at once leaves no record; the caller finds out from live_pid and from the output.
  record_pid "$pidfile" "$pid" || rm -f "$pidfile"
}

# free_port: a loopback port that nothing listens on, below the range from which the kernel serves outgoing connections. It is
# a guess that another process may take first; whoever binds it must be ready to be refused and to ask for the next guess.
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

# watch_owner DIR PID EPHEMERAL: stops DIR's servers once process PID is gone, also when it had no chance to say so.
watch_owner() {
  local dir=$1 owner=$2 options=()
  [[ $3 == no ]] || options=(--purge)
  live_pid "$dir/watchdog.pid" >/dev/null && return
  record_pid "$dir/owner.pid" "$owner" || die "the owner, process $owner, does not run"
  launch "$dir/watchdog.pid" "$dir/watchdog.log" "$scripts/servers" watch "$dir" "${options[@]}"
}
