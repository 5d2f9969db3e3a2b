-- Silence contracts: after one event another is expected within a time; if none comes, the adapter stores an event.

CREATE TABLE journey_expectations (
  client_id uuid NOT NULL,
  org_id uuid NOT NULL,
  rule text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  openings timestamptz[] NOT NULL DEFAULT '{}',
  settled_at timestamptz,
  fired_for timestamptz,
  opened_at timestamptz,
  due_at timestamptz,
  check_at timestamptz NOT NULL,
  PRIMARY KEY (client_id, rule, key),
  CONSTRAINT journey_expectations_due_check CHECK ((opened_at IS NULL) = (due_at IS NULL)),
  CONSTRAINT journey_expectations_client_fk FOREIGN KEY (client_id, org_id)
    REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_expectations_check ON journey_expectations (check_at);
COMMENT ON TABLE journey_expectations IS
  'What is expected of a client after an event, by contract and key. Can be rebuilt from client_journey_events.';
COMMENT ON COLUMN journey_expectations.rule IS
  'The contract of decisions.yaml, by the type of the event that is stored if nothing comes.';
COMMENT ON COLUMN journey_expectations.key IS 'What both events have in common, such as an invoice; empty: the client.';
COMMENT ON COLUMN journey_expectations.openings IS 'The opening events that nothing has settled, the earliest first.';
COMMENT ON COLUMN journey_expectations.settled_at IS 'The latest event that was expected.';
COMMENT ON COLUMN journey_expectations.fired_for IS
  'The latest opening event for which the adapter stored that nothing came.';
COMMENT ON COLUMN journey_expectations.opened_at IS 'The event after which another one is still expected; NULL: none is.';
COMMENT ON COLUMN journey_expectations.check_at IS
  'When the row is looked at next: what is due is stored; what is settled or stored is forgotten.';

-- A trigger, so that it does not matter which of the functions that merge clients is the newest.
DO $functions$
DECLARE
  relation text;
  -- As in 110: the path of the migration, and temporary objects last.
  path constant text := (
    SELECT string_agg(quote_ident(name), ', ' ORDER BY place) || ', pg_temp'
    FROM unnest(current_schemas(false)) WITH ORDINALITY AS schemas (name, place));
  -- [name] is the relation's qualified name.
  statements text := $sql$
CREATE FUNCTION journey_move_expectations() RETURNS trigger LANGUAGE plpgsql SET search_path = [path] AS $function$
BEGIN
  -- Both clients are locked. What the union of two rows means is worked out when the row is looked at, and when the
  -- summary of the remaining client is made.
  INSERT INTO [journey_expectations] AS mine
      (client_id, org_id, rule, key, openings, settled_at, fired_for, opened_at, due_at, check_at)
    SELECT NEW.merged_into, org_id, rule, key, openings, settled_at, fired_for, opened_at, due_at, check_at
    FROM [journey_expectations] WHERE client_id = NEW.client_id ORDER BY rule, key
    ON CONFLICT (client_id, rule, key) DO UPDATE
    SET openings = ARRAY(
        SELECT DISTINCT opening FROM unnest(mine.openings || EXCLUDED.openings) opening
        WHERE opening > COALESCE(GREATEST(mine.settled_at, EXCLUDED.settled_at), '-infinity') ORDER BY opening LIMIT 8),
      settled_at = GREATEST(mine.settled_at, EXCLUDED.settled_at),
      fired_for = GREATEST(mine.fired_for, EXCLUDED.fired_for),
      opened_at = LEAST(mine.opened_at, EXCLUDED.opened_at), due_at = LEAST(mine.due_at, EXCLUDED.due_at),
      check_at = LEAST(mine.check_at, EXCLUDED.check_at);
  DELETE FROM [journey_expectations] WHERE client_id = NEW.client_id;
  RETURN NULL;
END
$function$;
$sql$;
BEGIN
  statements := replace(statements, '[path]', path);
  FOREACH relation IN ARRAY ARRAY['journey_expectations'] LOOP
    statements := replace(statements, '[' || relation || ']', (
      SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation::regclass));
  END LOOP;
  EXECUTE statements;
END
$functions$;
REVOKE ALL ON FUNCTION journey_move_expectations() FROM PUBLIC;
COMMENT ON FUNCTION journey_move_expectations() IS 'Moves what is expected of a client to the one that it became part of.';
CREATE TRIGGER journey_move_expectations AFTER UPDATE OF merged_into ON journey_client_state
  FOR EACH ROW WHEN (NEW.merged_into IS NOT NULL AND OLD.merged_into IS DISTINCT FROM NEW.merged_into)
  EXECUTE FUNCTION journey_move_expectations();

DO $access$
DECLARE
  grantee text;
BEGIN
  FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
    CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
    EXECUTE format(
      'REVOKE ALL ON journey_expectations FROM %s', CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
  END LOOP;
END
$access$;
ALTER TABLE journey_expectations ENABLE ROW LEVEL SECURITY;
CREATE POLICY journey_expectations_journey_adapter ON journey_expectations TO journey_adapter USING (true) WITH CHECK (true);
CREATE POLICY journey_expectations_select ON journey_expectations FOR SELECT TO authenticated
  USING (org_id IN (SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())));
GRANT SELECT ON journey_expectations TO authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON journey_expectations TO journey_adapter;
