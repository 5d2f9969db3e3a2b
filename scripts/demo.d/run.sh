# shellcheck shell=bash
# A run's servers, roles and processes, and their end. Sourced by scripts/demo.

began=$EPOCHSECONDS
stage_began=''
adapter_pid=''
child_pid=''
# Whether a failure is to be looked for in the adapter's log.
log_matters=yes

# stage TEXT: the next numbered line, after the time that the last one took.
stage() {
  stage_done
  stage_began=$EPOCHREALTIME
  step "$*"
}

stage_done() {
  [[ -n $stage_began ]] || return 0
  local tenths=$(((${EPOCHREALTIME/[.,]/} - ${stage_began/[.,]/}) / 100000))
  detail "$((tenths / 10)).$((tenths % 10)) s"
  stage_began=''
}

# acquire: one run of a kind in a clone; and from here on, whatever happens, nothing is left behind.
acquire() {
  mkdir -p "$root/.local"
  exec {run_lock}>"$place.lock"
  flock --nonblock "$run_lock" || die "a run in this clone is under way already (${place#"$root"/})"
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
}

# interruptible COMMAND…: runs it so that a signal to this script ends both at once, and so does the script's own violent death.
interruptible() {
  local status=0
  # A process group of its own, so that it sees a Ctrl-C once. SIGINT is what `swift build` passes on to its compilers.
  set -m
  setpriv --pdeathsig INT -- "$@" {run_lock}>&- &
  child_pid=$!
  set +m
  wait "$child_pid" || status=$?
  child_pid=''
  return "$status"
}

clean_up() {
  local status=$?
  # A second Ctrl-C must not stop the stopping.
  trap '' INT TERM HUP
  trap - EXIT
  if [[ -n $child_pid ]]; then
    kill -INT -- "-$child_pid" 2>/dev/null || true
    wait "$child_pid" 2>/dev/null || true
  fi
  if ((status == 1)) && [[ $log_matters == yes && -s $place/adapter.log ]]; then
    say 'The end of the adapter'\''s log:'
    tail -n 20 "$place/adapter.log" >&2
  fi
  stop_adapter || true
  [[ ! -d $place ]] || "$scripts/servers" stop "$place" --purge >&2 || true
  exit "$status"
}

# Everything stopped and deleted, with the time that it took.
finish() {
  trap '' INT TERM HUP
  trap - EXIT
  "$scripts/servers" stop "$place" --purge >&2
  stage_done
}

# Servers --------------------------------------------------------------------------------------------------------------

use_servers() {
  local amqp database
  amqp=$("$scripts/servers" env "$place" --rabbitmq)
  database=$("$scripts/servers" env "$place" --postgres)
  # Only for this script's own commands: they get a clean environment each.
  amqp_url=$(eval "$amqp"; printf '%s' "$AMQP_URL")
  owner_url=$(eval "$database"; printf '%s' "$DATABASE_URL")
  login_url=$owner_url
}

# create_login: who the adapter logs in as: no owner, no superuser, only a member of the role that its work needs.
create_login() {
  local password
  password=$(random_token)
  # By standard input: arguments can be read by others on this machine.
  psql_quietly <<SQL
CREATE ROLE journey_demo LOGIN PASSWORD '$password' IN ROLE journey_adapter, authenticated;
SQL
  login_url="postgresql://journey_demo:$password@${owner_url##*@}"
}

as_owner() { DATABASE_LOGIN=$owner_url "$@"; }

# journey ARGS…: the adapter's command on the private servers, whatever the caller's environment says.
journey() { adapter_environment "$binary" "$1" "${@:2}" --config "$root/config"; }

adapter_environment() {
  env -i PATH="$PATH" HOME="${HOME:-/}" LANG=C.UTF-8 AMQP_URL="$amqp_url" DATABASE_URL="${DATABASE_LOGIN:-$login_url}" "$@"
}

psql_quietly() { "$scripts/servers" psql "$place" --quiet --set ON_ERROR_STOP=1 "$@"; }
psql_value() { psql_quietly --tuples-only --no-align --field-separator $'\t' --command "$1"; }

# The adapter ----------------------------------------------------------------------------------------------------------

start_adapter() {
  api_secret=$(random_token)
  # No retries: an event of an unknown client would be a dead letter only after more than an hour.
  # Not through a function: the process to be signalled, and to die with this script, is the adapter itself.
  env -i PATH="$PATH" HOME="${HOME:-/}" LANG=C.UTF-8 AMQP_URL="$amqp_url" DATABASE_URL="$login_url" RETRY_UNKNOWN_CLIENT=false API_PORT="${API_PORT:-0}" PROBES_PORT="${PROBES_PORT:-0}" API_JWT_SECRET="$api_secret" API_REQUESTS_PER_SECOND="${API_REQUESTS_PER_SECOND:-50}" \
    setpriv --pdeathsig TERM -- "$binary" serve --config "$root/config" </dev/null >"$place/adapter.log" 2>&1 {run_lock}>&- &
  adapter_pid=$!
  detail "journey serve runs (pid $adapter_pid), its log is ${place#"$root"/}/adapter.log"
}

# page_address: the page of the running adapter, with a token of a user who belongs to every organisation and may operate.
page_address() {
  local user=0d000000-0000-4000-8000-000000000001 address token
  as_owner psql_quietly --command "INSERT INTO user_organizations (user_id, org_id) SELECT '$user', id FROM organizations ON CONFLICT DO NOTHING" >/dev/null
  address=$(sed -nE 's/.*address=(http[^ ]+).*/\1/p' "$place/adapter.log" | tail -n 1)
  [[ -n $address ]] || return 1
  token=$(API_JWT_SECRET=$api_secret "$binary" token --user "$user" --operations --config "$root/config")
  printf '%s#token=%s\n' "$address" "$token"
}

adapter_runs() { [[ -n $adapter_pid ]] && kill -0 "$adapter_pid" 2>/dev/null; }

# stop_adapter: in order, as SIGTERM does. Fails where the adapter did not end with 0.
stop_adapter() {
  [[ -n $adapter_pid ]] || return 0
  local pid=$adapter_pid status=0
  adapter_pid=''
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid" || status=$?
  return "$status"
}

# pause SECONDS: waits, and is over at once when a signal comes or the adapter ends.
pause() {
  sleep "$1" &
  local sleeper=$!
  wait -n "$sleeper" ${adapter_pid:+"$adapter_pid"} || true
  kill "$sleeper" 2>/dev/null || true
}
