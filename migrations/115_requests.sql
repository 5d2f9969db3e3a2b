-- What the HTTP API remembers of requests for a while, written and read by the adapter's role alone: no request role has any privilege here.

-- Which event an Idempotency-Key was used for, so that another event under the same key is refused instead of passing for the first.
CREATE TABLE journey_request_keys (
  user_id uuid NOT NULL,
  key uuid NOT NULL,
  fingerprint uuid NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, key)
);
CREATE INDEX idx_journey_request_keys_made ON journey_request_keys (made_at);
COMMENT ON TABLE journey_request_keys IS
  'An Idempotency-Key of a user: digests of the key and of the event that it was used for. Forgotten after seven days; can be emptied at any time.';

-- The rest of a list whose order moves while somebody pages through it, as it was when the second page was asked for.
CREATE TABLE journey_lists (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  client_ids uuid[] NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_journey_lists_user ON journey_lists (user_id, made_at);
CREATE INDEX idx_journey_lists_made ON journey_lists (made_at);
COMMENT ON TABLE journey_lists IS
  'Clients in the order of a list. Only ids: what a member sees of them is read anew, under row level security. Forgotten after an hour, and where a '
  'user has more than eight; can be emptied at any time.';

DO $access$
DECLARE
  relation text;
  grantee text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['journey_request_keys', 'journey_lists'] LOOP
    -- A host hands new tables out to its request roles by default privileges.
    FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon', 'service_role'] LOOP
      CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
      EXECUTE format('REVOKE ALL ON %I FROM %s', relation, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journey_adapter', relation);
    EXECUTE format('CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter', relation);
  END LOOP;
END
$access$;
