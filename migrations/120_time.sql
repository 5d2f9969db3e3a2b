-- Clients are evaluated when time alone changes a risk.
--
-- due_at moves with nearly every event; an index on it would make each update of a state a dear one. check_at stays where it is until the moment has come:
-- it is never later than due_at, and moved on then.

ALTER TABLE journey_client_state ADD COLUMN check_at timestamptz;
COMMENT ON COLUMN journey_client_state.check_at IS
  'When the client is looked at next although nothing happens; never later than due_at. NULL: never.';

UPDATE journey_client_state s SET check_at = CASE WHEN s.summary <> '' THEN s.due_at ELSE now() END
WHERE s.merged_into IS NULL
  AND (s.due_at IS NOT NULL OR s.summary = '' AND EXISTS (SELECT FROM client_journey_events e WHERE e.client_id = s.client_id));

CREATE INDEX idx_journey_client_state_check ON journey_client_state (check_at) WHERE check_at IS NOT NULL AND merged_into IS NULL;

-- A state that is to be made anew, because the host has written events or two clients have become one, is looked at soon.
CREATE FUNCTION journey_check_soon() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
  NEW.check_at := pg_catalog.now();
  RETURN NEW;
END
$function$;
COMMENT ON FUNCTION journey_check_soon() IS 'Has a client looked at soon whose summary was emptied.';
CREATE TRIGGER journey_check_soon BEFORE UPDATE OF summary ON journey_client_state
  FOR EACH ROW WHEN (NEW.summary = '' AND NEW.merged_into IS NULL) EXECUTE FUNCTION journey_check_soon();
-- An instance of an earlier version that runs beside this one moves due_at alone.
CREATE FUNCTION journey_check_when_due() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
  NEW.check_at := NEW.due_at;
  RETURN NEW;
END
$function$;
COMMENT ON FUNCTION journey_check_when_due() IS 'Has a client looked at when it is due, and no later.';
CREATE TRIGGER journey_check_when_due BEFORE UPDATE OF due_at ON journey_client_state
  FOR EACH ROW
  WHEN (NEW.merged_into IS NULL AND NEW.due_at IS NOT NULL AND (NEW.check_at IS NULL OR NEW.check_at > NEW.due_at))
  EXECUTE FUNCTION journey_check_when_due();

-- The adapter itself adds the states of clients whose events it is about to store.
CREATE TRIGGER journey_check_soon_new BEFORE INSERT ON journey_client_state
  FOR EACH ROW WHEN (NEW.summary = '' AND current_user <> 'journey_adapter') EXECUTE FUNCTION journey_check_soon();
