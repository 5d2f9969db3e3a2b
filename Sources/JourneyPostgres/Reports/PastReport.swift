public import FoundationEssentials
public import Journey
import PostgresClient

/// A client as it was decided at an earlier time, and what was known of it then.
public struct PastReport: Sendable {
  public var at: Timestamp
  /// The decision that held then: the adapter's last one until then; nil: none is that old.
  public var decision: ClientReport.Score?
  /// When the oldest decision was made that is stored; nil: there is none.
  public var oldestDecisionAt: Timestamp?
  /// The client, with the events that were stored by then, and the scores and actions until then. Its `now` is nil.
  public var client: ClientReport
}

extension ClientReports {
  /// - Parameters:
  ///   - time: as of when.
  ///   - limit: the maximum number of events, of scores and of actions.
  public func report(on client: UUID, at time: Timestamp, limit: Int) async throws -> PastReport? {
    try await worker.perform { connection in
      let page = PostgresParameters {
        $0.uuid(client)
        $0.timestamptz(time.microseconds)
        $0.int4(Int32(limit))
      }
      let moment = PostgresParameters {
        $0.uuid(client)
        $0.timestamptz(time.microseconds)
      }
      let results = try connection.pipeline([
        (PastStatements.client, moment), (PastStatements.events, page), (PastStatements.scores, page),
        (PastStatements.actions, page), (PastStatements.decision, moment),
        (PastStatements.oldest, PostgresParameters { $0.uuid(client) }),
      ])
      guard results[0].rowCount == 1 else { return nil }
      let decision = results[4]
      var report = try Self.report(results)
      for index in report.actions.indices { report.actions[index].takeStateFromHistory() }
      return PastReport(
        at: time, decision: try decision.rowCount == 0 ? nil : ClientReport.Score(decision, 0),
        oldestDecisionAt: try results[5].timestampIfPresent(0, 0).map { Timestamp(microseconds: $0) },
        client: report)
    }
  }
}

extension ClientReport.Action {
  /// Finds the state, and since when it holds, in a history that ends earlier than the stored one.
  fileprivate mutating func takeStateFromHistory() {
    let changes = ActionLife(actionID: id, json: history.bytes).history.filter {
      $0.state != .proposed && $0.state != .published
    }
    let life = ActionLife(history: changes, isForPeople: channel == Channel.human.rawValue)
    state = (life.state ?? (publishedAt == nil ? .proposed : .published)).rawValue
    changedAt = changes.isEmpty ? nil : life.stateSince
  }
}

private enum PastStatements {
  /// $1 is the client, $2 the time.
  private static let isStoredEvent = """
    client_id = $1::uuid AND occurred_at <= $2::timestamptz AND COALESCE(ingested_at, occurred_at) <= $2::timestamptz
      AND (voided_at IS NULL OR voided_at > $2::timestamptz)
    """

  static let client = PostgresStatement(
    name: "past_client",
    """
    SELECT c.id, c.org_id, c.name::text, c.email::text, (SELECT count(*) FROM client_journey_events WHERE \(isStoredEvent))
    FROM contacts c
    WHERE c.id = $1::uuid
    """)

  static let events = PostgresStatement(
    name: "past_events",
    """
    SELECT \(HostValues.moment("occurred_at")), \(HostValues.text("event_type")), \(HostValues.text("stage")), sets_stage,
      COALESCE(source, ''), COALESCE(source_event_id, id::text)
    FROM client_journey_events WHERE \(isStoredEvent)
    ORDER BY occurred_at DESC, source_event_id DESC LIMIT $3::int4
    """)

  private static func scores(_ condition: String, limit: String) -> String {
    """
    SELECT * FROM (
      SELECT generated_at, \(HostValues.double("score")) AS score, \(HostValues.text("risk_level")), explanation
      FROM client_journey_scores
      WHERE client_id = $1::uuid AND \(HostValues.isTime("generated_at")) AND generated_at <= $2::timestamptz AND \(condition)
      ORDER BY generated_at DESC LIMIT \(limit)) AS newest
    WHERE score IS NOT NULL ORDER BY generated_at DESC
    """
  }

  static let scores = PostgresStatement(name: "past_scores", scores("TRUE", limit: "$3::int4"))

  /// The host's own scores are no decisions.
  static let decision = PostgresStatement(name: "past_decision", scores("explanation IS NOT NULL", limit: "1"))

  static let oldest = PostgresStatement(
    name: "oldest_decision",
    """
    SELECT min(generated_at) FROM client_journey_scores
    WHERE client_id = $1::uuid AND \(HostValues.isTime("generated_at")) AND explanation IS NOT NULL
    """)

  /// With what was known by then of each action.
  static let actions = PostgresStatement(
    name: "past_actions",
    """
    SELECT a.id, a.action, a.channel, a.priority, a.reason, \(HostValues.moment("a.decided_at")),
      CASE WHEN a.published_at <= $2::timestamptz THEN a.published_at END, a.state, NULL::timestamptz,
      (SELECT json_agg(k.value ORDER BY k.n)
       FROM json_array_elements((\(ReadSQL.life))) WITH ORDINALITY AS k(value, n)
       WHERE COALESCE(k.value ->> 'recordedAt', k.value ->> 'at')::timestamptz <= $2::timestamptz)
    FROM (
      SELECT * FROM journey_actions WHERE client_id = $1::uuid AND decided_at <= $2::timestamptz
      ORDER BY decided_at DESC LIMIT $3::int4) a
    ORDER BY a.decided_at DESC
    """)
}
