# shellcheck shell=bash
# PgBouncer in front of the private PostgreSQL cluster, one process per pooling mode. Sourced by scripts/servers.

pooler_home() { printf '%s/pooler-%s' "$dir" "$1"; }

# Clients log in with the server's roles and passwords: PgBouncer gets the verifiers of all roles from the server.
pooler_configure() {
  local mode=$1 port=$2 config=$3
  (umask 077 && printf '"postgres" "%s"\n' "$postgres_password" >"$config/users.txt")
  cat >"$config/pgbouncer.ini" <<CONF
[databases]
* = host=127.0.0.1 port=$postgres_port auth_user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
pool_mode = $mode
auth_type = scram-sha-256
auth_file = $config/users.txt
auth_query = SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = \$1
max_client_conn = 500
default_pool_size = ${pool_size:-20}
server_login_retry = 1
server_idle_timeout = 10
log_connections = 0
log_disconnections = 0
CONF
  ((EUID != 0)) || chown -R postgres:postgres "$config"
}

pooler_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$pooler_port") 2>/dev/null; }
pooler_answers_or_ended() { has_ended "$pooler_pid" || pooler_answers; }

# pooler_start MODE: starts PgBouncer if it does not run, and prints its port.
pooler_start() {
  local mode=$1 home config attempt
  [[ $mode == session || $mode == transaction ]] || die "a pooler's mode is session or transaction, not $mode"
  has_postgres || die "there is no PostgreSQL in $dir"
  postgres_settings
  home=$(pooler_home "$mode") config=$place/pooler-$mode pooler_pid=$home/pid
  if live_pid "$pooler_pid" >/dev/null; then
    cat "$home/port"
    return
  fi
  mkdir -p "$home" "$config"
  postgres_as
  for attempt in 1 2 3 4 5 6 7 8; do
    pooler_port=$(free_port)
    pooler_configure "$mode" "$pooler_port" "$config"
    : >"$home/output.log"
    launch "$pooler_pid" "$home/output.log" "${postgres_command[@]}" env -C / "$(pooler_binary)" "$config/pgbouncer.ini"
    if until_within 20 pooler_answers_or_ended && ! has_ended "$pooler_pid"; then
      printf '%s\n' "$pooler_port" >"$home/port"
      detail "PgBouncer ($mode mode) runs on 127.0.0.1:$pooler_port (pid $(live_pid "$pooler_pid"), attempt $attempt)"
      cat "$home/port"
      return
    fi
    end_process "$pooler_pid" TERM 5
    grep -q 'Address already in use' "$home/output.log" || break
  done
  tail -n 15 "$home/output.log" >&2
  die "PgBouncer did not start; its log is $home/output.log"
}

pooler_binary() {
  local found=/usr/sbin/pgbouncer
  [[ -x $found ]] || found=$(command -v pgbouncer) || die 'pgbouncer is not installed; run scripts/install'
  printf '%s' "$found"
}

pooler_stop() {
  local mode
  # SIGTERM ends it at once, even with connected clients.
  for mode in session transaction; do end_process "$(pooler_home "$mode")/pid" TERM 10; done
}
