-- A host that corrects or deletes events has their clients evaluated anew, as one that inserts events has: at once for
-- all rows of a statement, and whatever was changed about them.

DO $functions$
DECLARE
  relation text;
  -- As in 110: the path of the migration, and temporary objects last.
  path constant text := (
    SELECT string_agg(quote_ident(name), ', ' ORDER BY place) || ', pg_temp'
    FROM unnest(current_schemas(false)) WITH ORDINALITY AS schemas (name, place));
  -- [name] is the relation's qualified name.
  statements text := $sql$
CREATE OR REPLACE FUNCTION journey_forget_summary() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = [path] AS $function$
BEGIN
  -- Whoever may execute it could hang it on a table of their own.
  IF TG_RELID <> '[client_journey_events]'::pg_catalog.regclass OR TG_LEVEL <> 'STATEMENT' OR TG_WHEN <> 'AFTER' THEN
    RAISE EXCEPTION 'journey_forget_summary() is for statements that change client_journey_events only'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  -- A row a client and statement, however many events it has there. Also where there is no state yet: an instance that
  -- is about to add one then waits, and reads these events. In the order in which every batch locks clients. A summary
  -- that is empty already, and about to be made, is not written again, but locked.
  IF TG_OP = 'INSERT' THEN
    INSERT INTO [journey_client_state] AS s (client_id, org_id, check_at)
      SELECT DISTINCT ON (client_id) client_id, org_id, now() FROM inserted WHERE source IS NULL ORDER BY client_id
      ON CONFLICT (client_id) DO UPDATE SET summary = '', check_at = now()
      WHERE s.summary <> '' OR s.merged_into IS NULL AND (s.check_at IS NULL OR s.check_at > now());
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO [journey_client_state] AS s (client_id, org_id, check_at)
      SELECT DISTINCT ON (client_id) client_id, org_id, now()
      FROM (SELECT client_id, org_id FROM before UNION ALL SELECT client_id, org_id FROM after) AS changed
      ORDER BY client_id
      ON CONFLICT (client_id) DO UPDATE SET summary = '', check_at = now()
      WHERE s.summary <> '' OR s.merged_into IS NULL AND (s.check_at IS NULL OR s.check_at > now());
  ELSIF TG_OP = 'DELETE' THEN
    -- The events may go because their client does: then there is nobody to add a state for.
    INSERT INTO [journey_client_state] AS s (client_id, org_id, check_at)
      SELECT client_id, org_id, now()
      FROM (SELECT DISTINCT ON (client_id) client_id, org_id FROM removed ORDER BY client_id) AS r
      WHERE EXISTS (SELECT FROM [journey_client_state] t WHERE t.client_id = r.client_id)
        OR EXISTS (SELECT FROM [contacts] c WHERE c.id = r.client_id)
      ORDER BY client_id
      ON CONFLICT (client_id) DO UPDATE SET summary = '', check_at = now()
      WHERE s.summary <> '' OR s.merged_into IS NULL AND (s.check_at IS NULL OR s.check_at > now());
  ELSE
    UPDATE [journey_client_state] SET summary = '', check_at = now() WHERE summary <> '';
  END IF;
  RETURN NULL;
END
$function$;
$sql$;
BEGIN
  statements := replace(statements, '[path]', path);
  FOREACH relation IN ARRAY ARRAY['contacts', 'client_journey_events', 'journey_client_state'] LOOP
    statements := replace(statements, '[' || relation || ']', (
      SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation::regclass));
  END LOOP;
  EXECUTE statements;
END
$functions$;
COMMENT ON FUNCTION journey_forget_summary() IS
  'Empties the summaries of clients whose events were written, corrected or deleted: they are made anew from all events.';

-- The adapter itself changes no event, but when two clients become one; both are locked then already.
CREATE TRIGGER journey_forget_corrected AFTER UPDATE ON client_journey_events
  REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION journey_forget_summary();
CREATE TRIGGER journey_forget_deleted AFTER DELETE ON client_journey_events
  REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION journey_forget_summary();
CREATE TRIGGER journey_forget_all AFTER TRUNCATE ON client_journey_events
  FOR EACH STATEMENT EXECUTE FUNCTION journey_forget_summary();

-- Where the time is set already, nothing is called for each row: a statement may concern every client there is.
CREATE OR REPLACE TRIGGER journey_check_soon BEFORE UPDATE OF summary ON journey_client_state
  FOR EACH ROW WHEN (NEW.summary = '' AND NEW.merged_into IS NULL AND NEW.check_at IS DISTINCT FROM now())
  EXECUTE FUNCTION journey_check_soon();
CREATE OR REPLACE TRIGGER journey_check_soon_new BEFORE INSERT ON journey_client_state
  FOR EACH ROW
  WHEN (NEW.summary = '' AND current_user <> 'journey_adapter' AND NEW.check_at IS DISTINCT FROM now())
  EXECUTE FUNCTION journey_check_soon();
