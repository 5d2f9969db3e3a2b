-- What the broker confirmed long ago leaves the outbox: an action without a row there is published. When that was is known no more then; the batch's id,
-- a UUIDv7, says when it was decided, which is nearly the same. Nobody but the adapter can write it.
CREATE OR REPLACE VIEW journey_actions WITH (security_invoker = true) AS
  SELECT s.id, s.org_id, s.client_id, s.event_id, s.action, s.channel, s.priority, s.reason, s.score, s.risk_level,
    s.channel || '.' || s.action || '.' || s.priority AS routing_key, s.traceparent, s.generated_at AS decided_at,
    s.generated_at AS not_before, s.expires_at, COALESCE(o.attempts, 0) AS attempts,
    CASE WHEN o.id IS NULL
      THEN LEAST(to_timestamp(('x' || translate(left(s.outbox_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0), now())
      ELSE o.confirmed_at END AS published_at,
    CASE WHEN o.id IS NOT NULL AND o.confirmed_at IS NULL THEN 'proposed' ELSE 'published' END AS state, s.explanation,
    s.outbox_id
  FROM client_journey_scores s
  LEFT JOIN journey_outbox o ON o.id = s.outbox_id
  WHERE s.outbox_id IS NOT NULL;
COMMENT ON VIEW journey_actions IS
  'The scores that led to an action, and whether it is published. An action has the id of its score. published_at is the time of the decision once the batch has left the outbox.';
COMMENT ON TABLE journey_outbox IS
  'The actions of one transaction on their way to the broker. Batches that are confirmed are deleted seven days later.';
