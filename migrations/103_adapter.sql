-- The adapter's own part: the once-only key on events, what a client's state is kept in, the outbox of actions, and the
-- role that does all of it without owning anything.

-- Roles ------------------------------------------------------------------------------------------------------------

DO $roles$
BEGIN
  IF to_regrole('journey_adapter') IS NULL THEN
    BEGIN
      CREATE ROLE journey_adapter NOLOGIN;
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE EXCEPTION
          'role "journey_adapter" is missing and % may not create it: run CREATE ROLE journey_adapter NOLOGIN as an '
          'administrator, then migrate again', current_user
          USING ERRCODE = 'insufficient_privilege';
      WHEN duplicate_object OR unique_violation THEN NULL;
    END;
  END IF;
  IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = 'journey_adapter') THEN
    RAISE EXCEPTION
      'role "journey_adapter" is a superuser or bypasses row level security, so nothing would keep tenants apart: run ALTER '
      'ROLE journey_adapter NOSUPERUSER NOBYPASSRLS, then migrate again';
  END IF;
END
$roles$;

-- Whoever migrates may take the roles on (SET ROLE), as the adapter and the API do. Superusers need no membership.
DO $roles$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['journey_adapter', 'authenticated'] LOOP
    IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
      BEGIN
        EXECUTE format('GRANT %I TO %I', wanted, current_user);
      EXCEPTION
        WHEN insufficient_privilege THEN
          RAISE WARNING
            '% may not grant itself the role "%": have an administrator run GRANT % TO %', current_user, wanted, wanted, current_user;
        WHEN unique_violation THEN NULL;
      END;
    END IF;
  END LOOP;
END
$roles$;

-- Events ---------------------------------------------------------------------------------------------------------

-- Collation C: the tie-break between events of one instant compares bytes, on every server alike.
ALTER TABLE client_journey_events
  ADD COLUMN IF NOT EXISTS source text COLLATE "C",
  ADD COLUMN IF NOT EXISTS source_event_id text COLLATE "C",
  ADD COLUMN IF NOT EXISTS sets_stage boolean NOT NULL DEFAULT true,
  ADD COLUMN IF NOT EXISTS ingested_at timestamptz DEFAULT now(),
  DROP CONSTRAINT IF EXISTS client_journey_events_client_fk,
  ADD CONSTRAINT client_journey_events_client_fk
    FOREIGN KEY (client_id, org_id) REFERENCES contacts (id, org_id) ON DELETE CASCADE;

COMMENT ON COLUMN client_journey_events.source IS
  'Who reported the event: the namespace of source_event_id. NULL: written by the host application itself.';
COMMENT ON COLUMN client_journey_events.source_event_id IS
  'The source''s own id of the event; with org_id and source it makes an event count once, however often it is delivered.';
COMMENT ON COLUMN client_journey_events.sets_stage IS
  'False where the event leaves the client''s stage as it was; stage then tells the stage of its time.';
COMMENT ON COLUMN client_journey_events.ingested_at IS 'When the adapter stored the event.';

CREATE UNIQUE INDEX IF NOT EXISTS client_journey_events_once ON client_journey_events (org_id, source, source_event_id);

-- Newest first a client, in the order that decides, without a sort.
DROP INDEX IF EXISTS idx_client_journey_events_client;
CREATE INDEX idx_client_journey_events_client ON client_journey_events (client_id, occurred_at DESC, source_event_id DESC);

-- The seed's own indexes serve its queries and no more, since each costs every insert: of the stages only the upsell candidates are looked for, the time
-- of events all over needs no tree.
DROP INDEX IF EXISTS idx_client_journey_events_stage;
CREATE INDEX idx_client_journey_events_stage ON client_journey_events (org_id, occurred_at DESC) WHERE stage = 'upsell_candidate';
DROP INDEX IF EXISTS idx_client_journey_events_occurred;
CREATE INDEX idx_client_journey_events_occurred ON client_journey_events USING brin (occurred_at);

-- The events that risks are found by, out of histories of any length.
CREATE INDEX IF NOT EXISTS idx_client_journey_events_signal ON client_journey_events (client_id, event_type, occurred_at DESC)
  WHERE event_type IN (
    'invoice_overdue', 'invoice_paid', 'invoice_voided', 'payment_failed', 'ticket_opened', 'milestone_completed', 'milestone_delayed',
    'deliverable_sent', 'usage_high', 'usage_low', 'usage_reported');

DO $nulls$
BEGIN
  IF NOT EXISTS (SELECT FROM client_journey_events WHERE occurred_at IS NULL) THEN
    ALTER TABLE client_journey_events ALTER COLUMN occurred_at SET NOT NULL;
  END IF;
  IF NOT EXISTS (SELECT FROM client_journey_events WHERE metadata IS NULL) THEN
    ALTER TABLE client_journey_events ALTER COLUMN metadata SET NOT NULL;
  END IF;
END
$nulls$;

-- Scores ---------------------------------------------------------------------------------------------------------

ALTER TABLE client_journey_scores
  ADD COLUMN IF NOT EXISTS event_id uuid,
  ADD COLUMN IF NOT EXISTS explanation json,
  ADD COLUMN IF NOT EXISTS action text,
  ADD COLUMN IF NOT EXISTS channel text,
  ADD COLUMN IF NOT EXISTS priority text,
  ADD COLUMN IF NOT EXISTS reason text,
  ADD COLUMN IF NOT EXISTS traceparent text,
  ADD COLUMN IF NOT EXISTS expires_at timestamptz,
  ADD COLUMN IF NOT EXISTS outbox_id uuid,
  ADD CONSTRAINT client_journey_scores_action_check CHECK (
    action IN (
      'email_outreach', 'schedule_meeting', 'send_voice_message', 'concierge_personal_intervention', 'offer_credit_pack',
      'trigger_satisfaction_survey')),
  ADD CONSTRAINT client_journey_scores_priority_check CHECK (priority IN ('low', 'medium', 'high', 'urgent')),
  ADD CONSTRAINT client_journey_scores_whole_action_check CHECK (outbox_id IS NULL OR num_nulls(action, channel, priority, reason) = 0),
  DROP CONSTRAINT IF EXISTS client_journey_scores_client_fk,
  ADD CONSTRAINT client_journey_scores_client_fk
    FOREIGN KEY (client_id, org_id) REFERENCES contacts (id, org_id) ON DELETE CASCADE;

COMMENT ON COLUMN client_journey_scores.event_id IS 'The event that led to this score, or NULL where time alone did.';
COMMENT ON COLUMN client_journey_scores.explanation IS
  'The contributions to the score, the risks with their evidence, the candidates that lost and why, the rule version.';

COMMENT ON COLUMN client_journey_scores.action IS
  'The action that the score led to: a row of the outbox, and of the view journey_actions. NULL: nothing was to be done.';
COMMENT ON COLUMN client_journey_scores.outbox_id IS 'The batch with which the action is published.';

DROP INDEX IF EXISTS idx_client_journey_scores_client;
CREATE INDEX idx_client_journey_scores_client ON client_journey_scores (client_id, generated_at DESC);
DROP INDEX IF EXISTS idx_client_journey_scores_org;
CREATE INDEX idx_client_journey_scores_org ON client_journey_scores (org_id, generated_at DESC);
DROP INDEX IF EXISTS idx_client_journey_scores_risk;
CREATE INDEX idx_client_journey_scores_risk ON client_journey_scores (org_id, generated_at DESC) WHERE risk_level IN ('HIGH', 'CRITICAL');
DROP INDEX IF EXISTS idx_client_journey_scores_generated;
CREATE INDEX idx_client_journey_scores_generated ON client_journey_scores USING brin (generated_at);

-- Identities -----------------------------------------------------------------------------------------------------

CREATE TABLE journey_identities (
  org_id uuid NOT NULL,
  source text COLLATE "C" NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  client_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, source, external_id),
  -- Deferred: a batch may name its new clients before it creates them.
  CONSTRAINT journey_identities_client_fk
    FOREIGN KEY (client_id, org_id) REFERENCES contacts (id, org_id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX idx_journey_identities_client ON journey_identities (client_id, org_id);
COMMENT ON TABLE journey_identities IS 'Under which id a source knows a client.';

-- State ----------------------------------------------------------------------------------------------------------

-- One row a client, rewritten with every event of that client: room on the page keeps those updates off the indexes.
CREATE TABLE journey_client_state (
  client_id uuid PRIMARY KEY,
  org_id uuid NOT NULL,
  summary bytea NOT NULL DEFAULT '',
  outreach bytea NOT NULL DEFAULT '',
  stage text,
  stage_at timestamptz,
  score float8,
  risk_level text,
  risks text[] NOT NULL DEFAULT '{}',
  last_event_at timestamptz,
  scored_at timestamptz,
  due_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT journey_client_state_stage_check CHECK (
    stage IN (
      'lead', 'qualified_lead', 'onboarding', 'active_project', 'awaiting_feedback', 'billing', 'retention', 'upsell_candidate',
      'churn_risk')),
  CONSTRAINT journey_client_state_risk_check CHECK (risk_level IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  CONSTRAINT journey_client_state_client_fk
    FOREIGN KEY (client_id, org_id) REFERENCES contacts (id, org_id) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX idx_journey_client_state_risk ON journey_client_state (org_id, risk_level);
CREATE INDEX idx_journey_client_state_stage ON journey_client_state (org_id, stage);
COMMENT ON TABLE journey_client_state IS
  'What the decision needs of a client''s history, of bounded size, and its latest outcome. Can be rebuilt from '
  'client_journey_events.';
COMMENT ON COLUMN journey_client_state.summary IS 'The mergeable summary of all events, in the adapter''s own format.';
COMMENT ON COLUMN journey_client_state.outreach IS
  'Recent contacts with the client, for contact limits and cooldowns, in the adapter''s own format.';
COMMENT ON COLUMN journey_client_state.stage_at IS 'When the event occurred that set the stage; NULL: none has.';
COMMENT ON COLUMN journey_client_state.due_at IS 'When the next risk starts or ends without an event; NULL: never.';

CREATE TABLE journey_invoices (
  client_id uuid NOT NULL,
  org_id uuid NOT NULL,
  invoice_id text COLLATE "C" NOT NULL,
  overdue_at timestamptz,
  settled_at timestamptz,
  amount numeric,
  currency text,
  PRIMARY KEY (client_id, invoice_id),
  CONSTRAINT journey_invoices_client_fk FOREIGN KEY (client_id, org_id) REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_invoices_overdue ON journey_invoices (client_id, overdue_at, invoice_id)
  WHERE overdue_at IS NOT NULL AND settled_at IS NULL;
COMMENT ON TABLE journey_invoices IS 'A row an invoice that was ever overdue or settled: the payment may be known before the notice.';

-- The host application may write events itself. They are part of the journey, so the client's summary is made anew, from the stored events, when
-- the adapter meets the client next.
CREATE FUNCTION journey_forget_summary() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
BEGIN
  -- Also where there is no state yet: an instance that is about to add one then waits, and reads this event.
  INSERT INTO journey_client_state (client_id, org_id) VALUES (NEW.client_id, NEW.org_id)
    ON CONFLICT (client_id) DO UPDATE SET summary = '';
  RETURN NULL;
END
$function$;
REVOKE ALL ON FUNCTION journey_forget_summary() FROM PUBLIC;
CREATE TRIGGER journey_forget_summary AFTER INSERT ON client_journey_events
  FOR EACH ROW WHEN (NEW.source IS NULL) EXECUTE FUNCTION journey_forget_summary();
COMMENT ON FUNCTION journey_forget_summary() IS 'Has a client''s summary made anew after the host application has written an event of its own.';

-- Actions --------------------------------------------------------------------------------------------------------

-- An action is a column of the score that it follows from. The outbox has a row for the actions of one transaction: they are published together, so that they are is a row's change for all of them.
CREATE TABLE journey_outbox (
  id uuid PRIMARY KEY,
  actions int NOT NULL,
  instance int,
  attempts int NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  confirmed_at timestamptz
);
CREATE INDEX idx_journey_outbox_unconfirmed ON journey_outbox (next_attempt_at, id) WHERE confirmed_at IS NULL;
COMMENT ON TABLE journey_outbox IS 'The actions of one transaction on their way to the broker.';
COMMENT ON COLUMN journey_outbox.actions IS 'How many there are.';
COMMENT ON COLUMN journey_outbox.instance IS 'The process that is about to publish them, from journey_instances; NULL: anyone may.';
COMMENT ON COLUMN journey_outbox.confirmed_at IS 'When the broker had confirmed all of them; NULL: not yet.';

CREATE INDEX idx_client_journey_scores_outbox ON client_journey_scores (outbox_id) WHERE outbox_id IS NOT NULL;

CREATE VIEW journey_actions WITH (security_invoker = true) AS
  SELECT s.id, s.org_id, s.client_id, s.event_id, s.action, s.channel, s.priority, s.reason, s.score, s.risk_level,
    s.channel || '.' || s.action || '.' || s.priority AS routing_key, s.traceparent, s.generated_at AS decided_at,
    s.generated_at AS not_before, s.expires_at, o.attempts, o.confirmed_at AS published_at,
    CASE WHEN o.confirmed_at IS NULL THEN 'proposed' ELSE 'published' END AS state, s.explanation
  FROM client_journey_scores s
  JOIN journey_outbox o ON o.id = s.outbox_id;
COMMENT ON VIEW journey_actions IS 'The scores that led to an action, and whether it is published. An action has the id of its score.';

CREATE SEQUENCE journey_instances AS integer CYCLE;
COMMENT ON SEQUENCE journey_instances IS 'Numbers the adapter''s running processes.';

-- Privileges and row level security ------------------------------------------------------------------------------

DO $access$
DECLARE
  relation text;
  grantee text;
  membership constant text := '(org_id IN (SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())))';
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO journey_adapter, authenticated', current_schema());

  -- A host hands new tables out to its request roles by default privileges, TRUNCATE included, which no policy stops.
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON client_journey_events, client_journey_scores, journey_identities, journey_client_state, journey_invoices, '
      'journey_outbox, journey_actions, journey_instances FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;

  FOREACH relation IN ARRAY ARRAY['journey_identities', 'journey_client_state', 'journey_invoices'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('GRANT SELECT ON %I TO authenticated', relation);
    EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO authenticated USING %s', relation || '_select', relation, membership);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO journey_adapter', relation);
  END LOOP;
  GRANT SELECT ON journey_actions TO journey_adapter, authenticated;
  -- A batch may hold actions of several organizations; a member learns of it what the view tells: that it is published, and when.
  ALTER TABLE journey_outbox ENABLE ROW LEVEL SECURITY;
  GRANT SELECT, INSERT, UPDATE ON journey_outbox TO journey_adapter;
  GRANT SELECT (id, attempts, confirmed_at) ON journey_outbox TO authenticated;
  CREATE POLICY journey_outbox_select ON journey_outbox FOR SELECT TO authenticated
    USING (EXISTS (SELECT FROM client_journey_scores s WHERE s.outbox_id = journey_outbox.id));
  -- What recompute rebuilds from the events, it may empty.
  GRANT DELETE ON journey_client_state, journey_invoices TO journey_adapter;

  -- History is added to, never changed. What members may do is what the policies of 102 say.
  -- The columns that identify a source's event and explain a score are the adapter's: a member who wrote them could make a real event look like a
  -- duplicate.
  GRANT SELECT, INSERT ON client_journey_events, client_journey_scores TO journey_adapter;
  GRANT UPDATE (outbox_id) ON client_journey_scores TO journey_adapter;
  GRANT SELECT, INSERT (id, client_id, org_id, stage, event_type, metadata, occurred_at) ON client_journey_events TO authenticated;
  GRANT SELECT, INSERT (id, client_id, org_id, score, risk_level, recommended_actions, generated_at) ON client_journey_scores TO authenticated;
  GRANT UPDATE (score, risk_level, recommended_actions, generated_at) ON client_journey_scores TO authenticated;

  GRANT USAGE ON SEQUENCE journey_instances TO journey_adapter;

  GRANT SELECT ON organizations TO journey_adapter;
  GRANT SELECT, INSERT, UPDATE (name, email, phone) ON contacts TO journey_adapter;
  IF EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = 'contacts'::regclass AND attname = 'updated_at' AND NOT attisdropped)
  THEN
    GRANT UPDATE (updated_at) ON contacts TO journey_adapter;
  END IF;

  -- The runner's own history: readable, so that the adapter can tell whether the schema is the one it was built for.
  IF to_regclass('journey_migrations') IS NOT NULL THEN
    REVOKE ALL ON journey_migrations FROM PUBLIC, authenticated;
    IF to_regrole('anon') IS NOT NULL THEN REVOKE ALL ON journey_migrations FROM anon; END IF;
    GRANT SELECT ON journey_migrations TO journey_adapter;
    CREATE POLICY journey_migrations_journey_adapter ON journey_migrations FOR SELECT TO journey_adapter USING (true);
  END IF;

  -- The adapter serves all organizations; where row level security is off it needs no policy.
  FOREACH relation IN ARRAY ARRAY[
    'client_journey_events', 'client_journey_scores', 'journey_identities', 'journey_client_state', 'journey_invoices',
    'journey_outbox', 'contacts', 'organizations']
  LOOP
    IF (SELECT relrowsecurity FROM pg_class WHERE oid = relation::regclass) THEN
      EXECUTE format(
        'CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter', relation);
    END IF;
  END LOOP;
END
$access$;
