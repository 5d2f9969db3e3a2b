-- Event types that no rule of a mapping names, so that a vendor's new event is seen.

CREATE TABLE journey_unlisted (
  source text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  count int8 NOT NULL,
  first_seen_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  sample_org uuid,
  sample bytea,
  sampled_at timestamptz,
  PRIMARY KEY (source, type),
  CONSTRAINT journey_unlisted_sampled_check CHECK ((sample IS NULL) = (sampled_at IS NULL))
);
COMMENT ON TABLE journey_unlisted IS
  'Event types that no rule of their mapping names and that were passed by: how often, when, and the first body, redacted by the mapping.';
COMMENT ON COLUMN journey_unlisted.sampled_at IS 'When the sample was taken: it is deleted rawBodies.retentionDays later.';
COMMENT ON COLUMN journey_unlisted.sample_org IS 'The organisation of the sample, if its message named one outside of the body.';

DO $access$
DECLARE
  grantee text;
BEGIN
  -- Samples hold what upstream systems sent, of any organisation or none: members do not read them.
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON journey_unlisted FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
END
$access$;
ALTER TABLE journey_unlisted ENABLE ROW LEVEL SECURITY;
CREATE POLICY journey_unlisted_journey_adapter ON journey_unlisted TO journey_adapter USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON journey_unlisted TO journey_adapter;
