-- The archive of dead letters: what could not be applied, exactly as it came, with why, and what was done about it since.

CREATE TABLE journey_dead_letters (
  id uuid PRIMARY KEY,
  fingerprint bytea NOT NULL,
  org_id uuid,
  source text,
  type text,
  code text NOT NULL,
  reason text NOT NULL,
  field text,
  value text,
  exchange text NOT NULL,
  routing_key text NOT NULL,
  message_id text,
  content_type text,
  properties jsonb NOT NULL DEFAULT '{}',
  headers jsonb NOT NULL DEFAULT '[]',
  body bytea NOT NULL,
  body_size int8 NOT NULL,
  attempts int NOT NULL DEFAULT 1,
  same_failures int NOT NULL DEFAULT 1,
  first_failed_at timestamptz NOT NULL,
  failed_at timestamptz NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  state text NOT NULL DEFAULT 'new',
  replay_id int,
  replay_count int NOT NULL DEFAULT 0,
  edited_id uuid,
  caused_by uuid,
  settled_at timestamptz,
  CONSTRAINT journey_dead_letters_state_check CHECK (state IN ('new', 'replaying', 'replayed', 'discarded')),
  CONSTRAINT journey_dead_letters_headers_check CHECK (jsonb_typeof(headers) = 'array'),
  CONSTRAINT journey_dead_letters_replaying_check CHECK (state <> 'replaying' OR replay_id IS NOT NULL)
);

-- A letter that the broker delivers twice, or that an instance buried twice around a crash, is one row.
CREATE UNIQUE INDEX journey_dead_letters_once ON journey_dead_letters (fingerprint);

CREATE INDEX idx_journey_dead_letters_state ON journey_dead_letters (state, id);
CREATE INDEX idx_journey_dead_letters_code ON journey_dead_letters (code, id);
CREATE INDEX idx_journey_dead_letters_source ON journey_dead_letters (source, id);
CREATE INDEX idx_journey_dead_letters_org ON journey_dead_letters (org_id, id);
CREATE INDEX idx_journey_dead_letters_failed ON journey_dead_letters (failed_at);
CREATE INDEX idx_journey_dead_letters_replay ON journey_dead_letters (replay_id, id) WHERE state = 'replaying';
CREATE INDEX idx_journey_dead_letters_caused_by ON journey_dead_letters (caused_by) WHERE caused_by IS NOT NULL;

COMMENT ON TABLE journey_dead_letters IS 'Messages that could not be applied, byte for byte, with why. Worked on by: journey dlq.';
COMMENT ON COLUMN journey_dead_letters.fingerprint IS
  'SHA-256 over where the message came from, its properties, headers and body: the same message is one row.';
COMMENT ON COLUMN journey_dead_letters.org_id IS
  'The organisation that the message names. It may not exist, so nothing is referenced.';
COMMENT ON COLUMN journey_dead_letters.code IS
  'Why, as a word to filter by: a rejection''s code, or the broker''s (delivery_limit, expired, rejected, maxlen).';
COMMENT ON COLUMN journey_dead_letters.exchange IS 'Where the message was first published, and where a replay publishes it.';
COMMENT ON COLUMN journey_dead_letters.properties IS 'AMQP''s basic properties without the headers.';
COMMENT ON COLUMN journey_dead_letters.headers IS
  'The headers by name: [{"name": …, "type": …, "value": …}]; bytes as base64, so that none is changed.';
COMMENT ON COLUMN journey_dead_letters.body_size IS 'Bytes, as the message was sent.';
COMMENT ON COLUMN journey_dead_letters.attempts IS 'How often the message was tried before this letter was written.';
COMMENT ON COLUMN journey_dead_letters.same_failures IS 'How often in a row, over replays, it failed with the same code in the same field.';
COMMENT ON COLUMN journey_dead_letters.replay_id IS 'The replay that took the letter last.';
COMMENT ON COLUMN journey_dead_letters.replay_count IS 'How often the letter was taken for a replay; header x-journey-replay.';
COMMENT ON COLUMN journey_dead_letters.edited_id IS 'The new id of the message where the replay under way edits it: chosen once, so that a resumed replay sends the same.';
COMMENT ON COLUMN journey_dead_letters.caused_by IS 'The letter from which this message was edited; header x-journey-caused-by.';
COMMENT ON COLUMN journey_dead_letters.settled_at IS 'When it was replayed or discarded.';

-- Replays --------------------------------------------------------------------------------------------------------

CREATE TABLE journey_dead_letter_replays (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  actor text NOT NULL,
  why text,
  filter jsonb NOT NULL,
  edit jsonb,
  rate float8,
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  CONSTRAINT journey_dead_letter_replays_rate_check CHECK (rate > 0)
);
CREATE INDEX idx_journey_dead_letter_replays_open ON journey_dead_letter_replays (id) WHERE finished_at IS NULL;
COMMENT ON TABLE journey_dead_letter_replays IS
  'A row a replay. The process that runs one holds an advisory lock; an unfinished one without it was cut off and can be resumed.';
COMMENT ON COLUMN journey_dead_letter_replays.edit IS 'The JSON patch (RFC 6902) that each body is edited with.';

-- Audit ----------------------------------------------------------------------------------------------------------

-- No reference to the letter: the record outlives what it is about.
CREATE TABLE journey_dead_letter_log (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  letter_id uuid,
  replay_id int,
  action text NOT NULL,
  actor text NOT NULL,
  login text NOT NULL DEFAULT session_user,
  why text,
  result text
);
CREATE INDEX idx_journey_dead_letter_log_letter ON journey_dead_letter_log (letter_id, id);
CREATE INDEX idx_journey_dead_letter_log_replay ON journey_dead_letter_log (replay_id, id) WHERE replay_id IS NOT NULL;
COMMENT ON TABLE journey_dead_letter_log IS 'Who did what with dead letters, when, why, and what came of it. Added to, never changed.';
COMMENT ON COLUMN journey_dead_letter_log.actor IS 'The person or process, as it names itself.';
COMMENT ON COLUMN journey_dead_letter_log.login IS 'The database login under which it was written.';

-- Privileges and row level security ------------------------------------------------------------------------------

DO $access$
DECLARE
  relation text;
  grantee text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['journey_dead_letters', 'journey_dead_letter_replays', 'journey_dead_letter_log'] LOOP
    -- Bodies hold what upstream systems sent, of any organisation or none: members do not read them.
    FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
      CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
      EXECUTE format('REVOKE ALL ON %I FROM %s', relation, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter', relation);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO journey_adapter', relation);
  END LOOP;
  GRANT UPDATE ON journey_dead_letters, journey_dead_letter_replays TO journey_adapter;
END
$access$;
