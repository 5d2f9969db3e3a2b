-- A host application may leave the time and the metadata of its events and scores out, or write NULL: both mean the defaults.

CREATE FUNCTION journey_fill_event() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
  NEW.occurred_at := COALESCE(NEW.occurred_at, pg_catalog.now());
  NEW.metadata := COALESCE(NEW.metadata, '{}');
  RETURN NEW;
END
$function$;
COMMENT ON FUNCTION journey_fill_event() IS 'Takes NULL for the default, in the time and the metadata of an event.';
CREATE TRIGGER journey_fill_event BEFORE INSERT OR UPDATE ON client_journey_events
  FOR EACH ROW WHEN (NEW.occurred_at IS NULL OR NEW.metadata IS NULL) EXECUTE FUNCTION journey_fill_event();

CREATE FUNCTION journey_fill_score() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
  NEW.generated_at := COALESCE(NEW.generated_at, pg_catalog.now());
  NEW.recommended_actions := COALESCE(NEW.recommended_actions, '[]');
  RETURN NEW;
END
$function$;
COMMENT ON FUNCTION journey_fill_score() IS 'Takes NULL for the default, in the time and the actions of a score.';
CREATE TRIGGER journey_fill_score BEFORE INSERT OR UPDATE ON client_journey_scores
  FOR EACH ROW WHEN (NEW.generated_at IS NULL OR NEW.recommended_actions IS NULL) EXECUTE FUNCTION journey_fill_score();
