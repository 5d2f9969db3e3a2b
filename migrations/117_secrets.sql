-- Names that only the adapter knows: whoever may log in to the database can listen and notify on a channel whose name it knows.

CREATE TABLE journey_secrets (
  name text PRIMARY KEY,
  value text NOT NULL
);
COMMENT ON TABLE journey_secrets IS 'Random values that the adapter''s instances share, and nobody else may know.';
INSERT INTO journey_secrets (name, value) VALUES ('changes', replace(gen_random_uuid()::text, '-', ''));

DO $access$
DECLARE
  grantee text;
BEGIN
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format('REVOKE ALL ON journey_secrets FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
  ALTER TABLE journey_secrets ENABLE ROW LEVEL SECURITY;
  GRANT SELECT ON journey_secrets TO journey_adapter;
  CREATE POLICY journey_secrets_journey_adapter ON journey_secrets FOR SELECT TO journey_adapter USING (true);
END
$access$;
