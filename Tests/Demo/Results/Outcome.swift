/// A client as it was evaluated last.
struct Outcome: Decodable {
  var client: String
  var organisation: String
  var stage: String
  var score: String
  var risk: String
  var action: String
  var channel: String
  var priority: String
  var reason: String
  /// The best action is out: published now, or within the cooldown before.
  var isPublished: Bool

  /// What a calculation by hand says too.
  var calculable: [String] { [client, stage, score, risk, action, channel, priority] }

  /// All clients, the highest risk first.
  static func load(_ servers: DemoServers) async throws -> [Outcome] {
    try await servers.decode(
      [Outcome].self,
      """
      SELECT coalesce(json_agg(o ORDER BY array_position(ARRAY['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'], risk), organisation, client), '[]')
      FROM (
        SELECT
          coalesce(c.name, '(no name)') AS client, o.name AS organisation, s.explanation ->> 'stage' AS stage,
          s.score::text AS score, s.risk_level AS risk, coalesce(best ->> 'action', '-') AS action,
          coalesce(best ->> 'channel', '-') AS channel,
          CASE WHEN best IS NULL THEN '-' ELSE
            CASE s.risk_level WHEN 'CRITICAL' THEN 'urgent' WHEN 'HIGH' THEN 'high' WHEN 'MEDIUM' THEN 'medium' ELSE 'low' END
          END AS priority,
          coalesce(best ->> 'reason', 'nothing to do') AS reason,
          EXISTS (
            SELECT FROM journey_actions a
            WHERE a.client_id = s.client_id AND a.action = best ->> 'action' AND a.published_at IS NOT NULL
          ) AS "isPublished"
        FROM (SELECT DISTINCT ON (client_id) * FROM client_journey_scores ORDER BY client_id, generated_at DESC) s
        CROSS JOIN LATERAL (SELECT s.explanation -> 'candidates' -> 0 AS best) b
        JOIN contacts c ON c.id = s.client_id
        JOIN organizations o ON o.id = s.org_id
      ) o
      """)
  }
}
