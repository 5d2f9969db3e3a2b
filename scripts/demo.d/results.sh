# shellcheck shell=bash
# What came out: tables, counts, and the comparison with the hand calculation. Sourced by scripts/demo.

columns='client, organisation, stage, score, risk, action, channel, priority'

# with_outcome SQL…: runs SQL where the view "outcome" is there.
with_outcome() { psql_quietly --pset pager=off --pset footer=off --file "$demo_files/results.sql" "$@"; }

heading() { printf '\n%s%s%s\n' "$style_bold" "$*" "$style_off"; }

show_results() {
  heading 'Clients, as they were evaluated last'
  with_outcome --command "SELECT $columns, reason FROM outcome ORDER BY rank, organisation, client"
  show_counts
  heading 'Dead letters, with their reasons'
  show_dead_letters
  heading 'journey explain hanna.keller@alder.example --limit 4'
  journey explain hanna.keller@alder.example --limit 4
  printf '\n'
  check_expectations
}

# The reasons last: they are as long as they need to be.
show_dead_letters() {
  psql_value "SELECT rpad(code, 22) || reason FROM journey_dead_letters ORDER BY failed_at, id"
}

dead_letter_count() { psql_value 'SELECT count(*) FROM journey_dead_letters'; }

show_counts() {
  local channel parts=()
  heading Counts
  psql_value "
    SELECT format('%s events of %s clients (%s of them created by an event) in %s organisations',
        (SELECT count(*) FROM client_journey_events), (SELECT count(*) FROM journey_client_state),
        (SELECT count(*) FROM contacts WHERE id::text NOT LIKE 'c1000000-%'),
        (SELECT count(*) FROM organizations))
    UNION ALL SELECT format('%s scores, each with its explanation', (SELECT count(*) FROM client_journey_scores))"
  for channel in email voice human; do
    parts+=("$(queue_depth "journey.actions.$channel") in journey.actions.$channel")
  done
  printf '%s actions published: %s, %s, %s\n' \
    "$(psql_value 'SELECT count(*) FROM journey_actions WHERE published_at IS NOT NULL')" "${parts[@]}"
  printf '%s messages sent twice, %s that make no sense: %s dead letters\n' \
    "$expected_duplicates" "$expected_letters" "$(dead_letter_count)"
}

# queue_depth NAME: how many messages are ready in it, as the queue itself says.
queue_depth() {
  local answer
  answer=$("$scripts/servers" eval "$place" \
    "begin {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"$1\">>)), element(2, rabbit_amqqueue:stat(Q)) end")
  printf '%s' "$answer"
}

check_expectations() {
  local wanted found client
  while IFS= read -r wanted; do
    client=${wanted%%$'\t'*}
    found=$(with_outcome --tuples-only --no-align --field-separator $'\t' --command "
      SELECT client, stage, score, risk, action, channel, priority FROM outcome WHERE client = '$client' AND is_published")
    if [[ $found != "$wanted" ]]; then
      log_matters=no
      say "by hand: $wanted"
      say "here:    ${found:-no such client, or its action was not published}"
      die "$client did not come out as calculated by hand"
    fi
    detail "as calculated by hand: ${found//$'\t'/, }"
  done < <(grep -v '^#' "$demo_files/expected.tsv")
}

# check_counts: the adapter's own account, once it has stopped.
check_counts() {
  local account wanted
  account=$(grep ' stopped' "$place/adapter.log" | tail -n 1)
  detail "the adapter says: ${account#*: }"
  for wanted in "stored=$((expected_events + 1))" "rejected=$expected_letters" "duplicates=$expected_duplicates"; do
    [[ " $account " == *" $wanted "* ]] || die "the adapter's account does not say $wanted"
  done
}

# watch_counts: a line of counts, rewritten where a person looks on and otherwise printed when it changes.
watch_counts() {
  local line last=''
  say
  say 'Commands on these servers, from another terminal:'
  say "  eval \"\$(scripts/servers env ${place#"$root"/})\""
  say "  $(relative "$binary") doctor"
  say "  $(relative "$binary") explain hanna.keller@alder.example"
  say "The log: ${place#"$root"/}/adapter.log. Ctrl-C stops everything and deletes the data."
  say
  while adapter_runs; do
    line=$(psql_value "SELECT format('%s events, %s actions (%s not yet confirmed)',
      (SELECT count(*) FROM client_journey_events), count(*), count(*) FILTER (WHERE published_at IS NULL)) FROM journey_actions")
    line+=", $(queue_depth journey.ingest) events wait, $(dead_letter_count) dead letters"
    if [[ -t 2 ]]; then
      printf '\r\e[K%(%H:%M:%S)T  %s' -1 "$line" >&2
    elif [[ $line != "$last" ]]; then
      say "$line"
    fi
    last=$line
    pause 2
  done
  die 'the adapter has ended'
}

relative() { [[ $1 == "$root"/* ]] && printf '%s' "${1#"$root"/}" || printf '%s' "$1"; }
