-- What becomes of an action after it was published.

CREATE TABLE journey_action_states (
  action_id uuid PRIMARY KEY REFERENCES client_journey_scores (id) ON DELETE CASCADE,
  org_id uuid NOT NULL,
  state text,
  changed_at timestamptz NOT NULL,
  snoozed_until timestamptz,
  history jsonb NOT NULL,
  revocation text,
  claimed_until timestamptz,
  CONSTRAINT journey_action_states_state_check CHECK (state IN (
    'delivered', 'opened', 'accepted', 'rejected', 'failed', 'no_response', 'expired', 'revoked', 'superseded')),
  CONSTRAINT journey_action_states_revocation_check CHECK (revocation IN ('pending', 'sent', 'unsent'))
) WITH (fillfactor = 80);
CREATE INDEX idx_journey_action_states_revocation ON journey_action_states (claimed_until NULLS FIRST, changed_at)
  WHERE revocation = 'pending';
COMMENT ON TABLE journey_action_states IS
  'What has happened to an action since it was published; no row: nothing. Written under the lock of its client''s state.';
COMMENT ON COLUMN journey_action_states.state IS 'NULL: it is only snoozed.';
COMMENT ON COLUMN journey_action_states.changed_at IS 'When its state changed last, as those say who reported it.';
COMMENT ON COLUMN journey_action_states.history IS
  'Each state and each outcome once, in the order in which they became known: state, outcome, at, recordedAt, by, detail.';
COMMENT ON COLUMN journey_action_states.revocation IS
  'Of what is revoked or superseded: pending, its message follows once the action is published; sent, or needless because the action has expired; unsent, the action never reached the broker.';
COMMENT ON COLUMN journey_action_states.claimed_until IS
  'Until when an instance is sending the revocation, or leaves it alone because its action is not published yet.';

ALTER TABLE journey_client_state ADD COLUMN redecide boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN journey_client_state.redecide IS
  'The next evaluation as time passes decides and publishes, even if it finds what the last one found.';

ALTER TABLE journey_outbox ADD COLUMN maybe_sent boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN journey_outbox.maybe_sent IS
  'Whether an attempt may have reached the broker: false only where each is known to have failed.';

CREATE OR REPLACE VIEW journey_actions WITH (security_invoker = true) AS
  SELECT s.id, s.org_id, s.client_id, s.event_id, s.action, s.channel, s.priority, s.reason, s.score, s.risk_level,
    s.channel || '.' || s.action || '.' || s.priority AS routing_key, s.traceparent, s.generated_at AS decided_at,
    s.generated_at AS not_before, s.expires_at, COALESCE(o.attempts, 0) AS attempts,
    CASE WHEN l.revocation = 'unsent' THEN NULL WHEN o.id IS NULL
      THEN LEAST(to_timestamp(('x' || translate(left(s.outbox_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0), now())
      ELSE o.confirmed_at END AS published_at,
    COALESCE(l.state, CASE WHEN o.id IS NOT NULL AND o.confirmed_at IS NULL THEN 'proposed' ELSE 'published' END) AS state,
    s.explanation, s.outbox_id, l.changed_at, l.snoozed_until, l.history
  FROM client_journey_scores s
  LEFT JOIN journey_outbox o ON o.id = s.outbox_id
  LEFT JOIN journey_action_states l ON l.action_id = s.id
  WHERE s.outbox_id IS NOT NULL;
COMMENT ON VIEW journey_actions IS
  'The scores that led to an action, and what has become of it. An action has the id of its score. published_at is the time of the decision once the batch has left the outbox.';

-- What was done for a client, and where it cannot be reached, belongs to the client that it has become, and after a
-- split to both.
DO $functions$
DECLARE
  merging text := pg_get_functiondef('journey_merge_clients(uuid, uuid, uuid)'::regprocedure);
  splitting text := pg_get_functiondef('journey_split_client(uuid, uuid, boolean)'::regprocedure);
  changed text;
  relation text;
BEGIN
  changed := replace(merging, $old$
  SET summary = '', stage = latest.stage,$old$, $new$
  SET summary = '', outreach = s.outreach || (SELECT m.outreach FROM [journey_merges] m WHERE m.client_id = v_from),
    redecide = s.redecide OR (SELECT f.redecide FROM [journey_client_state] f WHERE f.client_id = v_from),
    stage = latest.stage,$new$);
  IF changed = merging THEN RAISE EXCEPTION 'journey_merge_clients is not as 131 made it'; END IF;
  merging := changed;
  changed := replace(splitting, $old$SET merged_into = NULL, outreach = COALESCE(v_merge.outreach, '')$old$,
    $new$SET merged_into = NULL, outreach = COALESCE(v_merge.outreach, '') || (
      SELECT r.outreach FROM [journey_client_state] r WHERE r.client_id = v_root)$new$);
  IF changed = splitting THEN RAISE EXCEPTION 'journey_split_client is not as 131 made it'; END IF;
  splitting := changed;
  FOREACH relation IN ARRAY ARRAY['journey_merges', 'journey_client_state'] LOOP
    changed := (
      SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation::regclass);
    merging := replace(merging, '[' || relation || ']', changed);
    splitting := replace(splitting, '[' || relation || ']', changed);
  END LOOP;
  EXECUTE merging;
  EXECUTE splitting;
END
$functions$;

DO $access$
DECLARE
  grantee text;
  membership constant text := '(org_id IN (SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())))';
BEGIN
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON journey_action_states FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
  EXECUTE 'ALTER TABLE journey_action_states ENABLE ROW LEVEL SECURITY';
  EXECUTE 'CREATE POLICY journey_action_states_journey_adapter ON journey_action_states TO journey_adapter USING (true) WITH CHECK (true)';
  EXECUTE 'GRANT SELECT, INSERT, UPDATE ON journey_action_states TO journey_adapter';
  IF to_regrole('authenticated') IS NOT NULL THEN
    EXECUTE 'CREATE POLICY journey_action_states_select ON journey_action_states FOR SELECT TO authenticated USING ' || membership;
    EXECUTE 'GRANT SELECT ON journey_action_states TO authenticated';
  END IF;
END
$access$;
