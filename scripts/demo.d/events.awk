# Writes the demo's events, as their sources would send them, and its clients, as SQL.
#
#   awk -v now=EPOCH -v out=DIRECTORY -f events.awk organisations.tsv clients.tsv stories.txt
#
# now: the moment, in seconds since 1970, from which the days of the stories are counted back; everything else is always the
# same. Plain POSIX awk: dates are calculated here, since not every awk knows strftime.

BEGIN { FS = "\t" }
/^#/ || /^ *$/ { next }
FILENAME ~ /organisations\.tsv$/ { org_id[$1] = $2; org_name[$1] = $3; org_keys[++orgs] = $1; next }
FILENAME ~ /clients\.tsv$/ {
  clients++
  number[clients] = $1; org[clients] = $2; name[clients] = $3; ai_score[clients] = $4; known[clients] = $5; plot[clients] = $6
  next
}
FILENAME ~ /stories\.txt$/ {
  $0 = $0 # Split again, by blanks.
  count = split($0, word, " ")
  if (word[1] == "story") { current = word[2]; next }
  line = ++lines[current]
  story[current, line, "days"] = word[1]
  story[current, line, "source"] = word[2]
  story[current, line, "what"] = word[3]
  for (i = 4; i <= count; i++) story[current, line, "detail"] = story[current, line, "detail"] " " word[i]
}
END {
  write_contacts(out "/contacts.sql")
  for (client = 1; client <= clients; client++) tell(client)
  print "events=" events > (out "/counts")
}

# Each event of a client's story. HubSpot sends what happened in lists: all of a client's in one body.
function tell(client,    line, plotted, source, at) {
  plotted = plot[client]
  hubspot_list = ""
  if (!lines[plotted]) { print "no story " plotted > "/dev/stderr"; exit 1 }
  for (line = 1; line <= lines[plotted]; line++) {
    read_detail(story[plotted, line, "detail"])
    source = story[plotted, line, "source"]
    what = story[plotted, line, "what"]
    # Some minutes apart from client to client, so that no two of them do everything at once.
    at = now - story[plotted, line, "days"] * 86400 - client * 97
    events++
    if (source == "stripe") write_line(client, source, stripe(client, line, at))
    else if (source == "zendesk") write_line(client, source, zendesk(client, line, at))
    else if (source == "hubspot") hubspot_list = hubspot_list (hubspot_list == "" ? "" : ",") hubspot(client, line, at)
    else if (source == "own") write_line(client, "journey", own(client, line, at))
    else write_line(client, "cloudevents", cloud_event(client, line, at, source))
  }
  if (hubspot_list != "") write_line(client, "hubspot", "[" hubspot_list "]")
}

function write_line(client, source, body) {
  print body > (out "/" (source == "cloudevents" ? source : source "." org[client]) ".jsonl")
}

# Bodies ---------------------------------------------------------------------------------------------------------------

function cloud_event(client, line, at, family) {
  if (what == "lead_created") detail = detail sep() pair("name", name[client]) "," pair("email", email(client))
  if (invoice) detail = detail sep() pair("invoiceId", invoice_id(client, "inv"))
  return "{" pair("specversion", "1.0") "," pair("id", family "-" number[client] "-" line) "," \
    pair("source", "/" family "/" org[client]) "," pair("type", what) "," pair("time", iso(at)) "," \
    pair("subject", known[client] == "yes" ? client_id(client) : "lead-" number[client]) "," pair("orgid", org_id[org[client]]) \
    ",\"data\":{" detail "}}"
}

function own(client, line, at,    metadata) {
  metadata = detail
  if (invoice) metadata = metadata sep() pair("invoiceId", invoice_id(client, "inv"))
  return "{" pair("id", "own-" number[client] "-" line) "," pair("clientId", client_id(client)) "," pair("stage", stage) "," \
    pair("eventType", what) "," pair("occurredAt", iso(at)) ",\"metadata\":{" metadata "}}"
}

function stripe(client, line, at,    type, object, before) {
  if (what ~ /^invoice/) {
    type = what
    object = pair("id", invoice_id(client, "in")) "," pair("object", "invoice") "," pair("customer", customer(client)) \
      ",\"amount_due\":" amount ",\"amount_paid\":" (what == "invoice.paid" ? amount : 0) "," pair("currency", "eur") "," \
      pair("number", "R-" number[client] "-" invoice) "," pair("status", what == "invoice.paid" ? "paid" : "open")
  } else {
    type = what == "subscription.created" ? "customer.subscription.created" : "customer.subscription.updated"
    if (what == "subscription.cancel") before = "\"cancel_at_period_end\":false"
    if (what == "subscription.renewed") before = sprintf("\"current_period_end\":%.0f", at)
    object = pair("id", "sub_demo" number[client]) "," pair("object", "subscription") "," pair("customer", customer(client)) "," \
      pair("status", "active") ",\"cancel_at_period_end\":" (what == "subscription.cancel" ? "true" : "false") \
      sprintf(",\"current_period_end\":%.0f", at + 30 * 86400) ",\"quantity\":5," \
      "\"plan\":{" pair("id", "plan_team") "}"
  }
  return "{" pair("id", "evt_demo" number[client] "n" line) "," pair("object", "event") "," pair("api_version", "2024-06-20") \
    sprintf(",\"created\":%.0f,", at) "\"data\":{\"object\":{" object "}" \
    (before == "" ? "" : ",\"previous_attributes\":{" before "}") "},\"livemode\":false," pair("type", type) "}"
}

function zendesk(client, line, at,    type, event, status) {
  status = "OPEN"
  if (what == "ticket.created") type = "ticket.created"
  else if (what == "ticket.solved") {
    type = "ticket.status_changed"
    status = "SOLVED"
    event = pair("current", "SOLVED") "," pair("previous", "OPEN")
  } else if (what == "ticket.escalated") {
    type = "ticket.priority_changed"
    event = pair("current", "URGENT") "," pair("previous", "NORMAL")
  } else {
    type = "ticket.csat_received"
    event = "\"satisfaction_score\":{" pair("score", what == "csat.bad" ? "BAD" : "GOOD") "}"
  }
  return "{\"account_id\":22000,\"detail\":{" pair("id", number[client] * 100 + ticket "") "," pair("requester_id", requester(client)) "," \
    pair("status", status) "," pair("priority", "NORMAL") "," "\"via\":{" pair("channel", "email") "}},\"event\":{" event "}," \
    pair("id", sprintf("0c0de000-0000-4000-8000-%06d%06d", number[client], line)) "," \
    pair("subject", "zen:ticket:" number[client] * 100 + ticket) "," pair("time", iso(at)) "," \
    pair("type", "zen:event-type:" type) "," pair("zendesk_event_version", "2022-11-06") "}"
}

function hubspot(client, line, at,    property, value) {
  if (what == "lifecycle.lead") { property = "lifecyclestage"; value = "lead" }
  if (what == "lifecycle.mql") { property = "lifecyclestage"; value = "marketingqualifiedlead" }
  if (what == "lead_status") { property = "hs_lead_status"; value = status }
  return "{\"eventId\":" number[client] * 1000 + line ",\"subscriptionId\":25,\"portalId\":33,\"appId\":1160," \
    sprintf("\"occurredAt\":%.0f,", at * 1000) pair("subscriptionType", property == "" ? what : "contact.propertyChange") \
    ",\"attemptNumber\":0,\"objectId\":" object_id(client) "," pair("changeSource", "CRM_UI") \
    (property == "" ? "" : "," pair("propertyName", property) "," pair("propertyValue", value)) "}"
}

# Details --------------------------------------------------------------------------------------------------------------

# "key=value key=value" becomes members of a JSON object; some keys stand elsewhere in the bodies that have a place for them.
function read_detail(text,    words, count, i, at, key, value) {
  detail = stage = status = ""
  invoice = ticket = amount = 0
  count = split(text, words, " ")
  for (i = 1; i <= count; i++) {
    at = index(words[i], "=")
    key = substr(words[i], 1, at - 1)
    value = substr(words[i], at + 1)
    if (key == "invoice") { invoice = value; continue }
    if (key == "stage") { stage = value; continue }
    if (key == "status") status = value
    if (key == "ticket") ticket = value
    if (key == "amount") amount = value
    detail = detail sep() (value ~ /^[0-9]+$/ ? "\"" key "\":" value : pair(key, value))
  }
}

function sep() { return detail == "" ? "" : "," }
function pair(key, value) { return "\"" key "\":\"" value "\"" }
function client_id(client) { return sprintf("c1000000-0000-4000-8000-%012d", number[client]) }
function customer(client) { return "cus_demo" number[client] }
function requester(client) { return 36000000 + number[client] "" }
function object_id(client) { return 50100 + number[client] "" }
function invoice_id(client, prefix) { return prefix "_" number[client] "_" invoice }
function email(client,    text) {
  text = tolower(name[client])
  gsub(/á/, "a", text)
  gsub(/ /, ".", text)
  return text "@" org[client] ".example"
}

# Seconds since 1970 as RFC 3339. Days to a date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
function iso(at,    days, rest, shifted, era, of_era, year_of_era, of_year, month_index, day, month, year) {
  days = int(at / 86400)
  rest = int(at - days * 86400)
  shifted = days + 719468
  era = int(shifted / 146097)
  of_era = shifted - era * 146097
  year_of_era = int((of_era - int(of_era / 1460) + int(of_era / 36524) - int(of_era / 146096)) / 365)
  of_year = of_era - (365 * year_of_era + int(year_of_era / 4) - int(year_of_era / 100))
  month_index = int((5 * of_year + 2) / 153)
  day = of_year - int((153 * month_index + 2) / 5) + 1
  month = month_index < 10 ? month_index + 3 : month_index - 9
  year = year_of_era + era * 400 + (month <= 2 ? 1 : 0)
  return sprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, day, int(rest / 3600), int(rest % 3600 / 60), rest % 60)
}

# The host application's rows: organisations, contacts, and under which id a vendor knows a contact.
function write_contacts(file,    i, id, owner) {
  print "BEGIN;" > file
  for (i = 1; i <= orgs; i++)
    print "INSERT INTO organizations (id, name) VALUES ('" org_id[org_keys[i]] "', '" org_name[org_keys[i]] "');" > file
  for (i = 1; i <= clients; i++) {
    if (known[i] != "yes") continue
    id = client_id(i)
    owner = org_id[org[i]]
    print "INSERT INTO contacts (id, org_id, name, email, ai_score) VALUES ('" id "', '" owner "', '" name[i] "', '" email(i) "', " \
      (ai_score[i] == "-" ? "NULL" : ai_score[i]) ");" > file
    print "INSERT INTO journey_identities (org_id, source, external_id, client_id) VALUES ('" owner "', 'stripe', '" customer(i) \
      "', '" id "'), ('" owner "', 'zendesk', '" requester(i) "', '" id "'), ('" owner "', 'hubspot', '" object_id(i) "', '" id \
      "');" > file
  }
  print "COMMIT;" > file
}
