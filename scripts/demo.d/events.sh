# shellcheck shell=bash
# The demo's events: made, published, waited for. Sourced by scripts/demo.

demo_files=$scripts/demo.d
published_messages=0
expected_duplicates=0
expected_letters=0
declare -A published_sources=()

# generate_events DIRECTORY: the events of all stories, those to send twice (again/) and those that are no use (bad/).
generate_events() {
  local now=$EPOCHSECONDS file
  mkdir -p "$1/again" "$1/bad"
  awk -v now="$now" -v out="$1" -f "$demo_files/events.awk" "$demo_files/organisations.tsv" "$demo_files/clients.tsv" \
    "$demo_files/stories.txt"
  expected_events=$(sed -n 's/^events=//p' "$1/counts")
  head -n 20 "$1/cloudevents.jsonl" >"$1/again/cloudevents.jsonl"
  head -n 5 "$1/stripe.alder.jsonl" >"$1/again/stripe.alder.jsonl"
  expected_duplicates=25
  for file in "$demo_files"/bad/*.jsonl; do
    sed -e "s/@SECONDS@/$now/g" -e "s/@RFC3339@/$(date --utc --date "@$now" +%FT%TZ)/g" "$file" >"$1/bad/${file##*/}"
  done
  expected_letters=$(cat "$1"/bad/*.jsonl | wc -l)
}

# organisation_id KEY
organisation_id() { awk -F '\t' -v key="$1" '$1 == key { print $2 }' "$demo_files/organisations.tsv"; }

# publish_directory DIRECTORY: CloudEvents as they are, <source>.<organisation>.jsonl with the headers that a vendor's body needs.
publish_directory() {
  local file name source options count
  for file in "$1"/*.jsonl; do
    name=${file##*/}
    source=${name%%.*}
    options=()
    if [[ $source != cloudevents ]]; then
      name=${name#*.}
      options=(--source "$source" --org "$(organisation_id "${name%.jsonl}")")
      published_sources[$source]=1
    else
      while read -r name; do published_sources[$name]=1; done < <(sed -E 's|.*"source":"/([a-z]+)/.*|\1|' "$file" | sort -u)
    fi
    journey publish "$file" "${options[@]}" >/dev/null
    count=$(wc -l <"$file")
    published_messages=$((published_messages + count))
  done
}

# await_events EVENTS LETTERS: until so many events and dead letters are there, and every action is confirmed.
await_events() {
  local line counts last=-1 patience=$EPOCHSECONDS
  while :; do
    adapter_runs || die 'the adapter has ended'
    counts=$(psql_value "
      SELECT (SELECT count(*) FROM client_journey_events), count(*) FROM journey_actions WHERE published_at IS NULL")
    read -r stored unpublished <<<"$counts"
    letters=$(dead_letter_count)
    line="$stored of $1 events stored, $letters of $2 dead letters, $unpublished actions not yet confirmed"
    ((stored < $1 || letters < $2 || unpublished > 0)) || break
    ((letters <= $2)) || die "there are dead letters that should not be: $line"
    # Patience is for a machine that stands still, not for one that is slow.
    [[ $line == "$last" ]] || patience=$EPOCHSECONDS
    last=$line
    ((EPOCHSECONDS - patience < 60)) || die "nothing has happened for 60 s: $line"
    pause 0.2
  done
  detail "$line"
}
