-- The time zones of clients and organisations, by which quiet hours go. No-ops where the host has them.

DO $zones$
DECLARE
  relation text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['contacts', 'organizations'] LOOP
    CONTINUE WHEN EXISTS (
      SELECT FROM pg_attribute
      WHERE attrelid = relation::regclass AND attname = 'time_zone' AND NOT attisdropped);
    EXECUTE format('ALTER TABLE %I ADD COLUMN time_zone text', relation);
    EXECUTE format(
      'COMMENT ON COLUMN %I.time_zone IS %L', relation,
      'IANA name, such as Europe/Berlin. A contact without one has its organization''s.');
    -- Where the host grants single columns, members read this one as well: what a client's page shows depends on it.
    IF to_regrole('authenticated') IS NOT NULL AND has_any_column_privilege('authenticated', relation, 'SELECT')
      AND NOT has_table_privilege('authenticated', relation, 'SELECT')
    THEN
      EXECUTE format('GRANT SELECT (time_zone) ON %I TO authenticated', relation);
    END IF;
  END LOOP;
END
$zones$;

GRANT UPDATE (time_zone) ON contacts TO journey_adapter;
