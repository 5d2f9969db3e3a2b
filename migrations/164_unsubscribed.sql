-- The events by which clients say that they want no more e-mails, out of histories of any length. In a transaction of its
-- own, so that readers go on while the index is built.

CREATE INDEX idx_client_journey_events_unsubscribed ON client_journey_events (client_id, occurred_at DESC)
  WHERE event_type = 'email_unsubscribed';
