# shellcheck shell=bash
# Prometheus, and what it says. Sourced by scripts/drill, which sets `work`, `prometheus` and `probes`.
# shellcheck disable=SC2154

# free_ports N: prints that many ports of the loopback interface that nobody uses.
free_ports() {
  python3 -c '
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(each.getsockname()[1] for each in sockets))' "$1"
}

until_ready() {
  local limit=$((SECONDS + 60))
  until curl -fs --max-time 2 "http://127.0.0.1:$(port)/ready" >/dev/null; do
    ((SECONDS < limit)) || die "the adapter is not ready; its log is $work/run/journey.log"
    sleep 0.3
  done
}

# scrape PORT…: lets Prometheus scrape these.
scrape() {
  printf -- '- targets: [%s]\n' "$(printf '"127.0.0.1:%s",' "$@")" >"$work/prometheus/targets.new"
  mv "$work/prometheus/targets.new" "$work/prometheus/targets.yaml"
}

start_prometheus() {
  mkdir -p "$work/prometheus"
  python3 "$scripts/drill.d/faster.py" monitoring/alerts.yaml >"$work/prometheus/alerts.yaml"
  # Scraped half as often as a twentieth would be: a scrape may take a second while a server hangs.
  cat >"$work/prometheus/prometheus.yaml" <<YAML
global: {evaluation_interval: 750ms}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: journey
    scrape_interval: 1500ms
    scrape_timeout: 1400ms
    file_sd_configs: [{files: [targets.yaml]}]
YAML
  scrape "$probes"
  promtool check config "$work/prometheus/prometheus.yaml" >/dev/null || die 'the shorter rules are wrong'
  nohup prometheus --config.file="$work/prometheus/prometheus.yaml" --storage.tsdb.path="$work/prometheus/data" \
    --web.listen-address="127.0.0.1:$prometheus" --web.enable-admin-api --log.level=warn >"$work/run/prometheus.log" 2>&1 &
  echo $! >"$work/run/prometheus.pid"
  disown
}

# alerts [STATE]: the names of the alerts that fire, or are in another state, one a line.
alerts() {
  curl -fs --max-time 5 "http://127.0.0.1:$prometheus/api/v1/alerts" | python3 -c '
import json, sys
alerts = json.load(sys.stdin)["data"]["alerts"]
print(*sorted({each["labels"]["alertname"] for each in alerts if each["state"] in sys.argv[1]}), sep="\n")
' "${1:-firing}" | sed '/^$/d'
}

# until_quiet SECONDS: waits until no alert fires or is pending and nothing waits, then forgets the slices of the past.
until_quiet() {
  local limit=$((SECONDS + $1)) calm=0 left
  while ((calm < 3)); do
    left=$(alerts firing,pending 2>/dev/null || echo 'Prometheus does not answer')
    if [[ -z $left && $(waiting) == 0 ]]; then calm=$((calm + 1)); else calm=0; fi
    ((SECONDS < limit)) || { warn "not quiet: ${left//$'\n'/, }, $(waiting) wait"; return 1; }
    sleep 0.5
  done
  curl -fs -X POST --get --data-urlencode 'match[]={__name__=~"journey:.+"}' \
    "http://127.0.0.1:$prometheus/api/v1/admin/tsdb/delete_series"
}

# blocks: the `sh` blocks of docs/runbook.md, each as a line: alert, the words in bold before it, the commands, with \036 between
# their lines.
blocks() {
  awk '
    /^## / { alert = substr($0, 4) }
    /^\*\*/ { start = $0; sub(/^\*\*/, "", start); sub(/[.]?\*\*.*/, "", start) }
    $0 == "```" && inside { printf "%s\t%s\t%s\n", alert, start, text; inside = 0; next }
    inside { text = text $0 "\036" }
    $0 == "```sh" { inside = 1; text = "" }' docs/runbook.md |
    sed "s|/etc/journey|$work/etc/journey|g; s|127.0.0.1:8081|127.0.0.1:$(port)|g"
}

# runbook ALERT START: the commands of a block.
runbook() {
  local text
  text=$(blocks | awk -F '\t' -v alert="$1" -v start="$2" '$1 == alert && $2 == start && !found++ { print $3 }' | tr '\036' '\n')
  [[ -n $text ]] || die "docs/runbook.md has no commands in $1 for: $2"
  printf '%s\t%s\n' "$1" "$2" >>"$work/run/tried"
  printf '%s\n' "$text"
}

# try_the_rest: runs what no fault has needed, so that every command of the runbook has been run.
try_the_rest() {
  local alert start failed=0
  while IFS=$'\t' read -r alert start _; do
    ! grep -qxF "$alert"$'\t'"$start" "$work/run/tried" || continue
    if try "$(runbook "$alert" "$start")"; then detail "$alert: $start"; else warn "$alert: $start: failed"; failed=1; fi
  done < <(blocks)
  return "$failed"
}

# drill NAME ALERT LIMIT CLEARS CURE: prints a line of the table.
drill() {
  local name=$1 alert=$2 limit=$3 clears=$4 cure=$5 start fired='' cleared='' others='' now wrong=()
  until_quiet 150 || wrong+=('was not quiet before')
  { echo "== $name"; "plant_${name//-/_}"; } >>"$work/run/faults.log" 2>&1 || wrong+=('was not planted')
  start=$EPOCHREALTIME
  while [[ -z $fired ]]; do
    now=$(alerts) && others+=$'\n'$(grep -vxF "$alert" <<<"$now" || true)
    if grep -qxF "$alert" <<<"$now"; then fired=$(since "$start"); else sleep 0.3; fi
    if (($(seconds_since "$start") > limit)); then break; fi
  done
  [[ -n $fired ]] || wrong+=("did not fire in $limit s")
  # What an operator looks at has to work now, whatever it says: only its own mistakes count.
  if ! try "$(runbook "$alert" Look)"; then wrong+=('a command to look at failed'); fi
  { echo "== cure: $cure" && in_shell "$(runbook "$alert" "$cure")"; } >>"$work/run/faults.log" 2>&1 ||
    wrong+=('the cure failed')
  start=$EPOCHREALTIME
  while [[ -z $cleared ]]; do
    now=$(alerts) && others+=$'\n'$(grep -vxF "$alert" <<<"$now" || true)
    if ! grep -qxF "$alert" <<<"$now"; then cleared=$(since "$start"); else sleep 0.3; fi
    if (($(seconds_since "$start") > clears)); then break; fi
  done
  [[ -n $cleared ]] || wrong+=("did not clear in $clears s")
  if [[ $(type -t "after_${name//-/_}") ]]; then
    "after_${name//-/_}" >>"$work/run/faults.log" 2>&1 || wrong+=('could not clean up')
  fi
  others=$(sort -u <<<"$others" | sed '/^$/d' | paste -sd' ')
  [[ -z $others ]] || wrong+=("also fired: $others")
  row "$name" "$alert" "${fired:--}" "${cleared:--}" "$(IFS=';'; echo "${wrong[*]:-as it has to be}")"
  ((${#wrong[@]} == 0))
}

# normal SECONDS: no alert fires under a normal load.
normal() {
  local limit=$((SECONDS + $1)) others=''
  until_quiet 60 || others='was not quiet before'
  while ((SECONDS < limit)); do
    others+=$'\n'$(alerts)
    sleep 0.5
  done
  others=$(sort -u <<<"$others" | sed '/^$/d' | paste -sd' ')
  row normal-load none - - "${others:-as it has to be}"
  [[ -z $others ]]
}

row() { printf '%-23s %-28s %7s %7s  %s\n' "$@"; }

# since START: seconds since a value of $EPOCHREALTIME, with one decimal.
since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'; }

# try TEXT: runs each command, and fails if one is not known, wrongly used or missing.
try() {
  local line status
  while IFS= read -r line; do
    status=0
    { echo "== look: $line" && in_shell "timeout 20 bash -c $(printf %q "$line")"; } >>"$work/run/looks.log" 2>&1 || status=$?
    # psql says 2 as well if the database is away.
    case $status in 2) [[ $line == runuser* ]] || return 1 ;; 3 | 64 | 65 | 126 | 127) return 1 ;; esac
  done <<<"$1"
}
