-- When two clients become one, what happened to the one is found by its id. Before the server has counted a table that a
-- host has just filled, the organisation looked as good: all its events were read. So only the client is looked up, and
-- the organisation compared.

DO $merge$
DECLARE
  definition text := pg_get_functiondef('journey_merge_clients(uuid, uuid, uuid)'::regprocedure);
  compared text := replace(
    definition, 'WHERE client_id = v_from AND org_id = p_org', 'WHERE client_id = v_from AND (org_id = p_org) IS TRUE');
BEGIN
  IF compared = definition THEN RAISE EXCEPTION 'journey_merge_clients is not as 110 made it'; END IF;
  EXECUTE compared;
END
$merge$;
