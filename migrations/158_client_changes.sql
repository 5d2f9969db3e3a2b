-- The feed of changes: what has changed of a client, for systems that follow along.

ALTER TABLE journey_client_state ADD COLUMN next_action text;
COMMENT ON COLUMN journey_client_state.next_action IS
  'The action that is recommended now, whether it is published or not. Kept only while the feed of changes is on.';

CREATE TABLE journey_client_changes (
  id uuid PRIMARY KEY,
  client_id uuid NOT NULL,
  org_id uuid NOT NULL,
  at timestamptz NOT NULL,
  cause json NOT NULL,
  changes json NOT NULL,
  stage text NOT NULL,
  risk_level text NOT NULL,
  outbox_id uuid NOT NULL,
  CONSTRAINT journey_client_changes_client_fk FOREIGN KEY (client_id, org_id)
    REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_client_changes_outbox ON journey_client_changes (outbox_id);
CREATE INDEX idx_journey_client_changes_client ON journey_client_changes (client_id);
COMMENT ON TABLE journey_client_changes IS
  'Changes of a client''s stage, risk level, score or next action on their way to the broker. They leave with their batch of the outbox.';
COMMENT ON COLUMN journey_client_changes.changes IS 'By field: what it was, and what it is.';

DO $access$
DECLARE
  grantee text;
BEGIN
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON journey_client_changes FROM %s',
      CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
END
$access$;
ALTER TABLE journey_client_changes ENABLE ROW LEVEL SECURITY;
CREATE POLICY journey_client_changes_journey_adapter ON journey_client_changes TO journey_adapter
  USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON journey_client_changes TO journey_adapter;
