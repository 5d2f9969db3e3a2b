-- Lists say up to when they are right: all clients are evaluated up to this moment, whatever has changed by time alone.

DO $functions$
DECLARE
  -- As in 110: [name] is the relation's qualified name. The oldest entry of one index is read, whose the client is does
  -- not matter: with the caller's rights row level security would look at every other organisation's overdue client
  -- first. It tells a moment and nothing else.
  statements text := $sql$
CREATE FUNCTION journey_evaluated_until() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
  SELECT COALESCE((
    SELECT check_at FROM [journey_client_state]
    WHERE check_at IS NOT NULL AND check_at <= pg_catalog.now() AND merged_into IS NULL ORDER BY check_at LIMIT 1
  ), pg_catalog.now())
$function$;
$sql$;
BEGIN
  EXECUTE replace(statements, '[journey_client_state]', (
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'journey_client_state'::regclass));
END
$functions$;
COMMENT ON FUNCTION journey_evaluated_until() IS
  'Up to which moment all clients are evaluated: now, or when the first fell due at whom no sweep has looked yet.';

-- Counts that are kept say up to when what they counted was right.
ALTER TABLE journey_maps ADD COLUMN stages_as_of timestamptz, ADD COLUMN flows_as_of timestamptz;
COMMENT ON COLUMN journey_maps.stages_as_of IS 'Up to when all clients were evaluated as the stages were counted.';
COMMENT ON COLUMN journey_maps.flows_as_of IS 'Up to when all clients were evaluated as moves and days were counted.';

REVOKE ALL ON FUNCTION journey_evaluated_until() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION journey_evaluated_until() TO authenticated, journey_adapter;
