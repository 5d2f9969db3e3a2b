-- Which messages wait in a retry queue and when they return: looking into a queue would count as a delivery.

CREATE TABLE journey_parked (
  id uuid PRIMARY KEY,
  org_id uuid,
  source text COLLATE "C",
  message_id text COLLATE "C",
  event_ids text[] COLLATE "C" NOT NULL,
  code text,
  tier text NOT NULL,
  attempt int NOT NULL,
  received_at timestamptz,
  parked_at timestamptz NOT NULL,
  returns_at timestamptz NOT NULL
);
CREATE INDEX idx_journey_parked_message ON journey_parked (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX idx_journey_parked_events ON journey_parked USING gin (event_ids);
CREATE INDEX idx_journey_parked_returns ON journey_parked (returns_at);
COMMENT ON TABLE journey_parked IS
  'Messages that wait in a retry queue, written before they are put there: for each the last time. Deleted an hour after they return. A stored event or a later dead letter of the message is the newer truth.';
COMMENT ON COLUMN journey_parked.id IS 'Of the message: made of what identifies it, so that it is the same each time; one for each organisation and source of its events.';
COMMENT ON COLUMN journey_parked.org_id IS 'NULL: the message names no organisation.';
COMMENT ON COLUMN journey_parked.event_ids IS 'The source''s ids of the events of the message, at most 1,000.';
COMMENT ON COLUMN journey_parked.code IS 'The code of the rejection; NULL: the message is only postponed, because rows are locked or the database was away.';
COMMENT ON COLUMN journey_parked.attempt IS 'How many attempts have failed; a postponed message has made none.';

DO $access$
DECLARE
  grantee text;
BEGIN
  -- The organisation is what a message claims: members do not read them.
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON journey_parked FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
END
$access$;
ALTER TABLE journey_parked ENABLE ROW LEVEL SECURITY;
CREATE POLICY journey_parked_journey_adapter ON journey_parked TO journey_adapter USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON journey_parked TO journey_adapter;
