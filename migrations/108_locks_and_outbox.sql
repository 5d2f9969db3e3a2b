-- What a commit's foreign keys ask for is locked before anything is written, parents before children, so that the host application's locks and deletes meet
-- neither deadlocks nor stalled instances; and actions that cannot be read hold no others back.

-- The adapter has no right to change organizations, and needs one to lock them: so it has a function for just that.
CREATE FUNCTION journey_lock_organizations(p_orgs uuid[]) RETURNS SETOF uuid
LANGUAGE sql VOLATILE SECURITY DEFINER ROWS 10 AS $function$
  SELECT id FROM organizations WHERE id = ANY (p_orgs) FOR KEY SHARE SKIP LOCKED
$function$;
COMMENT ON FUNCTION journey_lock_organizations(uuid[]) IS
  'Locks organizations as a foreign key does, until the transaction ends, and returns those that it got: what another transaction holds is passed over.';

CREATE OR REPLACE FUNCTION journey_merge_clients(p_org uuid, p_from uuid, p_into uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER AS $function$
DECLARE
  v_from uuid;
  v_into uuid;
BEGIN
  -- Contacts before everything that refers to them: a host that deletes one holds it first, too.
  PERFORM 1 FROM contacts
  WHERE org_id = p_org AND id = ANY (ARRAY[
    p_from, p_into, (SELECT merged_into FROM journey_client_state WHERE client_id = p_from),
    (SELECT merged_into FROM journey_client_state WHERE client_id = p_into)])
  ORDER BY id FOR KEY SHARE;
  IF (SELECT count(*) FROM contacts WHERE org_id = p_org AND id IN (p_from, p_into)) <> (CASE WHEN p_from = p_into THEN 1 ELSE 2 END) THEN
    RAISE EXCEPTION 'not both of % and % are clients of the organisation %', p_from, p_into, p_org USING ERRCODE = 'foreign_key_violation';
  END IF;
  INSERT INTO journey_client_state (client_id, org_id) VALUES (p_from, p_org), (p_into, p_org) ON CONFLICT (client_id) DO NOTHING;
  -- In the order in which every batch locks clients. Another merge may have come first, so what they have become is read under the lock, until both are found.
  LOOP
    v_from := COALESCE((SELECT merged_into FROM journey_client_state WHERE client_id = p_from), p_from);
    v_into := COALESCE((SELECT merged_into FROM journey_client_state WHERE client_id = p_into), p_into);
    IF v_from = v_into THEN RETURN v_into; END IF;
    PERFORM 1 FROM journey_client_state WHERE client_id IN (v_from, v_into) ORDER BY client_id FOR UPDATE;
    EXIT WHEN NOT EXISTS (SELECT FROM journey_client_state WHERE client_id IN (v_from, v_into) AND merged_into IS NOT NULL);
  END LOOP;

  UPDATE client_journey_events SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  UPDATE client_journey_scores SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  UPDATE journey_identities SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  INSERT INTO journey_invoices AS mine (client_id, org_id, invoice_id, overdue_at, settled_at, amount, currency)
    SELECT v_into, org_id, invoice_id, overdue_at, settled_at, amount, currency FROM journey_invoices WHERE client_id = v_from
    ON CONFLICT (client_id, invoice_id) DO UPDATE
    SET overdue_at = LEAST(mine.overdue_at, EXCLUDED.overdue_at), settled_at = LEAST(mine.settled_at, EXCLUDED.settled_at),
      amount = COALESCE(mine.amount, EXCLUDED.amount), currency = COALESCE(mine.currency, EXCLUDED.currency);
  DELETE FROM journey_invoices WHERE client_id = v_from;

  UPDATE journey_client_state SET merged_into = v_into WHERE merged_into = v_from;
  UPDATE journey_client_state
  SET merged_into = v_into, summary = '', outreach = '', stage = NULL, stage_at = NULL, score = NULL, risk_level = NULL, risks = '{}',
    last_event_at = NULL, due_at = NULL, updated_at = now()
  WHERE client_id = v_from;
  -- The summary is made anew from all events when the client is met next.
  UPDATE journey_client_state s
  SET summary = '', stage = latest.stage, stage_at = latest.occurred_at,
    last_event_at = (SELECT max(occurred_at) FROM client_journey_events WHERE client_id = v_into), updated_at = now()
  FROM (SELECT 1) one
  LEFT JOIN LATERAL (
    SELECT stage, occurred_at FROM client_journey_events WHERE client_id = v_into AND sets_stage
    ORDER BY occurred_at DESC, source_event_id DESC LIMIT 1) latest ON true
  WHERE s.client_id = v_into;
  RETURN v_into;
END
$function$;

ALTER TABLE journey_outbox ADD COLUMN failure text;
COMMENT ON COLUMN journey_outbox.failure IS
  'Why the actions could not be read or published when they were last tried, for a person; NULL: nothing is wrong. They are tried again at next_attempt_at; never where that is infinity.';
CREATE INDEX idx_journey_outbox_failed ON journey_outbox (id) WHERE confirmed_at IS NULL AND failure IS NOT NULL;

DO $access$
DECLARE
  routine regprocedure;
  grantee text;
BEGIN
  -- The path of the migration: the host's tables may lie in another schema. With a temporary schema first, a caller could put a relation of its own in the place of one that is meant.
  FOREACH routine IN ARRAY ARRAY[
    'journey_lock_organizations(uuid[])', 'journey_merge_clients(uuid, uuid, uuid)', 'journey_absorb_identity(uuid, text, text, uuid)',
    'journey_forget_summary()']::regprocedure[]
  LOOP
    EXECUTE format(
      'ALTER FUNCTION %s SET search_path = %s, pg_temp', routine,
      (SELECT string_agg(quote_ident(name), ', ' ORDER BY place) FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (name, place)));
    FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
      CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
      EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', routine, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
  END LOOP;
  GRANT EXECUTE ON FUNCTION journey_lock_organizations(uuid[]) TO journey_adapter;
  -- An outbox row whose clients are all gone has nothing left to publish.
  GRANT DELETE ON journey_outbox TO journey_adapter;
END
$access$;
