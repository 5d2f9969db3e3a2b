-- An operator holds actions: none that matches is published until the hold is released.

CREATE TABLE journey_holds (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  channel text COLLATE "C",
  action text COLLATE "C",
  org_id uuid,
  until timestamptz,
  actor text NOT NULL,
  login text NOT NULL DEFAULT session_user,
  why text NOT NULL,
  released_at timestamptz,
  released_by text,
  released_login text,
  released_why text,
  rate float8,
  next_at timestamptz,
  CONSTRAINT journey_holds_names_something_check CHECK (COALESCE(channel, action, org_id::text) IS NOT NULL),
  CONSTRAINT journey_holds_rate_check CHECK (rate > 0)
);
COMMENT ON TABLE journey_holds IS
  'Who held which actions, when, why and until when. Added to; only its release is written later. It is open until it is released or until has passed.';
COMMENT ON COLUMN journey_holds.channel IS 'NULL: every channel; likewise action and org_id.';
COMMENT ON COLUMN journey_holds.actor IS 'The person, as it names itself.';
COMMENT ON COLUMN journey_holds.login IS 'The database login under which it was written.';
COMMENT ON COLUMN journey_holds.rate IS 'For how many clients a second the held actions are decided again; NULL: 100.';
COMMENT ON COLUMN journey_holds.next_at IS 'From when on the next clients are decided again, by any instance.';

ALTER TABLE journey_leases ADD COLUMN holds int8[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN journey_leases.holds IS
  'The holds that it has carried out: it publishes nothing that they match, and nothing of it is under way.';

ALTER TABLE journey_outbox ADD COLUMN hold_id int8;
COMMENT ON COLUMN journey_outbox.hold_id IS
  'The hold because of which the actions are not published; they are decided again after it. next_attempt_at is then infinity.';
CREATE INDEX idx_journey_outbox_held ON journey_outbox (hold_id, id) WHERE hold_id IS NOT NULL;

CREATE OR REPLACE VIEW journey_actions WITH (security_invoker = true) AS
  SELECT s.id, s.org_id, s.client_id, s.event_id, s.action, s.channel, s.priority, s.reason, s.score, s.risk_level,
    s.channel || '.' || s.action || '.' || s.priority AS routing_key, s.traceparent, s.generated_at AS decided_at,
    s.generated_at AS not_before, s.expires_at, COALESCE(o.attempts, 0) AS attempts,
    CASE WHEN l.revocation = 'unsent' THEN NULL WHEN o.id IS NULL
      THEN LEAST(to_timestamp(('x' || translate(left(s.outbox_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0), now())
      ELSE o.confirmed_at END AS published_at,
    COALESCE(l.state, CASE WHEN o.id IS NULL OR o.confirmed_at IS NOT NULL THEN 'published'
      WHEN o.hold_id IS NOT NULL THEN 'held' ELSE 'proposed' END) AS state,
    s.explanation, s.outbox_id, l.changed_at, l.snoozed_until, l.history
  FROM client_journey_scores s
  LEFT JOIN journey_outbox o ON o.id = s.outbox_id
  LEFT JOIN journey_action_states l ON l.action_id = s.id
  WHERE s.outbox_id IS NOT NULL;

DO $functions$
DECLARE
  -- As the owner, because members may not read holds. It says yes or no of one action, whose id only its organisation
  -- knows.
  statements text := $sql$
CREATE FUNCTION journey_is_held(action uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
  SELECT EXISTS (
    SELECT FROM [client_journey_scores] s JOIN [journey_holds] h ON (h.channel IS NULL OR h.channel = s.channel)
      AND (h.action IS NULL OR h.action = s.action) AND (h.org_id IS NULL OR h.org_id = s.org_id)
    WHERE s.id = $1 AND h.released_at IS NULL AND (h.until IS NULL OR h.until > pg_catalog.now()))
$function$;
$sql$;
  relation text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['client_journey_scores', 'journey_holds'] LOOP
    statements := replace(statements, '[' || relation || ']', (
      SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation::regclass));
  END LOOP;
  EXECUTE statements;
END
$functions$;
COMMENT ON FUNCTION journey_is_held(uuid) IS
  'Whether a hold forbids to run an action, even one that is in its queue already.';

-- What is decided again after a hold is found even where nothing else is evaluated as time passes.
CREATE INDEX idx_journey_client_state_redecide ON journey_client_state (check_at) WHERE redecide;

DO $access$
DECLARE
  grantee text;
BEGIN
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON journey_holds FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    EXECUTE format(
      'REVOKE ALL ON SEQUENCE journey_holds_id_seq FROM %s',
      CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
  IF to_regrole('authenticated') IS NOT NULL THEN
    -- The view that members read asks for it.
    GRANT SELECT (hold_id) ON journey_outbox TO authenticated;
    GRANT EXECUTE ON FUNCTION journey_is_held(uuid) TO authenticated;
  END IF;
END
$access$;
REVOKE ALL ON FUNCTION journey_is_held(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION journey_is_held(uuid) TO journey_adapter;
ALTER TABLE journey_holds ENABLE ROW LEVEL SECURITY;
CREATE POLICY journey_holds_journey_adapter ON journey_holds TO journey_adapter USING (true) WITH CHECK (true);
-- Not the time and the login: the database says these.
GRANT SELECT, INSERT (channel, action, org_id, until, actor, why),
  UPDATE (released_at, released_by, released_login, released_why, rate, next_at) ON journey_holds TO journey_adapter;
