# shellcheck shell=bash
# One private PostgreSQL cluster on the loopback interface, durable as in production. Sourced by scripts/servers.

# postgres_binary NAME: the program of the newest version in Debian's directories, or the one on the PATH.
postgres_binary() {
  local found
  found=$(printf '%s\n' /usr/lib/postgresql/*/bin/"$1" | sort -V | tail -n 1)
  [[ -x $found ]] || found=$(command -v "$1") || die "$1 is not installed; run scripts/install"
  printf '%s' "$found"
}

# PostgreSQL refuses to run as root, so the package's unprivileged user runs it. Unlike su and runuser, setpriv does not stay as a
# parent process, so the recorded pid is the server's.
postgres_as() {
  postgres_command=()
  if ((EUID == 0)); then
    getent passwd postgres >/dev/null || die "the user postgres is missing; run scripts/install"
    postgres_command=(setpriv --reuid=postgres --regid=postgres --init-groups --)
  fi
}

# shellcheck source=/dev/null
postgres_settings() { source "$dir/postgres/settings"; }

postgres_create() {
  local home=$dir/postgres place password
  postgres_as
  # Without the identity file the directory is the rest of an interrupted creation. initdb needs an empty one.
  [[ ! -f $home/place ]] || rm -rf "$(<"$home/place")"
  rm -rf "$home"
  mkdir -p "$home"
  place=$home
  # The unprivileged user cannot enter a clone below /root. The cluster is then in a temporary directory.
  if ((EUID == 0)) && ! "${postgres_command[@]}" test -x "$home"; then
    place=$(mktemp -d "${TMPDIR:-/tmp}/journey-postgres.XXXXXXXX")
    chmod 755 "$place"
    printf '%s' "$place" >"$home/place"
  fi
  mkdir -p "$place/data"
  [[ $place == "$home" ]] || ln -sfn "$place/data" "$home/data"
  ((EUID != 0)) || chown postgres:postgres "$place/data"
  chmod 700 "$place/data"
  if [[ -n $join ]]; then
    postgres_copy "$place" || die "could not copy $join; see $home/initdb.log"
    return
  fi
  password=$(random_token)
  # A file: the unprivileged user cannot open our pipe, and arguments are visible in process lists.
  (umask 077 && printf '%s\n' "$password" >"$place/password")
  ((EUID != 0)) || chown postgres:postgres "$place/password"
  "${postgres_command[@]}" env -C / "$(postgres_binary initdb)" --pgdata="$place/data" --username=postgres \
    --auth=scram-sha-256 --pwfile="$place/password" --encoding=UTF8 --locale=C.UTF-8 >"$home/initdb.log" 2>&1 ||
    { tail -n 15 "$home/initdb.log" >&2; die "initdb failed"; }
  rm -f "$place/password"
  (umask 077 && printf 'postgres_password=%s\nplace=%q\n' "$password" "$place" >"$home/identity")
}

# postgres_copy PLACE: creates a standby of the primary in $join.
postgres_copy() {
  local place=$1 settings=$join/postgres/settings port password
  # shellcheck source=/dev/null
  { port=$(source "$settings" && printf '%s' "$postgres_port"); password=$(source "$settings" && printf '%s' "$postgres_password"); }
  PGPASSWORD=$password "${postgres_command[@]}" env -C / "$(postgres_binary pg_basebackup)" --pgdata="$place/data" --checkpoint=fast \
    --write-recovery-conf --dbname="host=127.0.0.1 port=$port user=postgres application_name=standby" >"$dir/postgres/initdb.log" 2>&1 || return 1
  (umask 077 && printf 'postgres_password=%s\nplace=%q\n' "$password" "$place" >"$dir/postgres/identity")
}

postgres_configure() {
  local port=$1 place=$2 ssl=off
  if [[ -f $dir/tls/server.pem ]]; then
    ssl=on
    # The server requires that only its own user can read the key.
    install -m 600 "$dir/tls/server.pem" "$dir/tls/server.key" "$dir/tls/ca.pem" "$place/data/"
    ((EUID != 0)) || chown postgres:postgres "$place/data/"{server.pem,server.key,ca.pem}
  fi
  cat >"$place/data/journey.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_connections = 600
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
ssl = $ssl
CONF
  if [[ $ssl == on ]]; then
    printf "ssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\nssl_ca_file = 'ca.pem'\n" >>"$place/data/journey.conf"
  fi
  chmod 644 "$place/data/journey.conf"
  grep -qxF "include 'journey.conf'" "$place/data/postgresql.conf" ||
    printf "\ninclude 'journey.conf'\n" >>"$place/data/postgresql.conf"
}

# The server's state from its own pid file. The file identifies our server, also if another server has taken the port.
postgres_is_ready() {
  local word
  word=$(sed -n 8p "$place/data/postmaster.pid" 2>/dev/null) && [[ $word == ready* ]] && ! has_ended "$dir/postgres/pid"
}

postgres_ready_or_ended() { postgres_is_ready || has_ended "$dir/postgres/pid"; }

# One attempt. 0: runs; 1: failed; 2: the port, or the shared memory of a killed server, is still in use.
postgres_attempt() {
  local home=$dir/postgres
  : >"$home/output.log"
  # The file of a crashed server would say "ready" too early.
  rm -f "$place/data/postmaster.pid"
  postgres_as
  launch "$home/pid" "$home/output.log" "${postgres_command[@]}" env -C / \
    "$(postgres_binary postgres)" -D "$place/data"
  # Crash recovery of a large cluster is slow.
  if until_within 120 postgres_ready_or_ended && ! has_ended "$home/pid"; then return 0; fi
  end_process "$home/pid" INT 20
  grep -qE 'Address already in use|could not create any TCP/IP sockets|shared memory block' "$home/output.log" && return 2
  return 1
}

postgres_start() {
  local home=$dir/postgres began=$EPOCHSECONDS fresh=no attempt result
  if live_pid "$home/pid" >/dev/null; then
    postgres_settings
    detail "PostgreSQL already runs on 127.0.0.1:$postgres_port"
    return
  fi
  [[ -f $home/identity ]] || postgres_create
  [[ -f $home/established ]] || fresh=yes
  for attempt in 1 2 3 4 5 6 7 8; do
    if [[ $fresh == yes ]]; then
      (
        umask 077
        cat "$home/identity" >"$home/settings"
        printf 'postgres_port=%s\n' "$(free_port)" >>"$home/settings"
      )
      postgres_settings
      postgres_configure "$postgres_port" "$place"
    fi
    postgres_settings
    result=0
    postgres_attempt || result=$?
    ((result == 2)) || break
    [[ $fresh == yes ]] || sleep "$attempt"
  done
  if ((result != 0)); then
    tail -n 15 "$home/output.log" >&2
    die "PostgreSQL did not start; its log is $home/output.log"
  fi
  : >"$home/established"
  detail "PostgreSQL runs on 127.0.0.1:$postgres_port (pid $(live_pid "$home/pid"), $(seconds_since "$began") s)"
}

# postgres_stop [SIGNAL]: INT is a fast shutdown, QUIT an immediate one that leaves recovery to the next start.
postgres_stop() { end_process "$dir/postgres/pid" "${1:-INT}" 30; }

# postgres_processes: the pids of the server and its children, which have sessions of their own.
postgres_processes() {
  local pid
  pid=$(live_pid "$dir/postgres/pid") || return 1
  printf '%s %s' "$pid" "$(cat "/proc/$pid/task/$pid/children")"
}

postgres_kill() {
  local processes pid
  processes=$(postgres_processes) || return 0
  # All processes at the same time, as a power failure would. Remaining children would finish their current work.
  for pid in $processes; do kill -s KILL "$pid" 2>/dev/null || true; done
  end_process "$dir/postgres/pid" KILL 10
}

postgres_url() {
  postgres_settings
  printf 'postgresql://postgres:%s@127.0.0.1:%s/postgres' "$postgres_password" "$postgres_port"
}

postgres_tls_url() {
  postgres_settings
  printf 'postgresql://postgres:%s@localhost:%s/postgres?sslmode=verify-full&sslrootcert=%s' \
    "$postgres_password" "$postgres_port" "$dir/tls/ca.pem"
}

postgres_psql() {
  postgres_settings
  # In the environment, because arguments are visible in process lists.
  PGPASSWORD=$postgres_password PGHOST=127.0.0.1 PGPORT=$postgres_port PGUSER=postgres PGDATABASE=${PGDATABASE:-postgres} \
    exec psql --no-psqlrc "$@"
}
