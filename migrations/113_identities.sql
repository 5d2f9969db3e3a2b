-- Who linked whom, and addresses that nobody has verified.

ALTER TABLE journey_identities ADD COLUMN via text, ADD COLUMN event_id text;
COMMENT ON COLUMN journey_identities.via IS
  'How the id came to mean the client: created (with the client), email (found by its address), thing (a ticket, a deal), merge, operator. NULL: from before this was noted.';
COMMENT ON COLUMN journey_identities.event_id IS 'The source''s own id of the event that linked it, where one did.';

-- Contacts that were created with an address that anybody may have typed.
CREATE TABLE journey_unverified_emails (
  client_id uuid PRIMARY KEY,
  org_id uuid NOT NULL,
  email text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT journey_unverified_emails_client_fk FOREIGN KEY (client_id, org_id) REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
COMMENT ON TABLE journey_unverified_emails IS
  'Addresses of contacts that the adapter created from an event whose source does not verify them: no client is found by them, as long as the contact has this address.';

-- No references: the record outlives what it is about.
CREATE TABLE journey_identity_log (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  org_id uuid NOT NULL,
  action text NOT NULL,
  source text,
  external_id text,
  client_id uuid NOT NULL,
  other_client_id uuid,
  event_id text,
  actor text NOT NULL,
  login text NOT NULL DEFAULT session_user,
  why text,
  CONSTRAINT journey_identity_log_action_check CHECK (action IN ('linked', 'unlinked', 'merged'))
);
CREATE INDEX idx_journey_identity_log_client ON journey_identity_log (client_id, id);
CREATE INDEX idx_journey_identity_log_org ON journey_identity_log (org_id, id);
COMMENT ON TABLE journey_identity_log IS
  'What made an id mean a client that was there before, made two clients one, or took an id away again: the event or the person, when and why. Added to, never changed.';
COMMENT ON COLUMN journey_identity_log.other_client_id IS 'Of a merge: the client that became part of client_id.';
COMMENT ON COLUMN journey_identity_log.actor IS 'The person as it names itself, or journey serve, for the event of the source.';

DO $access$
DECLARE
  relation text;
  grantee text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['journey_unverified_emails', 'journey_identity_log'] LOOP
    FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
      CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
      EXECUTE format('REVOKE ALL ON %I FROM %s', relation, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
      EXECUTE format(
        'REVOKE ALL ON SEQUENCE journey_identity_log_id_seq FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter', relation);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO journey_adapter', relation);
  END LOOP;
END
$access$;

-- An id that a person takes away from a client.
GRANT DELETE ON journey_identities TO journey_adapter;
