-- What the HTTP API reads quickly: the board of clients at risk from an index of them alone, the map from counts made in the background.
-- Nothing here runs within a batch's commit.

-- The clients at risk. Without the score, which changes with almost every event: with it in an index, no update of a state could stay off the indexes.
CREATE INDEX idx_journey_client_state_board ON journey_client_state (org_id, risk_level) WHERE risk_level IN ('HIGH', 'CRITICAL');
DROP INDEX IF EXISTS idx_journey_client_state_risk;

-- The list of clients by name, a page at a time. Of a name of any length an index takes the beginning.
CREATE INDEX IF NOT EXISTS idx_journey_contacts_name ON contacts (org_id, left(COALESCE(name, ''), 100), id);

CREATE TABLE journey_maps (
  org_id uuid PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
  stages jsonb NOT NULL,
  stages_at timestamptz NOT NULL,
  stages_took interval NOT NULL DEFAULT '0',
  flows jsonb NOT NULL DEFAULT '[]',
  days jsonb NOT NULL DEFAULT '[]',
  flows_at timestamptz,
  flows_took interval NOT NULL DEFAULT '0'
);
COMMENT ON TABLE journey_maps IS
  'A row an organisation: how many clients are in each stage, and the moves between stages, as of a moment. Made anew while somebody looks at it, never '
  'more often than a twentieth of the time allows. Can be deleted at any time.';
COMMENT ON COLUMN journey_maps.stages IS 'Clients by stage and risk level: [{stage, riskLevel, clients, stuck, days}]; days is the sum over the clients.';
COMMENT ON COLUMN journey_maps.flows IS 'Moves of the last 90 days: [{from, to, last30, last90}].';
COMMENT ON COLUMN journey_maps.days IS 'By UTC day: [{day, events, moves, actions}].';
COMMENT ON COLUMN journey_maps.flows_took IS 'How long the moves took to count: the next count waits twenty times as long.';

DO $access$
DECLARE
  grantee text;
  membership constant text := '(org_id IN (SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())))';
BEGIN
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format('REVOKE ALL ON journey_maps FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
  ALTER TABLE journey_maps ENABLE ROW LEVEL SECURITY;
  GRANT SELECT ON journey_maps TO authenticated;
  EXECUTE format('CREATE POLICY journey_maps_select ON journey_maps FOR SELECT TO authenticated USING %s', membership);
  GRANT SELECT, INSERT, UPDATE ON journey_maps TO journey_adapter;
  CREATE POLICY journey_maps_journey_adapter ON journey_maps TO journey_adapter USING (true) WITH CHECK (true);
END
$access$;
