# shellcheck shell=bash
# An installation as docs/install.md describes it, in $work: private servers, the two roles, the service, a worker of e-mails.
# Commands of docs/runbook.md run in it word for word; only paths, ports and the tools of the machine are replaced. Sourced by
# scripts/drill, which sets `work`, `journey`, `worker`, and `probes`, `other_probes`: the ports of two machines. `machine` says on
# which of them commands run: empty, or `-2`.
# shellcheck disable=SC2034,SC2154

servers=$work/servers
machine=''

tool() { cat >"$work/bin/$1" && chmod +x "$work/bin/$1"; }

# The tools of the machine, as the runbook calls them.
install_tools() {
  mkdir -p "$work"/{bin,etc,load,run}
  cp -R config "$work/etc/journey"
  local hosts=("${DATABASE_URL#*@}" "${AMQP_URL#*@}")
  tool journey <<TOOL
#!/usr/bin/env bash
[[ \$1 != roles ]] || set -- "\$@" --directory $work/etc/journey
[[ "\$1 \$2" != 'roles credentials' ]] || set -- "\$@" --database-host ${hosts[0]%%/*} --broker-host ${hosts[1]%%/*}
exec $journey "\$@"
TOOL
  tool rabbitmqctl <<TOOL
#!/usr/bin/env bash
exec "$scripts/servers" ctl "$servers" "\$@"
TOOL
  tool runuser <<TOOL
#!/usr/bin/env bash
[[ "\$1 \$2 \$3" == '-u postgres --' ]] || exit 64
source "$servers/postgres/settings"
export PGHOST=127.0.0.1 PGPORT=\$postgres_port PGUSER=postgres PGPASSWORD=\$postgres_password
exec "\${@:4}"
TOOL
  tool journalctl <<TOOL
#!/usr/bin/env bash
[[ "\$1 \$2" == '-u journey' ]] || exit 64
tail -n 20 "$work/run/journey\$MACHINE.log"
TOOL
  tool systemctl <<TOOL
#!/usr/bin/env bash
set -euo pipefail
umask 022
run() { # run NAME COMMAND…
  if [[ -f $work/run/\$1.pid ]] && kill -0 "\$(<"$work/run/\$1.pid")" 2>/dev/null; then return; fi
  setsid nohup "\${@:2}" >>"$work/run/\$1.log" 2>&1 </dev/null &
  echo \$! >"$work/run/\$1.pid"
}
end() { # end NAME SIGNAL
  [[ -f $work/run/\$1.pid ]] || return 0
  kill -s "\$2" "\$(<"$work/run/\$1.pid")" 2>/dev/null || true
  timeout 45 tail --pid="\$(<"$work/run/\$1.pid")" -f /dev/null || kill -KILL "\$(<"$work/run/\$1.pid")"
}
service=journey\$MACHINE
case \$* in
  'start journey') CREDENTIALS_DIRECTORY=$work/etc/journey/credentials run \$service "$work/bin/journey" serve ;;
  'stop journey') end \$service TERM ;;
  'kill --signal=KILL journey') end \$service KILL ;;
  'restart journey') end \$service TERM && "$work/bin/systemctl" start journey ;;
  '--no-pager status journey') ps -o pid,stat,etime,args -p "\$(<"$work/run/\$service.pid")" ;;
  'start email-worker') run email-worker "$work/bin/email-worker" ;;
  'stop email-worker') end email-worker TERM ;;
  'start rabbitmq-server') "$scripts/servers" start "$servers" --rabbitmq ;;
  'stop rabbitmq-server') "$scripts/servers" stop "$servers" --rabbitmq ;;
  'start postgresql') "$scripts/servers" start "$servers" --postgres ;;
  'stop postgresql') "$scripts/servers" stop "$servers" --postgres ;;
  *) echo "systemctl \$*: not expected" >&2 && exit 64 ;;
esac
TOOL
  printf '#!/bin/sh\ncat >/dev/null\n' | tool sendmail
  tool email-worker <<TOOL
#!/usr/bin/env bash
export AMQP_URL=\$(<"$work/etc/journey/workers/email/amqp-url")
export SENDMAIL=$work/bin/sendmail EMAIL_FROM=team@journey.example EMAIL_TEMPLATES=$PWD/Examples/EmailWorker/templates
exec $worker
TOOL
}

# port: that of the probes on this machine.
port() { if [[ -z $machine ]]; then echo "$probes"; else echo "$other_probes"; fi; }

# in_shell TEXT: runs commands as an administrator of the installation would.
in_shell() {
  env -i PATH="$work/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME="$work" JOURNEY_CONFIG="$work/etc/journey" \
    MIGRATIONS_DIRECTORY="$PWD/migrations" API_PORT=0 PROBES_PORT="$(port)" INSTANCE_NAME="machine$machine" MACHINE="$machine" \
    RETRY_TIERS='10s, 10s, 10s' CREDENTIALS_DIRECTORY="$work/etc/journey/credentials" LOG_FORMAT=text \
    bash -c "set -euo pipefail; cd $work; [[ ! -f variables ]] || source variables; $1"
}

# The names of the drill: an organisation whose clients are leads, so that an event leads to an e-mail.
install_all() {
  in_shell "
    journey roles credentials --worker email
    # What a frozen instance has in hand is delivered again after two heartbeats.
    sed -i 's|$|?heartbeat=2|' $work/etc/journey/credentials/amqp-url
    journey roles sql | runuser -u postgres -- psql --quiet
    journey roles broker >definitions.json
    rabbitmqctl import_definitions definitions.json
    export CREDENTIALS_DIRECTORY=$work/etc/journey/owner
    journey migrate
    journey topology apply
    journey org add 'Acme Ltd' >organisation" >"$work/run/install.log" 2>&1 ||
    { tail -n 20 "$work/run/install.log" >&2; die 'the installation failed'; }
  organisation=$(<"$work/organisation")
}

database() { PGDATABASE=journey "$scripts/servers" psql "$servers" --quiet --no-align --tuples-only --command "$1"; }
