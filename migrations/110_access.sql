-- What runs with the owner's rights: as little as possible, by qualified names, on a path of its own that a caller
-- cannot stand in front of. And a bulk insert by the host's members costs what its rows cost, however many there are.
--
-- Who holds which privileges is put right and compared by `journey migrate` after the last file, with one list for all
-- of them.

DO $functions$
DECLARE
  relation text;
  -- The path of the migration: the host's tables may lie in another schema than ours. Temporary objects come last.
  path constant text := (
    SELECT string_agg(quote_ident(name), ', ' ORDER BY place) || ', pg_temp'
    FROM unnest(current_schemas(false)) WITH ORDINALITY AS schemas (name, place));
  -- [name] is the relation's qualified name.
  statements text := $sql$
CREATE OR REPLACE FUNCTION journey_lock_organizations(p_orgs uuid[]) RETURNS SETOF uuid
LANGUAGE sql VOLATILE SECURITY DEFINER ROWS 10 SET search_path = [path] AS $function$
  SELECT id FROM [organizations] WHERE id = ANY (p_orgs) FOR KEY SHARE SKIP LOCKED
$function$;

CREATE OR REPLACE FUNCTION journey_merge_clients(p_org uuid, p_from uuid, p_into uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = [path] AS $function$
DECLARE
  v_from uuid;
  v_into uuid;
BEGIN
  -- Contacts before everything that refers to them: a host that deletes one holds it first, too.
  PERFORM 1 FROM [contacts]
  WHERE org_id = p_org AND id = ANY (ARRAY[
    p_from, p_into, (SELECT merged_into FROM [journey_client_state] WHERE client_id = p_from),
    (SELECT merged_into FROM [journey_client_state] WHERE client_id = p_into)])
  ORDER BY id FOR KEY SHARE;
  IF (SELECT count(*) FROM [contacts] WHERE org_id = p_org AND id IN (p_from, p_into))
    <> (CASE WHEN p_from = p_into THEN 1 ELSE 2 END)
  THEN
    RAISE EXCEPTION 'not both of % and % are clients of the organisation %', p_from, p_into, p_org
      USING ERRCODE = 'foreign_key_violation';
  END IF;
  INSERT INTO [journey_client_state] (client_id, org_id) VALUES (p_from, p_org), (p_into, p_org)
    ON CONFLICT (client_id) DO NOTHING;
  -- In the order in which every batch locks clients. Another merge may have come first, so what they have become is
  -- read under the lock, until both are found.
  LOOP
    v_from := COALESCE((SELECT merged_into FROM [journey_client_state] WHERE client_id = p_from), p_from);
    v_into := COALESCE((SELECT merged_into FROM [journey_client_state] WHERE client_id = p_into), p_into);
    IF v_from = v_into THEN RETURN v_into; END IF;
    PERFORM 1 FROM [journey_client_state] WHERE client_id IN (v_from, v_into) ORDER BY client_id FOR UPDATE;
    EXIT WHEN NOT EXISTS (
      SELECT FROM [journey_client_state] WHERE client_id IN (v_from, v_into) AND merged_into IS NOT NULL);
  END LOOP;

  UPDATE [client_journey_events] SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  UPDATE [client_journey_scores] SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  UPDATE [journey_identities] SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  INSERT INTO [journey_invoices] AS mine (client_id, org_id, invoice_id, overdue_at, settled_at, amount, currency)
    SELECT v_into, org_id, invoice_id, overdue_at, settled_at, amount, currency
    FROM [journey_invoices] WHERE client_id = v_from
    ON CONFLICT (client_id, invoice_id) DO UPDATE
    SET overdue_at = LEAST(mine.overdue_at, EXCLUDED.overdue_at),
      settled_at = LEAST(mine.settled_at, EXCLUDED.settled_at),
      amount = COALESCE(mine.amount, EXCLUDED.amount), currency = COALESCE(mine.currency, EXCLUDED.currency);
  DELETE FROM [journey_invoices] WHERE client_id = v_from;

  UPDATE [journey_client_state] SET merged_into = v_into WHERE merged_into = v_from;
  UPDATE [journey_client_state]
  SET merged_into = v_into, summary = '', outreach = '', stage = NULL, stage_at = NULL, score = NULL, risk_level = NULL,
    risks = '{}', last_event_at = NULL, due_at = NULL, updated_at = now()
  WHERE client_id = v_from;
  -- The summary is made anew from all events when the client is met next. As there, a time outside of the years 1 to
  -- 9999, which only a host can have written, is none.
  UPDATE [journey_client_state] s
  SET summary = '', stage = latest.stage, stage_at = latest.occurred_at, last_event_at = (
      SELECT max(occurred_at) FROM [client_journey_events]
      WHERE client_id = v_into AND occurred_at BETWEEN '0001-01-01' AND '9999-12-31'),
    updated_at = now()
  FROM (SELECT 1) one
  LEFT JOIN LATERAL (
    SELECT stage, occurred_at FROM [client_journey_events]
    WHERE client_id = v_into AND sets_stage AND occurred_at BETWEEN '0001-01-01' AND '9999-12-31'
    ORDER BY occurred_at DESC, source_event_id DESC LIMIT 1) latest ON true
  WHERE s.client_id = v_into;
  RETURN v_into;
END
$function$;

-- With the rights of its caller, the adapter, which may do all of this itself.
CREATE OR REPLACE FUNCTION journey_absorb_identity(p_org uuid, p_source text, p_external text, p_client uuid)
RETURNS uuid
LANGUAGE plpgsql SECURITY INVOKER SET search_path = [path] AS $function$
DECLARE
  v_other uuid;
BEGIN
  INSERT INTO [journey_identities] (org_id, source, external_id, client_id)
    VALUES (p_org, p_source, p_external, p_client)
  ON CONFLICT (org_id, source, external_id) DO NOTHING;
  SELECT client_id INTO v_other FROM [journey_identities]
  WHERE org_id = p_org AND source = p_source AND external_id = p_external;
  IF v_other = p_client THEN RETURN p_client; END IF;
  RETURN [schema].journey_merge_clients(p_org, v_other, p_client);
END
$function$;

CREATE OR REPLACE FUNCTION journey_forget_summary() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = [path] AS $function$
BEGIN
  -- Whoever may execute it could hang it on a table of their own.
  IF TG_RELID <> '[client_journey_events]'::pg_catalog.regclass OR TG_OP <> 'INSERT' OR TG_LEVEL <> 'STATEMENT' THEN
    RAISE EXCEPTION 'journey_forget_summary() is for inserts into client_journey_events only'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  -- A row a client and statement, however many events it has there. Also where there is no state yet: an instance that
  -- is about to add one then waits, and reads these events. In the order in which every batch locks clients.
  INSERT INTO [journey_client_state] (client_id, org_id)
    SELECT DISTINCT ON (client_id) client_id, org_id FROM inserted WHERE source IS NULL ORDER BY client_id
    ON CONFLICT (client_id) DO UPDATE SET summary = '';
  RETURN NULL;
END
$function$;
$sql$;
BEGIN
  statements := replace(statements, '[path]', path);
  statements := replace(statements, '[schema]', quote_ident(current_schema()));
  FOREACH relation IN ARRAY ARRAY[
    'organizations', 'contacts', 'client_journey_events', 'client_journey_scores', 'journey_identities',
    'journey_client_state', 'journey_invoices']
  LOOP
    statements := replace(statements, '[' || relation || ']', (
      SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation::regclass));
  END LOOP;
  EXECUTE statements;
END
$functions$;

-- The adapter's own rows have a source, so it is not called for them: nothing is added to a commit but a copy of the
-- rows.
CREATE OR REPLACE TRIGGER journey_forget_summary AFTER INSERT ON client_journey_events
  REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT WHEN (current_user <> 'journey_adapter')
  EXECUTE FUNCTION journey_forget_summary();
