-- The index of 134 covers what this one does.

DROP INDEX IF EXISTS idx_client_journey_events_signal;
ALTER INDEX idx_client_journey_events_signals RENAME TO idx_client_journey_events_signal;
