// The floor: the minimal work for the adapter's guarantees on the same servers. It consumes the ingest queue and inserts the same rows of events, scores
// and outbox as the adapter, with one statement per batch. It publishes as many actions of the same size to the same queues with publisher confirms, and
// acknowledges last. It has no logic: no mapping, no client state, no decisions, and a fixed explanation. The adapter's results are reported relative to
// this program's results in the same run.
//
// usage: floor WORKERS BATCH WINDOW BODY EMAIL VOICE HUMAN SCORES EXPLANATION, with AMQP_URL and DATABASE_URL in the environment. BODY is the size of an
// action's body in bytes; EMAIL, VOICE and HUMAN are the actions per channel for a million messages, SCORES the scores; EXPLANATION is the JSON stored
// with each score.
// It ends on SIGTERM.
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(ok, ...) do { if (!(ok)) { fprintf(stderr, "floor: " __VA_ARGS__); fputc('\n', stderr); exit(1); } } while (0)

static volatile sig_atomic_t stopping;
static int batch_size, window, body_size;
static const char *const channels[] = {"email", "voice", "human"};
static const char *const actions[] = {"email_outreach", "send_voice_message", "schedule_meeting"};
static const char *const routing_keys[] = {"email.email_outreach.low", "voice.send_voice_message.low", "human.schedule_meeting.low"};
enum { channel_count = 3, million = 1000000, longest_body = 1 << 16 };
static long shares[channel_count], score_share;
static char *amqp_url;
static const char *database_url, *explanation;

typedef struct {
  uint64_t tag;
  size_t length;
  char body[1024];
} message;

// A member of a flat CloudEvent, found by its key. The benchmark's messages contain no escapes.
static const char *member(const message *m, const char *key, size_t *length) {
  char wanted_key[64];
  int n = snprintf(wanted_key, sizeof wanted_key, "\"%s\":\"", key);
  const char *at = memmem(m->body, m->length, wanted_key, (size_t)n);
  CHECK(at, "a message lacks %s", key);
  at += n;
  *length = (size_t)((const char *)memchr(at, '"', m->length - (size_t)(at - m->body)) - at);
  return at;
}

// MARK: binary arrays

typedef struct {
  char *bytes;
  size_t count, capacity;
} buffer;

static void append(buffer *b, const void *bytes, size_t count) {
  if (b->count + count > b->capacity) {
    b->capacity = (b->count + count) * 2;
    b->bytes = realloc(b->bytes, b->capacity);
  }
  memcpy(b->bytes + b->count, bytes, count);
  b->count += count;
}

static void append32(buffer *b, uint32_t value) {
  value = htonl(value);
  append(b, &value, 4);
}

static void append64(buffer *b, uint64_t value) {
  value = htobe64(value);
  append(b, &value, 8);
}

static void begin_array(buffer *b, uint32_t oid, uint32_t count) {
  b->count = 0;
  append32(b, 1);
  append32(b, 0);
  append32(b, oid);
  append32(b, count);
  append32(b, 1);
}

static void append_item(buffer *b, const void *bytes, size_t count) {
  append32(b, (uint32_t)count);
  append(b, bytes, count);
}

static int hex(char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

static void append_uuid(buffer *b, const char *text) {
  unsigned char raw[16];
  for (int i = 0, at = 0; i < 16; i++, at += 2) {
    if (text[at] == '-') at++;
    raw[i] = (unsigned char)(hex(text[at]) << 4 | hex(text[at + 1]));
  }
  append_item(b, raw, 16);
}

static void append_random_uuid(buffer *b, unsigned *seed) {
  unsigned char raw[16];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
  for (int i = 0; i < 6; i++) raw[i] = (unsigned char)(ms >> (40 - 8 * i));
  for (int i = 6; i < 16; i++) raw[i] = (unsigned char)rand_r(seed);
  raw[6] = (raw[6] & 15) | 0x70;
  raw[8] = (raw[8] & 63) | 0x80;
  append_item(b, raw, 16);
}

static void append_time(buffer *b, const char *text) {
  struct tm tm = {0};
  strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
  append32(b, 8);
  append64(b, (uint64_t)(((int64_t)timegm(&tm) - 946684800) * 1000000 + atoi(text + 20)));
}

static void append_jsonb(buffer *b, const char *text, size_t count) {
  append32(b, (uint32_t)count + 1);
  append(b, "\1", 1);
  append(b, text, count);
}

// MARK: database

// The stage of an event's type, so that the same partial indexes cover the rows.
static const char *stage(const char *type, size_t length) {
  static const char *const stages[][2] = {
    {"lead_created", "lead"}, {"lead_qualified", "qualified_lead"}, {"contract_signed", "onboarding"}, {"meeting_scheduled", "onboarding"},
    {"milestone_completed", "active_project"}, {"deliverable_sent", "awaiting_feedback"}, {"survey_answered", "awaiting_feedback"},
    {"invoice_", "billing"}, {"subscription_renewed", "retention"}, {"usage_high", "upsell_candidate"}, {"cancel_requested", "churn_risk"},
  };
  for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
    size_t n = strlen(stages[i][0]);
    if (length >= n && memcmp(type, stages[i][0], n) == 0) return stages[i][1];
  }
  return "active_project";
}

// An action to publish: the message that causes it, and the channel.
typedef struct {
  int message, channel;
} publication;

// The columns that the adapter fills. One statement inserts the rows of a batch, so the acknowledgement waits for one commit.
static const char *insert =
  "WITH e AS (INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, metadata, occurred_at, source, source_event_id) "
  "SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::text[]), unnest($5::text[]), unnest($6::jsonb[]), "
  "unnest($7::timestamptz[]), unnest($8::text[]), unnest($9::text[]) "
  "ON CONFLICT (org_id, source, source_event_id) DO NOTHING RETURNING id, client_id, org_id) "
  ", o AS (INSERT INTO journey_outbox (id, actions) SELECT $13, $14 WHERE $14 > 0) "
  "INSERT INTO client_journey_scores (id, client_id, org_id, score, risk_level, recommended_actions, generated_at, event_id, explanation, action, "
  "channel, priority, reason, expires_at, outbox_id) "
  "SELECT score_id, client_id, org_id, 50, 'LOW', '[\"email_outreach\"]', now(), id, $12::json, action, "
  "CASE action WHEN 'email_outreach' THEN 'email' WHEN 'send_voice_message' THEN 'voice' WHEN 'schedule_meeting' THEN 'human' END, "
  "CASE WHEN action IS NOT NULL THEN 'low' END, CASE WHEN action IS NOT NULL THEN 'nothing urgent has happened' END, "
  "CASE WHEN action IS NOT NULL THEN now() + interval '7 days' END, CASE WHEN action IS NOT NULL THEN $13 END "
  "FROM (SELECT id, client_id, org_id, row_number() OVER () AS n FROM e) e "
  "JOIN unnest($10::uuid[], $11::text[]) WITH ORDINALITY AS u(score_id, action, n) USING (n) WHERE score_id IS NOT NULL";

enum { columns = 11, parameters = columns + 3 };

static void append_rows(
  buffer *b, const message *messages, int count, const publication *publications, int publication_count, long *score_debt, unsigned *seed
) {
  static const uint32_t oids[columns] = {2950, 2950, 2950, 25, 25, 3802, 1184, 25, 25, 2950, 25};
  for (int c = 0; c < columns; c++) begin_array(&b[c], oids[c], (uint32_t)count);
  for (int i = 0, p = 0; i < count; i++) {
    const message *m = &messages[i];
    size_t n;
    append_random_uuid(&b[0], seed);
    append_uuid(&b[1], member(m, "subject", &n));
    append_uuid(&b[2], member(m, "orgid", &n));
    const char *at = member(m, "type", &n), *of_type = stage(at, n);
    append_item(&b[3], of_type, strlen(of_type));
    append_item(&b[4], at, n);
    at = memmem(m->body, m->length, "\"data\":", 7);
    CHECK(at, "a message lacks data");
    append_jsonb(&b[5], at + 7, (size_t)(m->body + m->length - 1 - (at + 7)));
    append_time(&b[6], member(m, "time", &n));
    at = member(m, "source", &n);
    append_item(&b[7], at, n);
    at = member(m, "id", &n);
    append_item(&b[8], at, n);
    const char *action = p < publication_count && publications[p].message == i ? actions[publications[p++].channel] : NULL;
    // Each action has a score; the others are spread evenly.
    *score_debt += score_share;
    if (action || *score_debt >= million) append_random_uuid(&b[9], seed), *score_debt -= million; else append32(&b[9], UINT32_MAX);
    if (action) append_item(&b[10], action, strlen(action)); else append32(&b[10], UINT32_MAX);
  }
}

static void store(
  PGconn *database, const message *messages, int count, const publication *publications, int publication_count, buffer *b, long *score_debt,
  unsigned *seed
) {
  append_rows(b, messages, count, publications, publication_count, score_debt, seed);
  const char *values[parameters];
  int lengths[parameters], formats[parameters];
  for (int c = 0; c < columns; c++) {
    values[c] = b[c].bytes;
    lengths[c] = (int)b[c].count;
    formats[c] = 1;
  }
  buffer *outbox = &b[columns];
  outbox->count = 0;
  append_random_uuid(outbox, seed);
  uint32_t action_count = htonl((uint32_t)publication_count);
  const void *rest[] = {explanation, outbox->bytes + 4, &action_count};
  int rest_lengths[] = {(int)strlen(explanation), 16, 4};
  for (int r = 0; r < 3; r++) {
    values[columns + r] = rest[r];
    lengths[columns + r] = rest_lengths[r];
    formats[columns + r] = 1;
  }
  PGresult *result = PQexecPrepared(database, "store", parameters, values, lengths, formats, 1);
  CHECK(PQresultStatus(result) == PGRES_COMMAND_OK, "%s", PQerrorMessage(database));
  PQclear(result);
}

// MARK: broker

static amqp_connection_state_t connect_broker(void) {
  char *url = strdup(amqp_url);
  struct amqp_connection_info info;
  CHECK(amqp_parse_url(url, &info) == AMQP_STATUS_OK, "AMQP_URL is no URL");
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  CHECK(amqp_socket_open(socket, info.host, info.port) == AMQP_STATUS_OK, "no connection to the broker");
  amqp_rpc_reply_t reply =
    amqp_login(connection, info.vhost ? info.vhost : "/", 0, 131072, 60, AMQP_SASL_METHOD_PLAIN, info.user, info.password);
  CHECK(reply.reply_type == AMQP_RESPONSE_NORMAL, "the broker refuses the login");
  amqp_channel_open(connection, 1);
  CHECK(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL, "no channel");
  return connection;
}

// Takes available messages up to the batch size; waits only for the first one.
static int drain(amqp_connection_state_t connection, message *messages) {
  int count = 0;
  while (count < batch_size) {
    amqp_envelope_t envelope;
    struct timeval timeout = {0, 0};
    if (count == 0) timeout.tv_usec = 100000;
    amqp_maybe_release_buffers(connection);
    amqp_rpc_reply_t reply = amqp_consume_message(connection, &envelope, &timeout, 0);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
      CHECK(reply.library_error == AMQP_STATUS_TIMEOUT, "consuming ended: %s", amqp_error_string2(reply.library_error));
      if (count > 0 || stopping) break;
      continue;
    }
    CHECK(envelope.message.body.len <= sizeof messages->body, "a message is larger than the floor's buffers");
    messages[count].tag = envelope.delivery_tag;
    messages[count].length = envelope.message.body.len;
    memcpy(messages[count].body, envelope.message.body.bytes, envelope.message.body.len);
    amqp_destroy_envelope(&envelope);
    count++;
  }
  return count;
}

// Spreads each channel's share evenly over the messages. As with the adapter, a message leads to at most one action: for the channel that lags most.
static int plan(int count, long *debts, publication *publications) {
  int planned = 0;
  for (int i = 0; i < count; i++) {
    int most = 0;
    for (int c = 0; c < channel_count; c++)
      if ((debts[c] += shares[c]) > debts[most]) most = c;
    if (debts[most] < million) continue;
    debts[most] -= million;
    publications[planned++] = (publication){i, most};
  }
  return planned;
}

static size_t write_body(char *body, const char *id, size_t id_length, const char *subject, size_t subject_length, const char *channel) {
  int n = snprintf(
    body, longest_body,
    "{\"specversion\":\"1.0\",\"id\":\"%.*s\",\"source\":\"/journey\",\"type\":\"journey.action.recommended.v1\",\"subject\":\"%.*s\","
    "\"data\":{\"channel\":\"%s\",\"note\":\"",
    (int)id_length, id, (int)subject_length, subject, channel);
  int padding = body_size - n - 3;
  if (padding > 0) memset(body + n, '.', (size_t)padding), n += padding;
  memcpy(body + n, "\"}}", 3);
  return (size_t)n + 3;
}

// The same properties as those of the adapter's actions, which consumers rely on.
static int publish_one(amqp_connection_state_t connection, const message *m, int channel, char *body) {
  size_t id_length, subject_length;
  const char *id = member(m, "id", &id_length), *subject = member(m, "subject", &subject_length);
  size_t length = write_body(body, id, id_length, subject, subject_length, channels[channel]);
  amqp_bytes_t cause = {id_length, (void *)id};
  amqp_table_entry_t header = {.key = amqp_cstring_bytes("x-cause-id"), .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = cause}};
  amqp_basic_properties_t properties = {0};
  properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG |
    AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG;
  properties.content_type = amqp_cstring_bytes("application/cloudevents+json");
  properties.headers = (amqp_table_t){1, &header};
  properties.delivery_mode = 2;
  properties.priority = 1;
  properties.correlation_id = cause;
  properties.message_id = (amqp_bytes_t){subject_length, (void *)subject};
  properties.timestamp = (uint64_t)time(NULL);
  properties.type = amqp_cstring_bytes("journey.action.recommended.v1");
  properties.app_id = amqp_cstring_bytes("client-journey-adapter");
  return amqp_basic_publish(
    connection, 1, amqp_cstring_bytes("journey.actions"), amqp_cstring_bytes(routing_keys[channel]), 1, 0, &properties,
    (amqp_bytes_t){length, body});
}

static void publish(
  amqp_connection_state_t connection, const message *messages, const publication *publications, int count, uint64_t *sequence, bool *acked, char *body
) {
  // Confirms may come in any order, so they are counted by tag.
  uint64_t first = *sequence + 1, last = *sequence + (uint64_t)count;
  memset(acked, 0, (size_t)count);
  int open = 0, next = 0;
  while (next < count || open > 0) {
    while (next < count && open < window) {
      int status = publish_one(connection, &messages[publications[next].message], publications[next].channel, body);
      CHECK(status == AMQP_STATUS_OK, "publishing ended: %s", amqp_error_string2(status));
      next++;
      open++;
    }
    bool is_waiting = true;
    while (true) {
      amqp_frame_t frame;
      struct timeval timeout = {is_waiting ? 30 : 0, 0};
      amqp_maybe_release_buffers(connection);
      int status = amqp_simple_wait_frame_noblock(connection, &frame, &timeout);
      if (status == AMQP_STATUS_TIMEOUT && !is_waiting) break;
      CHECK(status == AMQP_STATUS_OK, "no confirmation: %s", amqp_error_string2(status));
      if (frame.frame_type != AMQP_FRAME_METHOD) continue;
      CHECK(frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "a publish was not confirmed");
      amqp_basic_ack_t *ack = frame.payload.method.decoded;
      for (uint64_t tag = ack->multiple ? first : ack->delivery_tag; tag <= ack->delivery_tag; tag++)
        if (tag >= first && tag <= last && !acked[tag - first]) acked[tag - first] = true, open--;
      is_waiting = false;
      if (open == 0) break;
    }
  }
  *sequence = last;
}

// MARK: workers

static void *worker(void *number) {
  unsigned seed = (unsigned)(uintptr_t)number + 1;
  amqp_connection_state_t in = connect_broker(), out = connect_broker();
  amqp_basic_qos(in, 1, 0, (uint16_t)(batch_size * 4 > 2000 ? 2000 : batch_size * 4), 0);
  amqp_basic_consume(in, 1, amqp_cstring_bytes("journey.ingest"), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  CHECK(amqp_get_rpc_reply(in).reply_type == AMQP_RESPONSE_NORMAL, "journey.ingest cannot be consumed");
  amqp_confirm_select(out, 1);
  PGconn *database = PQconnectdb(database_url);
  CHECK(PQstatus(database) == CONNECTION_OK, "%s", PQerrorMessage(database));
  PGresult *prepared = PQprepare(database, "store", insert, 0, NULL);
  CHECK(PQresultStatus(prepared) == PGRES_COMMAND_OK, "%s", PQerrorMessage(database));
  PQclear(prepared);

  message *messages = calloc((size_t)batch_size, sizeof *messages);
  publication *publications = calloc((size_t)batch_size, sizeof *publications);
  bool *acked = calloc((size_t)batch_size, sizeof *acked);
  char *body = malloc(longest_body);
  long debts[channel_count] = {0}, score_debt = 0;
  buffer arrays[columns + 1] = {{0}};
  uint64_t sequence = 0;
  while (!stopping) {
    int count = drain(in, messages);
    if (count == 0) continue;
    int planned = plan(count, debts, publications);
    store(database, messages, count, publications, planned, arrays, &score_debt, &seed);
    publish(out, messages, publications, planned, &sequence, acked, body);
    amqp_basic_ack(in, 1, messages[count - 1].tag, 1);
  }
  PQfinish(database);
  return NULL;
}

static void stop(int signal) { (void)signal; stopping = 1; }

int main(int argc, char **argv) {
  CHECK(argc == 7 + channel_count, "usage: floor WORKERS BATCH WINDOW BODY EMAIL VOICE HUMAN SCORES EXPLANATION");
  explanation = argv[6 + channel_count];
  int workers = atoi(argv[1]);
  batch_size = atoi(argv[2]);
  window = atoi(argv[3]);
  body_size = atoi(argv[4]);
  for (int c = 0; c < channel_count; c++) {
    shares[c] = atol(argv[5 + c]);
    CHECK(shares[c] >= 0 && shares[c] <= million, "a channel's share is 0 to %d", million);
  }
  score_share = atol(argv[5 + channel_count]);
  CHECK(score_share >= 0 && score_share <= million, "the share of scores is 0 to %d", million);
  amqp_url = getenv("AMQP_URL");
  database_url = getenv("DATABASE_URL");
  CHECK(workers > 0 && workers <= 64 && batch_size > 0 && batch_size <= 2000 && window > 0 && body_size < longest_body, "an argument is out of range");
  CHECK(amqp_url && database_url, "AMQP_URL or DATABASE_URL is missing");
  signal(SIGTERM, stop);
  signal(SIGPIPE, SIG_IGN);
  pthread_t threads[64];
  for (int i = 0; i < workers; i++) pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)i);
  for (int i = 0; i < workers; i++) pthread_join(threads[i], NULL);
  return 0;
}
