-- What came out of the demo: one row a client, as it was evaluated last.
CREATE TEMPORARY VIEW outcome AS
  SELECT
    coalesce(c.name, '(no name)') AS client, o.name AS organisation, s.explanation ->> 'stage' AS stage, s.score,
    s.risk_level AS risk, coalesce(best ->> 'action', '-') AS action, coalesce(best ->> 'channel', '-') AS channel,
    CASE WHEN best IS NULL THEN '-'
      ELSE CASE s.risk_level WHEN 'CRITICAL' THEN 'urgent' WHEN 'HIGH' THEN 'high' WHEN 'MEDIUM' THEN 'medium' ELSE 'low' END
    END AS priority,
    coalesce(best ->> 'reason', 'nothing to do') AS reason,
    -- The best action is out: published now, or within the cooldown before.
    EXISTS (
      SELECT FROM journey_actions a
      WHERE a.client_id = s.client_id AND a.action = best ->> 'action' AND a.published_at IS NOT NULL) AS is_published,
    array_position(ARRAY['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'], s.risk_level) AS rank
  FROM (SELECT DISTINCT ON (client_id) * FROM client_journey_scores ORDER BY client_id, generated_at DESC) s
  CROSS JOIN LATERAL (SELECT s.explanation -> 'candidates' -> 0 AS best) b
  JOIN contacts c ON c.id = s.client_id
  JOIN organizations o ON o.id = s.org_id;
