-- When each source of an organisation was heard, so that a feed that fell silent is not taken for clients that did.

CREATE TABLE journey_feeds (
  org_id uuid NOT NULL,
  source text COLLATE "C" NOT NULL,
  first_heard_at timestamptz NOT NULL,
  heard_at timestamptz NOT NULL,
  first_mark int8 NOT NULL,
  heard_mark int8 NOT NULL,
  gaps jsonb NOT NULL DEFAULT '{}',
  usual_gap int8,
  frozen_since timestamptz,
  PRIMARY KEY (org_id, source),
  CONSTRAINT journey_feeds_org_fk FOREIGN KEY (org_id) REFERENCES organizations (id) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX idx_journey_feeds_heard ON journey_feeds (heard_mark);
COMMENT ON TABLE journey_feeds IS 'A source of an organisation: when events of it arrived, and its usual gaps.';
COMMENT ON COLUMN journey_feeds.heard_at IS 'When events of it arrived last, to ten minutes, whenever they occurred.';
COMMENT ON COLUMN journey_feeds.heard_mark IS 'What journey_listening.mark was then.';
COMMENT ON COLUMN journey_feeds.gaps IS 'The longest gap that ended on a day (UTC), in seconds, of the last 30 days.';
COMMENT ON COLUMN journey_feeds.usual_gap IS 'In seconds, made of the gaps; NULL: not known yet.';
COMMENT ON COLUMN journey_feeds.frozen_since IS
  'Since when it is silent far beyond its usual gap. Risks from silence are judged as of then. NULL: it is not.';

CREATE TABLE journey_listening (
  id boolean PRIMARY KEY DEFAULT true,
  mark int8 NOT NULL DEFAULT 0,
  until timestamptz NOT NULL DEFAULT '-infinity',
  CONSTRAINT journey_listening_one_check CHECK (id)
);
INSERT INTO journey_listening DEFAULT VALUES;
COMMENT ON TABLE journey_listening IS
  'One row: for how long any instance has consumed, in microseconds. Only this time counts as silence of a feed.';

DO $access$
DECLARE
  relation text;
  grantee text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['journey_feeds', 'journey_listening'] LOOP
    FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
      CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
      EXECUTE format('REVOKE ALL ON %I FROM %s', relation, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter', relation);
  END LOOP;
END
$access$;
-- Members learn why risks of their clients stand still.
CREATE POLICY journey_feeds_select ON journey_feeds FOR SELECT TO authenticated
  USING (org_id IN (SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())));
GRANT SELECT ON journey_feeds TO authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON journey_feeds TO journey_adapter;
GRANT SELECT, INSERT, UPDATE ON journey_listening TO journey_adapter;
