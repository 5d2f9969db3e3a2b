-- A remap that moves an event to another client says of which merged client it is, and after a merge or a split the
-- stage until the next evaluation is that of the events that count.

GRANT UPDATE (origin_id) ON client_journey_events TO journey_adapter;

DO $counting$
DECLARE
  changed regprocedure;
  definition text;
  counting text;
BEGIN
  FOREACH changed IN ARRAY ARRAY[
    'journey_merge_clients(uuid, uuid, uuid)', 'journey_split_client(uuid, uuid, boolean)']::regprocedure[]
  LOOP
    definition := pg_get_functiondef(changed);
    counting := replace(
      replace(definition, 'AND occurred_at BETWEEN', 'AND voided_at IS NULL AND occurred_at BETWEEN'),
      'AND e.occurred_at BETWEEN', 'AND e.voided_at IS NULL AND e.occurred_at BETWEEN');
    IF counting = definition THEN RAISE EXCEPTION '% is not as 131 made it', changed; END IF;
    EXECUTE counting;
  END LOOP;
END
$counting$;
