-- A merge can be undone: what moves to another client keeps the id of the client that it came from, and so does what
-- arrives later under an id of that client.

ALTER TABLE client_journey_events ADD COLUMN origin_id uuid;
ALTER TABLE client_journey_scores ADD COLUMN origin_id uuid;
ALTER TABLE journey_identities ADD COLUMN origin_id uuid;
COMMENT ON COLUMN client_journey_events.origin_id IS
  'The merged client that the event belongs to: it goes back to it when the merge is undone. NULL: client_id.';
COMMENT ON COLUMN client_journey_scores.origin_id IS
  'The merged client that the score was computed for. NULL: client_id, or the origin of the event.';
COMMENT ON COLUMN journey_identities.origin_id IS 'The merged client that the id belongs to. NULL: client_id.';

CREATE TABLE journey_merges (
  client_id uuid PRIMARY KEY,
  org_id uuid NOT NULL,
  into_id uuid NOT NULL,
  merged_at timestamptz NOT NULL DEFAULT now(),
  is_recorded boolean NOT NULL DEFAULT true,
  outreach bytea NOT NULL DEFAULT '',
  CONSTRAINT journey_merges_client_fk FOREIGN KEY (client_id, org_id)
    REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_merges_into ON journey_merges (into_id);
COMMENT ON TABLE journey_merges IS
  'Which client became part of which. A row counts while the client''s state names a client that it was merged into.';
COMMENT ON COLUMN journey_merges.into_id IS
  'The client that remained then. It may have become part of another since, which journey_client_state.merged_into names.';
COMMENT ON COLUMN journey_merges.is_recorded IS
  'Whether the rows that moved have an origin. A merge from before this table has none.';
COMMENT ON COLUMN journey_merges.outreach IS 'The client''s contact limits before the merge.';

CREATE TABLE journey_kept_apart (
  client_id uuid NOT NULL,
  other_id uuid NOT NULL,
  org_id uuid NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (client_id, other_id),
  CONSTRAINT journey_kept_apart_order_check CHECK (client_id < other_id),
  CONSTRAINT journey_kept_apart_client_fk FOREIGN KEY (client_id, org_id)
    REFERENCES contacts (id, org_id) ON DELETE CASCADE,
  CONSTRAINT journey_kept_apart_other_fk FOREIGN KEY (other_id, org_id)
    REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_kept_apart_other ON journey_kept_apart (other_id);
COMMENT ON TABLE journey_kept_apart IS 'Clients that were split: no event merges them again. A person may.';

-- Merges from before: who is part of whom is known, and of some ids whose they were.
INSERT INTO journey_merges (client_id, org_id, into_id, is_recorded)
  SELECT client_id, org_id, merged_into, false FROM journey_client_state WHERE merged_into IS NOT NULL;
UPDATE journey_identities d SET origin_id = l.origin
FROM (
  SELECT DISTINCT ON (org_id, source, external_id) org_id, source, external_id,
    CASE action WHEN 'merged' THEN other_client_id ELSE client_id END AS origin
  FROM journey_identity_log
  WHERE external_id IS NOT NULL AND action IN ('merged', 'linked') ORDER BY org_id, source, external_id, id) l
JOIN journey_client_state s ON s.client_id = l.origin
WHERE d.org_id = l.org_id AND d.source = l.source AND d.external_id = l.external_id AND s.merged_into = d.client_id;

DO $functions$
DECLARE
  relation text;
  -- As in 110: the path of the migration, and temporary objects last.
  path constant text := (
    SELECT string_agg(quote_ident(name), ', ' ORDER BY place) || ', pg_temp'
    FROM unnest(current_schemas(false)) WITH ORDINALITY AS schemas (name, place));
  -- [name] is the relation's qualified name.
  statements text := $sql$
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

  UPDATE [client_journey_events] SET client_id = v_into, origin_id = COALESCE(origin_id, v_from)
    WHERE client_id = v_from AND (org_id = p_org) IS TRUE;
  UPDATE [client_journey_scores] SET client_id = v_into, origin_id = COALESCE(origin_id, v_from)
    WHERE client_id = v_from AND (org_id = p_org) IS TRUE;
  UPDATE [journey_identities] SET client_id = v_into, origin_id = COALESCE(origin_id, v_from)
    WHERE client_id = v_from AND (org_id = p_org) IS TRUE;
  INSERT INTO [journey_invoices] AS mine (client_id, org_id, invoice_id, overdue_at, settled_at, amount, currency)
    SELECT v_into, org_id, invoice_id, overdue_at, settled_at, amount, currency
    FROM [journey_invoices] WHERE client_id = v_from
    ON CONFLICT (client_id, invoice_id) DO UPDATE
    SET overdue_at = LEAST(mine.overdue_at, EXCLUDED.overdue_at),
      settled_at = LEAST(mine.settled_at, EXCLUDED.settled_at),
      amount = COALESCE(mine.amount, EXCLUDED.amount), currency = COALESCE(mine.currency, EXCLUDED.currency);
  DELETE FROM [journey_invoices] WHERE client_id = v_from;

  INSERT INTO [journey_merges] (client_id, org_id, into_id, outreach)
    SELECT v_from, p_org, v_into, outreach FROM [journey_client_state] WHERE client_id = v_from
    ON CONFLICT (client_id) DO UPDATE
    SET org_id = EXCLUDED.org_id, into_id = EXCLUDED.into_id, merged_at = EXCLUDED.merged_at, is_recorded = true,
      outreach = EXCLUDED.outreach;
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
      WHERE client_id = v_into AND voided_at IS NULL AND occurred_at BETWEEN '0001-01-01' AND '9999-12-31'),
    updated_at = now()
  FROM (SELECT 1) one
  LEFT JOIN LATERAL (
    SELECT stage, occurred_at FROM [client_journey_events]
    WHERE client_id = v_into AND sets_stage AND voided_at IS NULL AND occurred_at BETWEEN '0001-01-01' AND '9999-12-31'
    ORDER BY occurred_at DESC, source_event_id DESC LIMIT 1) latest ON true
  WHERE s.client_id = v_into;
  -- Two members of a group may have become its only one.
  UPDATE [journey_groups] g SET due_at = now()
  WHERE (g.org_id, g.source, g.group_id) IN (
      SELECT m.org_id, m.source, m.group_id FROM [journey_group_members] m
      WHERE m.client_id IN (SELECT client_id FROM [journey_client_state] WHERE merged_into = v_into));
  RETURN v_into;
END
$function$;

CREATE FUNCTION journey_split_client(p_org uuid, p_client uuid, p_apart boolean)
RETURNS TABLE (was_in uuid, into_id uuid, events bigint, scores bigint, identities bigint, invoices bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = [path] AS $function$
#variable_conflict use_column
DECLARE
  v_root uuid;
  v_tree uuid[];
  v_merge record;
  v_events bigint;
  v_scores bigint;
  v_identities bigint;
  v_invoices bigint;
  v_first uuid;
  v_second uuid;
BEGIN
  -- Contacts first, and then states by id, as in a merge.
  PERFORM 1 FROM [contacts]
  WHERE org_id = p_org AND id IN (
    p_client, (SELECT merged_into FROM [journey_client_state] WHERE client_id = p_client))
  ORDER BY id FOR KEY SHARE;
  LOOP
    v_root := (
      SELECT merged_into FROM [journey_client_state] WHERE client_id = p_client AND (org_id = p_org) IS TRUE);
    IF v_root IS NULL THEN RETURN; END IF;
    PERFORM 1 FROM [journey_client_state] WHERE client_id IN (p_client, v_root) ORDER BY client_id FOR UPDATE;
    EXIT WHEN EXISTS (
      SELECT FROM [journey_client_state] WHERE client_id = p_client AND merged_into = v_root);
  END LOOP;
  SELECT m.into_id, m.outreach INTO v_merge FROM [journey_merges] m WHERE m.client_id = p_client;
  -- The client, and those that had become part of it before.
  v_tree := ARRAY(
    WITH RECURSIVE tree AS (
      SELECT p_client AS id
      UNION
      SELECT m.client_id FROM tree t JOIN [journey_merges] m ON m.into_id = t.id
      JOIN [journey_client_state] s ON s.client_id = m.client_id WHERE s.merged_into = v_root)
    SELECT id FROM tree);

  UPDATE [client_journey_events] e SET client_id = p_client, origin_id = NULLIF(e.origin_id, p_client)
    WHERE e.client_id = v_root AND e.origin_id = ANY (v_tree) AND (e.org_id = p_org) IS TRUE;
  GET DIAGNOSTICS v_events = ROW_COUNT;
  UPDATE [client_journey_scores] s
    SET client_id = p_client, origin_id = NULLIF(
      CASE WHEN s.origin_id = ANY (v_tree) THEN s.origin_id
        ELSE (SELECT e.origin_id FROM [client_journey_events] e WHERE e.id = s.event_id) END, p_client)
    WHERE s.client_id = v_root AND (s.org_id = p_org) IS TRUE AND (
      s.origin_id = ANY (v_tree)
      OR s.event_id IN (SELECT e.id FROM [client_journey_events] e WHERE e.client_id = p_client));
  GET DIAGNOSTICS v_scores = ROW_COUNT;
  UPDATE [journey_identities] d SET client_id = p_client, origin_id = NULLIF(d.origin_id, p_client)
    WHERE d.client_id = v_root AND d.origin_id = ANY (v_tree) AND (d.org_id = p_org) IS TRUE;
  GET DIAGNOSTICS v_identities = ROW_COUNT;
  -- An invoice belongs to whoever has an event about it, and so to both if both have one. Its times are corrected with
  -- the summaries.
  INSERT INTO [journey_invoices] (client_id, org_id, invoice_id, overdue_at, settled_at, amount, currency)
    SELECT p_client, v.org_id, v.invoice_id, v.overdue_at, v.settled_at, v.amount, v.currency
    FROM [journey_invoices] v
    WHERE v.client_id = v_root AND v.invoice_id IN (
      SELECT unnest(ARRAY[e.metadata->>'invoiceId', 'event:' || COALESCE(e.source_event_id, e.id::text)])
      FROM [client_journey_events] e WHERE e.client_id = p_client)
    ON CONFLICT (client_id, invoice_id) DO NOTHING;
  GET DIAGNOSTICS v_invoices = ROW_COUNT;
  DELETE FROM [journey_invoices] v
    WHERE v.client_id = v_root AND v.invoice_id IN (
      SELECT mine.invoice_id FROM [journey_invoices] mine WHERE mine.client_id = p_client)
    AND v.invoice_id NOT IN (
      SELECT other.id FROM (
        SELECT unnest(ARRAY[e.metadata->>'invoiceId', 'event:' || COALESCE(e.source_event_id, e.id::text)]) AS id
        FROM [client_journey_events] e WHERE e.client_id = v_root) other
      WHERE other.id IS NOT NULL);

  DELETE FROM [journey_merges] m WHERE m.client_id = p_client;
  UPDATE [journey_client_state] s SET merged_into = p_client
    WHERE s.client_id = ANY (v_tree) AND s.client_id <> p_client;
  UPDATE [journey_client_state] s SET merged_into = NULL, outreach = COALESCE(v_merge.outreach, '')
    WHERE s.client_id = p_client;
  -- As after a merge: the summaries are made anew from the events.
  UPDATE [journey_client_state] s
  SET summary = '', stage = latest.stage, stage_at = latest.occurred_at, last_event_at = (
      SELECT max(e.occurred_at) FROM [client_journey_events] e
      WHERE e.client_id = s.client_id AND e.voided_at IS NULL AND e.occurred_at BETWEEN '0001-01-01' AND '9999-12-31'),
    updated_at = now()
  FROM [journey_client_state] t
  LEFT JOIN LATERAL (
    SELECT e.stage, e.occurred_at FROM [client_journey_events] e
    WHERE e.client_id = t.client_id AND e.sets_stage AND e.voided_at IS NULL AND e.occurred_at BETWEEN '0001-01-01' AND '9999-12-31'
    ORDER BY e.occurred_at DESC, e.source_event_id DESC LIMIT 1) latest ON true
  WHERE s.client_id = t.client_id AND t.client_id IN (p_client, v_root);
  IF p_apart THEN
    v_first := p_client;
    v_second := COALESCE((SELECT c.id FROM [contacts] c WHERE c.id = v_merge.into_id), v_root);
    INSERT INTO [journey_kept_apart] (client_id, other_id, org_id)
      VALUES (LEAST(v_first, v_second), GREATEST(v_first, v_second), p_org)
      ON CONFLICT (client_id, other_id) DO NOTHING;
  END IF;
  RETURN QUERY SELECT v_root, COALESCE(v_merge.into_id, v_root), v_events, v_scores, v_identities, v_invoices;
END
$function$;

-- With the rights of its caller, the adapter. Each of the two with all that became part of it.
CREATE FUNCTION journey_are_kept_apart(p_first uuid, p_second uuid) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = [path] AS $function$
  WITH root AS MATERIALIZED (
    SELECT COALESCE((SELECT merged_into FROM [journey_client_state] WHERE client_id = p_first), p_first) AS first,
      COALESCE((SELECT merged_into FROM [journey_client_state] WHERE client_id = p_second), p_second) AS second
  ), first AS MATERIALIZED (
    SELECT first AS id FROM root
    UNION ALL SELECT s.client_id FROM root JOIN [journey_client_state] s ON s.merged_into = root.first
  ), second AS MATERIALIZED (
    SELECT second AS id FROM root
    UNION ALL SELECT s.client_id FROM root JOIN [journey_client_state] s ON s.merged_into = root.second
  )
  SELECT EXISTS (
    SELECT FROM first f CROSS JOIN LATERAL (
      SELECT k.other_id AS id FROM [journey_kept_apart] k WHERE k.client_id = f.id
      UNION ALL
      SELECT k.client_id FROM [journey_kept_apart] k WHERE k.other_id = f.id) other
    WHERE other.id IN (SELECT id FROM second))
$function$;

-- A batch has looked up whose an event is before it locked the client. In between, a split may have taken it away.
CREATE FUNCTION journey_require_origins(p_origins uuid[], p_clients uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = [path] AS $function$
BEGIN
  IF EXISTS (
    SELECT FROM unnest(p_origins, p_clients) AS i(origin, client) JOIN [journey_client_state] s ON s.client_id = i.origin
    WHERE s.merged_into IS DISTINCT FROM i.client)
  THEN
    RAISE EXCEPTION 'a client was split meanwhile' USING ERRCODE = 'serialization_failure';
  END IF;
END
$function$;

-- A uuid that is the id of a client means this client, as it does in an event.
CREATE OR REPLACE FUNCTION journey_absorb_identity(p_org uuid, p_source text, p_external text, p_client uuid)
RETURNS uuid
LANGUAGE plpgsql SECURITY INVOKER SET search_path = [path] AS $function$
DECLARE
  v_other uuid;
  v_client uuid;
BEGIN
  v_client := COALESCE((SELECT merged_into FROM [journey_client_state] WHERE client_id = p_client), p_client);
  IF p_external ~ '^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$' THEN
    SELECT id INTO v_other FROM [contacts] WHERE id = p_external::uuid AND org_id = p_org;
  END IF;
  IF v_other IS NULL THEN
    INSERT INTO [journey_identities] (org_id, source, external_id, client_id, origin_id)
      VALUES (p_org, p_source, p_external, v_client, NULLIF(p_client, v_client))
    ON CONFLICT (org_id, source, external_id) DO NOTHING;
    SELECT client_id INTO v_other FROM [journey_identities]
    WHERE org_id = p_org AND source = p_source AND external_id = p_external;
  END IF;
  v_other := COALESCE((SELECT merged_into FROM [journey_client_state] WHERE client_id = v_other), v_other);
  IF v_other = v_client THEN RETURN v_client; END IF;
  IF [schema].journey_are_kept_apart(v_other, v_client) THEN RETURN v_client; END IF;
  RETURN [schema].journey_merge_clients(p_org, v_other, v_client);
END
$function$;
$sql$;
BEGIN
  statements := replace(statements, '[path]', path);
  statements := replace(statements, '[schema]', quote_ident(current_schema()));
  FOREACH relation IN ARRAY ARRAY[
    'contacts', 'client_journey_events', 'client_journey_scores', 'journey_identities', 'journey_client_state',
    'journey_invoices', 'journey_merges', 'journey_kept_apart', 'journey_groups', 'journey_group_members']
  LOOP
    statements := replace(statements, '[' || relation || ']', (
      SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation::regclass));
  END LOOP;
  EXECUTE statements;
END
$functions$;
COMMENT ON FUNCTION journey_split_client(uuid, uuid, boolean) IS
  'Undoes the merge of a client: what belonged to it, and what arrived under its ids since, is its own again. No row: it is part of no other.';
COMMENT ON FUNCTION journey_require_origins(uuid[], uuid[]) IS
  'Fails if one of the first clients is no longer part of the second one at the same position.';
COMMENT ON FUNCTION journey_are_kept_apart(uuid, uuid) IS 'Whether a person has split the two, so that no event merges them.';

DO $access$
DECLARE
  relation text;
  grantee text;
BEGIN
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    FOREACH relation IN ARRAY ARRAY['journey_merges', 'journey_kept_apart'] LOOP
      EXECUTE format(
        'REVOKE ALL ON %I FROM %s', relation, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
    EXECUTE format(
      'REVOKE ALL ON FUNCTION journey_split_client(uuid, uuid, boolean), journey_are_kept_apart(uuid, uuid), '
      'journey_require_origins(uuid[], uuid[]) FROM %s',
      CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
  FOREACH relation IN ARRAY ARRAY['journey_merges', 'journey_kept_apart'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format(
      'CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter',
      relation);
    EXECUTE format('GRANT SELECT ON %I TO journey_adapter', relation);
  END LOOP;
  -- A person who merges two clients lifts what kept them apart.
  GRANT DELETE ON journey_kept_apart TO journey_adapter;
  GRANT EXECUTE ON FUNCTION journey_split_client(uuid, uuid, boolean), journey_are_kept_apart(uuid, uuid),
    journey_require_origins(uuid[], uuid[]) TO journey_adapter;
END
$access$;

-- A remap that moves an event to another client says of which merged client it is.
GRANT UPDATE (origin_id) ON client_journey_events TO journey_adapter;
