-- What clients allow: consent by purpose, and do-not-contact, each with its source, reason and date.

CREATE TABLE journey_consents (
  id uuid PRIMARY KEY,
  client_id uuid NOT NULL,
  org_id uuid NOT NULL,
  change text NOT NULL,
  channel text COLLATE "C" NOT NULL,
  purpose text COLLATE "C",
  at timestamptz NOT NULL,
  expires_at timestamptz,
  source text NOT NULL,
  reason text,
  actor text NOT NULL,
  login text NOT NULL DEFAULT session_user,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT journey_consents_change_check CHECK (
    change IN ('granted', 'withdrawn', 'blocked', 'unblocked', 'reachable')),
  CONSTRAINT journey_consents_purpose_check CHECK ((purpose IS NOT NULL) = (change IN ('granted', 'withdrawn'))),
  CONSTRAINT journey_consents_expires_at_check CHECK (expires_at IS NULL OR change = 'granted' AND expires_at > at),
  CONSTRAINT journey_consents_client_fk FOREIGN KEY (client_id, org_id)
    REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_consents_client ON journey_consents (client_id, recorded_at);
COMMENT ON TABLE journey_consents IS
  'What was recorded of a client''s consent and of do-not-contact. Only added to. What holds now is part of journey_client_state.outreach, under whose lock it is written.';
COMMENT ON COLUMN journey_consents.client_id IS 'As it was then: a client that was merged later keeps its records.';
COMMENT ON COLUMN journey_consents.at IS 'When the client said so.';
COMMENT ON COLUMN journey_consents.expires_at IS 'When a granted consent ends; NULL: it does not.';
COMMENT ON COLUMN journey_consents.source IS 'By which way the client said so, such as a form or a call.';
COMMENT ON COLUMN journey_consents.actor IS 'Who recorded it, by its own name.';
COMMENT ON COLUMN journey_consents.login IS 'The database login under which it was written.';

DO $access$
DECLARE
  grantee text;
BEGIN
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON journey_consents FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
END
$access$;
ALTER TABLE journey_consents ENABLE ROW LEVEL SECURITY;
CREATE POLICY journey_consents_journey_adapter ON journey_consents TO journey_adapter USING (true) WITH CHECK (true);
GRANT SELECT, INSERT (id, client_id, org_id, change, channel, purpose, at, expires_at, source, reason, actor)
  ON journey_consents TO journey_adapter;
