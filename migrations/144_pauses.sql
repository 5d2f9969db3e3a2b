-- An operator pauses and resumes consuming, and sees which instances run.

CREATE TABLE journey_pauses (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  action text NOT NULL,
  instance text COLLATE "C",
  actor text NOT NULL,
  login text NOT NULL DEFAULT session_user,
  why text,
  CONSTRAINT journey_pauses_action_check CHECK (action IN ('pause', 'resume'))
);
COMMENT ON TABLE journey_pauses IS
  'Who paused or resumed consuming, when and why. Added to, never changed: the newest row that concerns an instance holds.';
COMMENT ON COLUMN journey_pauses.instance IS 'NULL: all instances, also those that start later.';
COMMENT ON COLUMN journey_pauses.actor IS 'The person, as it names itself.';
COMMENT ON COLUMN journey_pauses.login IS 'The database login under which it was written.';

CREATE TABLE journey_leases (
  instance text COLLATE "C" PRIMARY KEY,
  process uuid NOT NULL,
  host text NOT NULL,
  version text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now(),
  state text NOT NULL DEFAULT 'starting',
  in_hand int4 NOT NULL DEFAULT 0,
  obeyed int8 NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE journey_leases IS 'An instance of the adapter; it renews its row every two seconds while it runs.';
COMMENT ON COLUMN journey_leases.process IS 'The run that holds the name.';
COMMENT ON COLUMN journey_leases.in_hand IS 'Messages that it has received and not settled.';
COMMENT ON COLUMN journey_leases.obeyed IS 'The newest row of journey_pauses that it has carried out.';

DO $access$
DECLARE
  relation text;
  grantee text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['journey_pauses', 'journey_leases'] LOOP
    FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
      CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
      EXECUTE format('REVOKE ALL ON %I FROM %s', relation, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
      EXECUTE format(
        'REVOKE ALL ON SEQUENCE journey_pauses_id_seq FROM %s',
        CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter', relation);
    EXECUTE format('GRANT SELECT ON %I TO journey_adapter', relation);
  END LOOP;
  -- Not the time and the login: the database says these.
  GRANT INSERT (action, instance, actor, why) ON journey_pauses TO journey_adapter;
  GRANT INSERT, UPDATE, DELETE ON journey_leases TO journey_adapter;
END
$access$;
