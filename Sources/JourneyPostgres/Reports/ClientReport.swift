public import FoundationEssentials
public import Journey
public import PostgresClient

/// A client's journey and its explanation: evaluated now, and as stored.
public struct ClientReport: Sendable {
  /// The result of evaluating the client now.
  public struct Now: Sendable {
    /// The database's clock.
    public var asOf: Timestamp
    public var stage: String
    public var score: Double
    public var riskLevel: String
    /// When a risk begins or ends without a further event.
    public var nextChange: Timestamp?
    /// A JSON object as `Evaluation.writeOutcome` writes it.
    public var explanation: [UInt8]
    /// Whether it equals the last stored evaluation.
    public var isStored: Bool
    /// For each candidate when it is possible again by itself, at the latest; nil: nothing stands in its way that ends.
    public var openings: [Timestamp?]
    public var whatIf: WhatIf
  }
  public struct Event: Sendable {
    public var occurredAt: Timestamp
    public var type: String
    public var stage: String
    public var setsStage: Bool
    public var source: String
    public var sourceEventID: String
  }
  public struct Score: Sendable {
    public var generatedAt: Timestamp
    public var score: Double
    public var riskLevel: String
    /// A JSON object as `Evaluation.writeExplanation` writes it; nil for a score that the host application wrote.
    public var explanation: [UInt8]?
  }
  public struct Action: Sendable, Encodable {
    public var id: UUID
    public var action: String
    public var channel: String
    public var priority: String
    public var reason: String
    public var decidedAt: Timestamp
    public var publishedAt: Timestamp?
    public var state: String
    /// When the state changed last; nil: it did not since it was published.
    public var changedAt: Timestamp?
    /// A JSON array of what has happened to it, oldest first.
    public var history: RawJSON
  }

  public var id: UUID
  public var orgID: UUID
  public var name: String?
  public var email: String?
  /// nil if the client has no evaluation.
  public var now: Now?
  /// The number of stored events.
  public var eventCount: Int
  /// Newest first.
  public var events: [Event]
  /// Newest first.
  public var scores: [Score]
  /// Newest first.
  public var actions: [Action]
}

extension ClientReport.Score {
  init(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    self.init(
      generatedAt: Timestamp(microseconds: try result.timestamp(row, 0)), score: try result.double(row, 1),
      riskLevel: try result.text(row, 2), explanation: try result.jsonIfPresent(row, 3))
  }
}

extension ClientReport.Now {
  fileprivate init?(_ found: FoundClient, _ standings: StandingReader) {
    let standing = standings.standing(of: found)
    guard let evaluation = standing.evaluation else { return nil }
    let outcome = evaluation.assessment
    self.init(
      asOf: standing.asOf, stage: outcome.stage.rawValue, score: outcome.score, riskLevel: outcome.level.rawValue,
      nextChange: outcome.nextChange,
      explanation: standing.explanation(of: evaluation), isStored: standing.isStored,
      openings: standings.openings(of: evaluation, found), whatIf: standings.whatIf(found))
  }
}

/// Reads reports for people and tools. It is not part of event processing.
public struct ClientReports: Sendable {
  let worker: PostgresWorker
  private let standings: StandingReader

  /// - Parameters:
  ///   - worker: works as the adapter's role.
  ///   - rules: for the evaluation at the time of reading.
  ///   - clockOffset: added to the database's clock; for tests and simulations.
  public init(worker: PostgresWorker, rules: DecisionRules, clockOffset: TimeSpan = .seconds(0)) {
    self.worker = worker
    standings = StandingReader(rules: rules, clockOffset: clockOffset)
  }

  /// Finds clients by id, by e-mail address, or by a source's id.
  /// - Returns: at most 20 ids.
  public func find(_ text: String, orgID: UUID?) async throws -> [(id: UUID, orgID: UUID, name: String?)] {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.find,
        PostgresParameters {
          $0.uuid(UUID(uuidString: text))
          $0.text(text)
          $0.uuid(orgID)
        })
      return try (0..<result.rowCount).map {
        (try result.uuid($0, 0), try result.uuid($0, 1), try result.textIfPresent($0, 2))
      }
    }
  }

  /// - Parameter limit: the maximum number of events, of scores and of actions.
  public func report(on client: UUID, limit: Int) async throws -> ClientReport? {
    try await worker.perform { [standings] connection in
      let parameters = PostgresParameters {
        $0.uuid(client)
        $0.int4(Int32(limit))
      }
      let results = try connection.pipeline([
        (Statements.client, PostgresParameters { $0.uuid(client) }), (Statements.events, parameters),
        (Statements.scores, parameters),
        (Statements.actions, parameters), StandingReader.find(client),
      ])
      guard results[0].rowCount == 1 else { return nil }
      var report = try Self.report(results)
      if var found = try standings.client(results[4]) {
        if found.isUnread { try standings.read(&found, on: connection) }
        report.now = ClientReport.Now(found, standings)
      }
      return report
    }
  }

  /// - Parameter results: the client, its events, its scores and its actions.
  static func report(_ results: [PostgresResult]) throws -> ClientReport {
    let client = results[0], events = results[1], scores = results[2], actions = results[3]
    return ClientReport(
      id: try client.uuid(0, 0), orgID: try client.uuid(0, 1), name: try client.textIfPresent(0, 2),
      email: try client.textIfPresent(0, 3),
      eventCount: Int(try client.int64(0, 4)),
      events: try (0..<events.rowCount).map { row in
        ClientReport.Event(
          occurredAt: Timestamp(microseconds: try events.timestamp(row, 0)), type: try events.text(row, 1),
          stage: try events.text(row, 2),
          setsStage: try events.bool(row, 3), source: try events.text(row, 4), sourceEventID: try events.text(row, 5))
      },
      scores: try (0..<scores.rowCount).map { try ClientReport.Score(scores, $0) },
      actions: try (0..<actions.rowCount).map { row in
        ClientReport.Action(
          id: try actions.uuid(row, 0), action: try actions.text(row, 1), channel: try actions.text(row, 2),
          priority: try actions.text(row, 3), reason: try actions.text(row, 4),
          decidedAt: Timestamp(microseconds: try actions.timestamp(row, 5)),
          publishedAt: try actions.timestampIfPresent(row, 6).map { Timestamp(microseconds: $0) },
          state: try actions.text(row, 7),
          changedAt: try actions.timestampIfPresent(row, 8).map { Timestamp(microseconds: $0) },
          history: RawJSON(try actions.jsonIfPresent(row, 9) ?? Array("[]".utf8)))
      })
  }

  private enum Statements {
    static let find = PostgresStatement(
      name: "find_clients",
      """
      SELECT c.id, c.org_id, c.name::text FROM contacts c
      WHERE (c.id = $1::uuid OR lower(c.email) = lower($2::text)
          OR c.id IN (SELECT client_id FROM journey_identities WHERE external_id = $2::text))
        AND ($3::uuid IS NULL OR c.org_id = $3::uuid)
      ORDER BY c.name NULLS LAST, c.id LIMIT 20
      """)
    static let client = PostgresStatement(
      name: "report_client",
      """
      SELECT c.id, c.org_id, c.name::text, c.email::text,
        (SELECT count(*) FROM client_journey_events e WHERE e.client_id = c.id AND e.voided_at IS NULL)
      FROM contacts c
      WHERE c.id = $1::uuid
      """)
    static let events = PostgresStatement(
      name: "report_events",
      """
      SELECT \(HostValues.moment("occurred_at")), \(HostValues.text("event_type")), \(HostValues.text("stage")), sets_stage,
        COALESCE(source, ''), COALESCE(source_event_id, id::text)
      FROM client_journey_events WHERE client_id = $1::uuid AND voided_at IS NULL AND occurred_at IS NOT NULL
      ORDER BY occurred_at DESC, source_event_id DESC LIMIT $2::int4
      """)
    static let scores = PostgresStatement(
      name: "report_scores",
      """
      SELECT * FROM (
        SELECT generated_at, \(HostValues.double("score")) AS score, \(HostValues.text("risk_level")), explanation
        FROM client_journey_scores WHERE client_id = $1::uuid AND \(HostValues.isTime("generated_at"))
        ORDER BY generated_at DESC LIMIT $2::int4) AS newest
      WHERE score IS NOT NULL ORDER BY generated_at DESC
      """)
    static let actions = PostgresStatement(
      name: "report_actions",
      """
      SELECT a.id, a.action, a.channel, a.priority, a.reason, \(HostValues.moment("a.decided_at")), a.published_at, a.state,
        a.changed_at, (\(ReadSQL.life))
      FROM (SELECT * FROM journey_actions WHERE client_id = $1::uuid ORDER BY decided_at DESC LIMIT $2::int4) a
      ORDER BY a.decided_at DESC
      """)
  }
}
