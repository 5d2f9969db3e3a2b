-- The events that risks and stages are found by, out of histories of any length. Written off and refunded invoices are
-- settled too. In a transaction of its own, so that readers go on while the indexes are built.

CREATE INDEX idx_client_journey_events_signals ON client_journey_events (client_id, event_type, occurred_at DESC)
  WHERE event_type IN (
    'invoice_overdue', 'invoice_paid', 'invoice_voided', 'invoice_written_off', 'invoice_refunded', 'payment_failed', 'ticket_opened',
    'milestone_completed', 'milestone_delayed', 'deliverable_sent', 'usage_high', 'usage_low', 'usage_reported');

CREATE INDEX idx_client_journey_events_raise ON client_journey_events (client_id, min_stage, occurred_at DESC)
  WHERE min_stage IS NOT NULL;
