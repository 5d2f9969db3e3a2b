-- Who acted in an event, and events that raise a client to a stage without ever moving it back.

ALTER TABLE client_journey_events ADD COLUMN IF NOT EXISTS min_stage text, ADD COLUMN IF NOT EXISTS acted_by text;
-- Not validated: rows from before have neither.
ALTER TABLE client_journey_events
  ADD CONSTRAINT client_journey_events_min_stage_check CHECK (
    min_stage IN (
      'lead', 'qualified_lead', 'onboarding', 'active_project', 'awaiting_feedback', 'billing', 'retention', 'upsell_candidate',
      'churn_risk')) NOT VALID,
  ADD CONSTRAINT client_journey_events_acted_by_check CHECK (acted_by IN ('client', 'us', 'system')) NOT VALID;
COMMENT ON COLUMN client_journey_events.min_stage IS
  'The event raises a client that is before this stage to it, and leaves every other where it is. stage is then the client''s stage at that time.';
COMMENT ON COLUMN client_journey_events.acted_by IS
  'Who acted, if the mapping says so: client, us (staff) or system. NULL: as the event type says.';
