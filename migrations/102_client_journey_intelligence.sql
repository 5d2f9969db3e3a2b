-- Client Journey Intelligence (phase 50): journey events and scores, one organization's apart from another's.
-- Names are those of the host application's own migration 102; where that ran already, nothing changes here.

CREATE TABLE IF NOT EXISTS client_journey_events (
  id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
  client_id UUID NOT NULL,
  org_id UUID NOT NULL,
  stage TEXT NOT NULL,
  event_type TEXT NOT NULL,
  metadata JSONB DEFAULT '{}'::jsonb,
  occurred_at TIMESTAMPTZ DEFAULT now(),
  CONSTRAINT client_journey_events_stage_check CHECK (
    stage IN (
      'lead', 'qualified_lead', 'onboarding', 'active_project', 'awaiting_feedback', 'billing', 'retention', 'upsell_candidate',
      'churn_risk')),
  CONSTRAINT client_journey_events_client_fk FOREIGN KEY (client_id) REFERENCES contacts (id) ON DELETE CASCADE,
  CONSTRAINT client_journey_events_org_fk FOREIGN KEY (org_id) REFERENCES organizations (id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS idx_client_journey_events_client ON client_journey_events (client_id);
CREATE INDEX IF NOT EXISTS idx_client_journey_events_org ON client_journey_events (org_id);
CREATE INDEX IF NOT EXISTS idx_client_journey_events_stage ON client_journey_events (stage);
CREATE INDEX IF NOT EXISTS idx_client_journey_events_occurred ON client_journey_events (occurred_at DESC);

COMMENT ON TABLE client_journey_events IS 'Client lifecycle events tracking (Phase 50)';

CREATE TABLE IF NOT EXISTS client_journey_scores (
  id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
  client_id UUID NOT NULL,
  org_id UUID NOT NULL,
  score NUMERIC NOT NULL DEFAULT 0,
  risk_level TEXT NOT NULL DEFAULT 'LOW',
  recommended_actions JSONB DEFAULT '[]'::jsonb,
  generated_at TIMESTAMPTZ DEFAULT now(),
  CONSTRAINT client_journey_scores_risk_check CHECK (risk_level IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  CONSTRAINT client_journey_scores_client_fk FOREIGN KEY (client_id) REFERENCES contacts (id) ON DELETE CASCADE,
  CONSTRAINT client_journey_scores_org_fk FOREIGN KEY (org_id) REFERENCES organizations (id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS idx_client_journey_scores_client ON client_journey_scores (client_id);
CREATE INDEX IF NOT EXISTS idx_client_journey_scores_org ON client_journey_scores (org_id);
CREATE INDEX IF NOT EXISTS idx_client_journey_scores_risk ON client_journey_scores (risk_level);
CREATE INDEX IF NOT EXISTS idx_client_journey_scores_generated ON client_journey_scores (generated_at DESC);

COMMENT ON TABLE client_journey_scores IS 'Client journey scores with risk and actions (Phase 50)';

ALTER TABLE client_journey_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE client_journey_scores ENABLE ROW LEVEL SECURITY;

DO $policies$
DECLARE
  wanted record;
  -- A member of an organization reaches the rows of that organization.
  membership constant text := '(org_id IN (SELECT org_id FROM user_organizations WHERE user_id = auth.uid()))';
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES
      ('client_journey_events', 'client_journey_events_select', 'SELECT', 'USING'),
      ('client_journey_events', 'client_journey_events_insert', 'INSERT', 'WITH CHECK'),
      ('client_journey_scores', 'client_journey_scores_select', 'SELECT', 'USING'),
      ('client_journey_scores', 'client_journey_scores_insert', 'INSERT', 'WITH CHECK'),
      ('client_journey_scores', 'client_journey_scores_update', 'UPDATE', 'USING')) AS policy (relation, name, command, clause)
  LOOP
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = wanted.relation::regclass AND polname = wanted.name) THEN
      EXECUTE format(
        'CREATE POLICY %I ON %I FOR %s TO authenticated %s %s', wanted.name, wanted.relation, wanted.command, wanted.clause, membership);
    END IF;
  END LOOP;
END
$policies$;
