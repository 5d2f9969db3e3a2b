-- The time zones of clients and organisations, by which quiet hours go. No-ops where the host has them.

DO $zones$
DECLARE
  relation text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['contacts', 'organizations'] LOOP
    IF NOT EXISTS (
      SELECT FROM pg_attribute
      WHERE attrelid = relation::regclass AND attname = 'time_zone' AND NOT attisdropped)
    THEN
      EXECUTE format('ALTER TABLE %I ADD COLUMN time_zone text', relation);
      EXECUTE format(
        'COMMENT ON COLUMN %I.time_zone IS %L', relation,
        'IANA name, such as Europe/Berlin. A contact without one has its organization''s.');
    END IF;
  END LOOP;
END
$zones$;

GRANT UPDATE (time_zone) ON contacts TO journey_adapter;
