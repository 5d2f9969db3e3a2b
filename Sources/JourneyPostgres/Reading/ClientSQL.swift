import Journey
import PostgresClient

/// The statements about one client. Each returns one JSON object, or no row if the caller may not see the client.
enum ClientSQL {
  /// The client's current evaluation, as `l`: from the `Standing` in the parameter, or as stored if that is NULL. A
  /// score that the host application wrote after the last evaluation takes precedence.
  private static func standing(parameter n: Int) -> String {
    """
    LEFT JOIN LATERAL (
      SELECT * FROM client_journey_scores
      WHERE client_id = c.id AND \(HostValues.isTime("generated_at")) AND (explanation IS NULL OR $\(n)::json -> 'isNothing' IS NULL)
      ORDER BY generated_at DESC LIMIT 1) p ON true
    CROSS JOIN LATERAL (
      SELECT $\(n)::json AS whole, CASE WHEN p.id IS NULL OR p.explanation IS NOT NULL THEN $\(n)::json END AS outcome) n
    CROSS JOIN LATERAL (
      SELECT c.id AS client_id, p.generated_at, COALESCE((n.whole ->> 'asOf')::timestamptz, now()) AS as_of,
        COALESCE(CASE WHEN n.whole IS NULL THEN s.stage ELSE n.whole ->> 'stage' END, 'lead') AS stage,
        CASE WHEN n.whole IS NULL THEN \(HostValues.time("s.stage_at")) ELSE (n.whole ->> 'stageSince')::timestamptz END AS stage_at,
        CASE WHEN n.whole IS NULL THEN \(HostValues.time("s.last_event_at")) ELSE (n.whole ->> 'lastEventAt')::timestamptz END AS last_event_at,
        CASE WHEN n.whole IS NULL THEN \(HostValues.time("s.due_at")) ELSE (n.whole ->> 'nextChangeAt')::timestamptz END AS due_at,
        CASE WHEN n.outcome IS NULL THEN to_json(COALESCE(\(HostValues.number("p.score")), \(HostValues.number("s.score"))))
          ELSE n.outcome -> 'score' END AS score,
        CASE WHEN n.outcome IS NULL THEN COALESCE(\(HostValues.text("p.risk_level")), s.risk_level) ELSE n.outcome ->> 'riskLevel' END AS risk_level,
        CASE WHEN n.outcome IS NULL THEN p.explanation ELSE n.outcome -> 'explanation' END AS explanation,
        CASE WHEN n.outcome IS NULL OR (n.outcome ->> 'isStored')::bool THEN p.explanation -> 'cause' END AS cause,
        n.outcome ->> 'priority' AS priority,
        CASE WHEN n.outcome IS NULL THEN \(HostValues.actions("p.recommended_actions"))
          ELSE COALESCE((n.outcome -> 'recommendedActions')::jsonb, '[]') END AS recommended_actions) l
    """
  }

  static let client = PostgresStatement(
    name: "read_client",
    """
    SELECT json_build_object(
      'asOf', l.as_of, 'clientId', c.id, 'orgId', c.org_id, 'organization', \(HostValues.text("o.name")),
      'name', \(HostValues.text("c.name")),
      'email', \(HostValues.text("c.email")), 'phone', \(HostValues.text("c.phone")),
      'stage', l.stage, 'stageSince', l.stage_at, 'score', l.score, 'riskLevel', l.risk_level,
      'generatedAt', l.generated_at, 'lastEventAt', l.last_event_at, 'nextChangeAt', l.due_at,
      'ruleVersion', l.explanation ->> 'ruleVersion',
      'contributions', COALESCE(l.explanation -> 'contributions', '[]'::json), 'risks', COALESCE(l.explanation -> 'risks', '[]'::json),
      'candidates', COALESCE(l.explanation -> 'candidates', '[]'::json),
      'recommendedActions', l.recommended_actions,
      'cause', l.cause,
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
        SELECT json_agg(json_build_object(\(ReadSQL.actionMembers), 'history', (\(ReadSQL.life))) ORDER BY a.decided_at DESC)
        FROM (SELECT * FROM journey_actions WHERE client_id = c.id ORDER BY decided_at DESC LIMIT 20) a), '[]'::json))
    FROM contacts c
    LEFT JOIN organizations o ON o.id = c.org_id
    LEFT JOIN journey_client_state s ON s.client_id = c.id
    \(standing(parameter: 5))
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
      'asOf', l.as_of, 'clientId', c.id, 'orgId', c.org_id, 'name', \(HostValues.text("c.name")), 'stage', l.stage,
      'score', l.score, 'riskLevel', l.risk_level,
      'risks', COALESCE(l.explanation -> 'risks', '[]'::json),
      'recommendedActions', l.recommended_actions,
      'candidates', COALESCE(l.explanation -> 'candidates', '[]'::json), 'nextAction', (\(ReadSQL.nextAction)), 'generatedAt', l.generated_at)
    FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
    \(standing(parameter: 2))
    WHERE c.id = $1::uuid
    """)

  static let organization = PostgresStatement(
    name: "read_client_org", "SELECT c.org_id FROM contacts c WHERE c.id = $1::uuid")

  static let action = PostgresStatement(
    name: "read_action",
    """
    SELECT json_build_object(\(ReadSQL.actionMembers), 'clientName', \(HostValues.text("c.name")),
      'mayRun', b.because IS NULL, 'because', b.because, 'explanation', a.explanation, 'history', (\(ReadSQL.life)))
    FROM journey_actions a LEFT JOIN contacts c ON c.id = a.client_id
    CROSS JOIN LATERAL (SELECT \(ReadSQL.because) AS because) b
    WHERE a.id = $1::uuid
    """)

  /// An action, for whoever reports on it or takes it back.
  static let standingAction = PostgresStatement(
    name: "read_standing_action",
    """
    SELECT a.id, a.org_id, a.client_id, a.channel, a.state, \(ReadSQL.isExpired), a.history::text, a.snoozed_until,
      COALESCE(l.revocation = 'unsent', false)
    FROM journey_actions a LEFT JOIN journey_action_states l ON l.action_id = a.id
    WHERE a.id = $1::uuid
    """)
}

extension StandingAction {
  /// - Returns: nil if there is no row.
  init?(_ result: PostgresResult) throws(PostgresError) {
    guard result.rowCount > 0 else { return nil }
    let id = try result.uuid(0, 0), channel = Channel(rawValue: try result.text(0, 3))
    self.init(
      id: id, orgID: try result.uuid(0, 1), clientID: try result.uuid(0, 2),
      channel: channel,
      state: ActionState(rawValue: try result.text(0, 4)) ?? .published, isExpired: try result.bool(0, 5),
      life: ActionLife(
        actionID: id, json: Array((try result.textIfPresent(0, 6) ?? "[]").utf8),
        snoozedUntil: try result.timestampIfPresent(0, 7).map { Timestamp(microseconds: $0) },
        isUnsent: try result.bool(0, 8), isForPeople: channel == .human))
  }
}
