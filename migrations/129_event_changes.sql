-- Events that a wrong mapping has made are voided: they stay, count no more, and come in as duplicates if they are
-- delivered again. Events are changed by a remap or a person only, and each change is recorded with the rows as they
-- were.

ALTER TABLE client_journey_events
  ADD COLUMN voided_at timestamptz,
  ADD COLUMN voided_by int8;
COMMENT ON COLUMN client_journey_events.voided_at IS 'Since when the event counts no more; NULL: it counts.';
COMMENT ON COLUMN client_journey_events.voided_by IS 'The change that voided it: a row of journey_event_changes.';

-- No reference to the events: the record outlives what it is about.
CREATE TABLE journey_event_changes (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  run uuid NOT NULL,
  actor text NOT NULL,
  login text NOT NULL DEFAULT session_user,
  action text NOT NULL,
  source text,
  event_ids uuid[] NOT NULL,
  counts jsonb NOT NULL DEFAULT '{}',
  why text,
  CONSTRAINT journey_event_changes_action_check CHECK (action IN ('void', 'remap', 'restore'))
);
CREATE INDEX idx_journey_event_changes_run ON journey_event_changes (run);
COMMENT ON TABLE journey_event_changes IS
  'Who voided, restored or remapped which events, when and why: a row a transaction. Added to, never changed.';
COMMENT ON COLUMN journey_event_changes.run IS 'The command, which may need several transactions.';
COMMENT ON COLUMN journey_event_changes.actor IS 'The person, as it names itself.';
COMMENT ON COLUMN journey_event_changes.login IS 'The database login under which it was written.';

-- Deleted with the client: it holds what the events say.
CREATE TABLE journey_event_versions (
  change_id int8 NOT NULL,
  event_id uuid NOT NULL,
  client_id uuid NOT NULL,
  org_id uuid NOT NULL,
  version jsonb NOT NULL,
  PRIMARY KEY (change_id, event_id),
  CONSTRAINT journey_event_versions_client_fk
    FOREIGN KEY (client_id, org_id) REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_event_versions_event ON journey_event_versions (event_id);
CREATE INDEX idx_journey_event_versions_client ON journey_event_versions (client_id, org_id);
COMMENT ON TABLE journey_event_versions IS 'Events as they were before a change of journey_event_changes.';

DO $access$
DECLARE
  relation text;
  grantee text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['journey_event_changes', 'journey_event_versions'] LOOP
    FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
      CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
      EXECUTE format('REVOKE ALL ON %I FROM %s', relation, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
      EXECUTE format(
        'REVOKE ALL ON SEQUENCE journey_event_changes_id_seq FROM %s',
        CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter', relation);
    EXECUTE format('GRANT SELECT ON %I TO journey_adapter', relation);
  END LOOP;
  -- Not the time and the login: the database says these.
  GRANT INSERT (run, actor, action, source, event_ids, counts, why) ON journey_event_changes TO journey_adapter;
  GRANT INSERT ON journey_event_versions TO journey_adapter;
END
$access$;

GRANT UPDATE (id, client_id, stage, event_type, metadata, occurred_at, sets_stage, min_stage, acted_by, voided_at, voided_by)
  ON client_journey_events TO journey_adapter;
