-- The messages of a commit as they came, for a bounded time: after a mapping has been corrected, its rules are applied
-- to them again. One row per commit, so that an event costs no row more. Nothing is compressed on the way.

CREATE TABLE journey_raw_batches (
  id uuid PRIMARY KEY,
  received_from timestamptz NOT NULL,
  received_until timestamptz NOT NULL,
  sources text[] COLLATE "C" NOT NULL,
  orgs uuid[],
  messages int NOT NULL,
  records bytea NOT NULL,
  event_ids uuid[] NOT NULL,
  event_messages int[] NOT NULL,
  CONSTRAINT journey_raw_batches_events_check CHECK (cardinality(event_ids) = cardinality(event_messages))
);
ALTER TABLE journey_raw_batches
  ALTER COLUMN records SET STORAGE EXTERNAL,
  ALTER COLUMN event_ids SET STORAGE EXTERNAL,
  ALTER COLUMN event_messages SET STORAGE EXTERNAL;
COMMENT ON TABLE journey_raw_batches IS
  'Messages as they came, without credentials, for rawBodies.retentionDays. Mapped again by: journey events remap.';
COMMENT ON COLUMN journey_raw_batches.id IS 'A UUIDv7 of the time of the commit.';
COMMENT ON COLUMN journey_raw_batches.sources IS 'The sources of the messages and of their events.';
COMMENT ON COLUMN journey_raw_batches.orgs IS 'The organisations of the messages; NULL: some may be of any.';
COMMENT ON COLUMN journey_raw_batches.records IS
  'The messages, each after its length in four bytes, in the adapter''s own format.';
COMMENT ON COLUMN journey_raw_batches.event_ids IS 'The rows of client_journey_events that were made of the messages.';
COMMENT ON COLUMN journey_raw_batches.event_messages IS 'For each of event_ids, the number of its message, from 0.';

DO $access$
DECLARE
  grantee text;
BEGIN
  -- Bodies hold what upstream systems sent, of any organisation or none: members do not read them.
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON journey_raw_batches FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
END
$access$;
ALTER TABLE journey_raw_batches ENABLE ROW LEVEL SECURITY;
CREATE POLICY journey_raw_batches_journey_adapter ON journey_raw_batches TO journey_adapter USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON journey_raw_batches TO journey_adapter;
GRANT UPDATE (event_ids, event_messages) ON journey_raw_batches TO journey_adapter;
