-- Open actions for people are few among many: found by an index of their own.

CREATE INDEX idx_client_journey_scores_human ON client_journey_scores (org_id, generated_at DESC)
  WHERE channel = 'human' AND outbox_id IS NOT NULL;
