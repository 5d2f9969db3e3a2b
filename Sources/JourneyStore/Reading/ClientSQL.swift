import PostgresClient

/// The statements about one client. Each answers one JSON object, or no row where the client is not the caller's to see.
enum ClientSQL {
  private static let latestScore = """
    LEFT JOIN LATERAL (
      SELECT * FROM client_journey_scores WHERE client_id = c.id AND \(HostValues.isTime("generated_at"))
      ORDER BY generated_at DESC LIMIT 1) l ON true
    """

  static let client = PostgresStatement(
    name: "read_client",
    """
    SELECT json_build_object(
      'clientId', c.id, 'orgId', c.org_id, 'organization', \(HostValues.text("o.name")),
      'name', \(HostValues.text("c.name")),
      'email', \(HostValues.text("c.email")), 'phone', \(HostValues.text("c.phone")),
      'stage', COALESCE(s.stage, 'lead'), 'stageSince', \(HostValues.time("s.stage_at")),
      'score', COALESCE(\(HostValues.number("l.score")), \(HostValues.number("s.score"))),
      'riskLevel', COALESCE(\(HostValues.text("l.risk_level")), s.risk_level),
      'generatedAt', l.generated_at, 'lastEventAt', \(HostValues.time("s.last_event_at")),
      'nextChangeAt', \(HostValues.time("s.due_at")),
      'ruleVersion', l.explanation ->> 'ruleVersion',
      'contributions', COALESCE(l.explanation -> 'contributions', '[]'::json), 'risks', COALESCE(l.explanation -> 'risks', '[]'::json),
      'candidates', COALESCE(l.explanation -> 'candidates', '[]'::json),
      'recommendedActions', \(HostValues.actions("l.recommended_actions")),
      'cause', l.explanation -> 'cause',
      'nextAction', (\(ReadSQL.nextAction)),
      'events', (\(ReadSQL.events(client: 1, at: 2, id: 3, limit: 4))),
      'eventCount', (SELECT count(*) FROM (SELECT FROM client_journey_events WHERE client_id = c.id AND occurred_at IS NOT NULL LIMIT 1001) counted),
      'scores', COALESCE((
        SELECT json_agg(json_build_object('generatedAt', t.generated_at, 'score', t.score, 'riskLevel', t.risk_level) ORDER BY t.generated_at)
        FROM (
          SELECT generated_at, \(HostValues.number("score")) AS score, \(HostValues.text("risk_level")) AS risk_level
          FROM client_journey_scores WHERE client_id = c.id AND \(HostValues.isTime("generated_at"))
          ORDER BY generated_at DESC LIMIT 100) t
        WHERE t.score IS NOT NULL), '[]'::json),
      'actions', COALESCE((
        SELECT json_agg(json_build_object(\(ReadSQL.actionMembers)) ORDER BY a.decided_at DESC)
        FROM (SELECT * FROM journey_actions WHERE client_id = c.id ORDER BY decided_at DESC LIMIT 20) a), '[]'::json))
    FROM contacts c
    LEFT JOIN organizations o ON o.id = c.org_id
    LEFT JOIN journey_client_state s ON s.client_id = c.id
    \(latestScore)
    WHERE c.id = $1::uuid
    """)

  static let events = PostgresStatement(
    name: "read_events",
    """
    SELECT (\(ReadSQL.events(client: 1, at: 2, id: 3, limit: 4))) FROM contacts c WHERE c.id = $1::uuid
    """)

  static let nextAction = PostgresStatement(
    name: "read_next_action",
    """
    SELECT json_build_object(
      'clientId', c.id, 'orgId', c.org_id, 'name', \(HostValues.text("c.name")), 'stage', COALESCE(s.stage, 'lead'),
      'score', \(HostValues.number("l.score")), 'riskLevel', \(HostValues.text("l.risk_level")),
      'risks', COALESCE(l.explanation -> 'risks', '[]'::json),
      'recommendedActions', \(HostValues.actions("l.recommended_actions")),
      'candidates', COALESCE(l.explanation -> 'candidates', '[]'::json), 'nextAction', (\(ReadSQL.nextAction)), 'generatedAt', l.generated_at)
    FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
    \(latestScore)
    WHERE c.id = $1::uuid
    """)

  static let organization = PostgresStatement(name: "read_client_org", "SELECT c.org_id FROM contacts c WHERE c.id = $1::uuid")

  static let action = PostgresStatement(
    name: "read_action",
    """
    SELECT json_build_object(\(ReadSQL.actionMembers), 'clientName', \(HostValues.text("c.name")),
      'explanation', a.explanation,
      'history', (
        SELECT json_agg(json_build_object('at', h.at, 'state', h.state) ORDER BY h.at)
        FROM (VALUES (\(HostValues.moment("a.decided_at")), 'proposed'), (a.published_at, 'published'))
          AS h(at, state) WHERE h.at IS NOT NULL))
    FROM journey_actions a LEFT JOIN contacts c ON c.id = a.client_id
    WHERE a.id = $1::uuid
    """)
}
