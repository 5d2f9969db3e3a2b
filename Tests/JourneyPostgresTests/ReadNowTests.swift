import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// Reading a client returns its evaluation at the time of reading, also if something has changed since the last stored
/// evaluation.
@Suite struct ReadNowTests: CommitTesting {
  private static let caller = Caller(
    subject: HostSchema.user, claims: Array(#"{"sub":"\#(HostSchema.user.text)"}"#.utf8), isOperator: false,
    expiresAt: Timestamp(seconds: 4_000_000_000))

  /// Readers at a given time with given rules.
  private struct Reads {
    let reader: PostgresJourneyReader
    let reports: ClientReports
    private let pool: PostgresPool
    private let worker: PostgresWorker

    init(_ url: String, _ rules: DecisionRules, at offset: TimeSpan) throws {
      pool = PostgresPool(try PostgresSettings(conninfo: url, role: "authenticated"), size: 1)
      worker = PostgresWorker(try PostgresSettings(conninfo: url, role: "journey_adapter"))
      reader = PostgresJourneyReader(pool: pool, adapter: worker, rules: rules, clockOffset: offset)
      reports = ClientReports(worker: worker, rules: rules, clockOffset: offset)
    }

    func client(_ id: UUID) async throws -> JSONDocument {
      try JSONDocument(parsing: try #require(try await reader.read(.client(id), for: caller)))
    }

    func nextAction(_ id: UUID) async throws -> JSONDocument {
      try JSONDocument(parsing: try #require(try await reader.read(.nextAction(client: id), for: caller)))
    }

    func close() async {
      await pool.close()
      await worker.close()
    }
  }

  private func withReads(
    _ url: String, _ rules: DecisionRules = DecisionRules(), at offset: TimeSpan = .seconds(0),
    _ body: (Reads) async throws -> Void
  ) async throws {
    let reads = try Reads(url, rules, at: offset)
    let result: Result<Void, any Error>
    do { result = .success(try await body(reads)) } catch { result = .failure(error) }
    await reads.close()
    try result.get()
  }

  /// A database whose user belongs to the organisation.
  private func withHost(
    at offsets: [TimeSpan], rules: [DecisionRules],
    _ body: (String, [PostgresEventStore], PostgresWorker) async throws -> Void
  ) async throws {
    let url = try await MigratedDatabase.make()
    try await withStores(in: url, at: offsets, rules: rules) { stores, other in
      try await other.run(
        "INSERT INTO user_organizations (user_id, org_id) VALUES ('\(HostSchema.user)', '\(Self.org)')")
      try await body(url, stores, other)
    }
  }

  private static func line(_ root: JSONValue) -> String {
    let risks = root["risks"].map { Array($0.elements) } ?? []
    let candidates = root["candidates"].map { Array($0.elements) } ?? []
    return """
      \(root["stage"]?.string ?? "-") \(root["score"]?.double ?? -1) \(root["riskLevel"]?.string ?? "-") \
      \(risks.map { "\($0["risk"]?.string ?? "-"): \($0["evidence"]?.string ?? "-")" }) \(candidates.map { $0["action"]?.string ?? "-" })
      """
  }

  private static func line(_ assessment: Assessment?) -> String {
    guard let assessment else { return "lead -1.0 - [] []" }
    return """
      \(assessment.stage.rawValue) \(assessment.score) \(assessment.level.rawValue) \
      \(assessment.risks.map { "\($0.risk.rawValue): \($0.evidence)" }) \(assessment.candidates.map(\.action.rawValue))
      """
  }

  @Test(arguments: [5, 6] as [UInt64])
  func whatIsReadFollowsFromTheStoredEvents(seed: UInt64) async throws {
    var random = HostChanges.Pseudorandom(state: seed)
    let others = HostChanges.otherRules
    let moments: [(offset: TimeSpan, rules: DecisionRules)] = [
      (.seconds(0), DecisionRules()), (.days(9), DecisionRules()), (.days(40), DecisionRules()), (.days(3), others),
    ]
    try await withHost(at: [.seconds(0)], rules: [DecisionRules()]) { url, stores, other in
      for turn in 0..<8 {
        for _ in 0..<3 { try await other.run(HostChanges.statement(&random)) }
        let claimed = event("\(seed)-\(turn)", of: Int.random(in: 0...1, using: &random))
        expect(try await stores[0].commitAll([claimed]), ["stored"])
        if turn % 2 == 1 { try await other.run(HostChanges.statement(&random)) }
        if turn % 3 == 2 { try await other.run("UPDATE contacts SET ai_score = \(turn * 7)") }
        for (offset, rules) in moments {
          let reference = try await other.perform { try StoredReference(rules, at: offset, on: $0) }
          try await withReads(url, rules, at: offset) { reads in
            for client in Self.clients {
              let wanted = reference.assessments[client]
              let record = Comment(rawValue: "seed \(seed), turn \(turn), offset \(offset), rules \(rules.version)")
              let document = try await reads.client(client)
              #expect(Self.line(document.root) == Self.line(wanted), record)
              #expect(
                document.root["nextChangeAt"]?.string.flatMap { Timestamp(iso8601: $0) } == wanted?.nextChange, record)
              let next = try await reads.nextAction(client)
              #expect(Self.line(next.root) == Self.line(wanted), record)
              #expect(next.root["nextAction"]?["action"]?.string == wanted?.candidates.first?.action.rawValue, record)
              let report = try #require(try await reads.reports.report(on: client, limit: 1))
              #expect(report.now?.score == wanted?.score && report.now?.riskLevel == wanted?.level.rawValue, record)
            }
          }
        }
      }
    }
  }

  @Test func whatIsStoredKeepsItsCauseAndItsAction() async throws {
    try await withHost(at: [.seconds(0)], rules: [DecisionRules()]) { url, stores, other in
      expect(try await stores[0].commitAll(["a", "b", "c"].map { event($0) }), ["stored", "stored", "stored"])
      let client = Self.clients[0]
      var risk = event("d")
      var plain = risk.event
      plain.stage = .churnRisk
      risk = IncomingEvent(id: risk.id, event: plain, signals: Self.signals(of: plain))
      expect(try await stores[0].commitAll([risk]), ["stored"])
      try await withReads(url) { reads in
        let root = try await reads.client(client).root
        #expect(root["cause"]?["id"]?.string == "d")
        #expect(root["nextAction"]?["verdict"]?.string == "chosen")
        #expect(root["nextAction"]?["actionId"]?.string != nil)
        #expect(root["asOf"]?.string.flatMap { Timestamp(iso8601: $0) } != nil)
      }
      // The decided action is still pending, and a new risk has begun.
      try await withReads(url, at: .days(31)) { reads in
        let root = try await reads.client(client).root
        #expect(root["cause"]?.string == nil && root["cause"]?["id"] == nil)
        #expect(root["risks"]?[0]?["risk"]?.string == "low_engagement")
        #expect(root["generatedAt"]?.string.flatMap { Timestamp(iso8601: $0) }.map { $0 < SystemClock().now() } == true)
      }
      let scores = try await other.perform { try $0.execute("SELECT count(*) FROM client_journey_scores").text(0, 0) }
      #expect(scores == "2", "reading stores nothing")
    }
  }

  @Test func aScoreOfTheHostsStandsUntilTheNextEvaluation() async throws {
    try await withHost(at: [.seconds(0)], rules: [DecisionRules()]) { url, stores, other in
      expect(try await stores[0].commitAll([event("a")]), ["stored"])
      try await other.run(
        "INSERT INTO client_journey_scores (client_id, org_id, score, risk_level) VALUES ('\(Self.clients[0])', '\(Self.org)', 7, 'HIGH')"
      )
      try await withReads(url) { reads in
        let root = try await reads.client(Self.clients[0]).root
        #expect(root["score"]?.double == 7 && root["riskLevel"]?.string == "HIGH" && root["stage"]?.string == "billing")
      }
      expect(try await stores[0].commitAll([event("b")]), ["stored"])
      try await withReads(url) { reads in
        let root = try await reads.client(Self.clients[0]).root
        #expect(root["score"]?.double != 7)
      }
    }
  }

  /// The host has deleted all events of a client that had an outcome.
  @Test func ofAClientWithoutEventsNothingIsSaid() async throws {
    try await withHost(at: [.seconds(0)], rules: [DecisionRules()]) { url, stores, other in
      expect(try await stores[0].commitAll(["a", "b", "c"].map { event($0) }), ["stored", "stored", "stored"])
      try await other.run("DELETE FROM client_journey_events")
      for isSwept in [false, true] {
        if isSwept { #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 1) }
        try await withReads(url) { reads in
          for root in [try await reads.client(Self.clients[0]).root, try await reads.nextAction(Self.clients[0]).root] {
            #expect(Self.line(root) == Self.line(nil), "\(isSwept)")
            #expect(root["nextAction"]?.isNull == true, "\(isSwept)")
          }
          #expect(try await reads.reports.report(on: Self.clients[0], limit: 1)?.now == nil)
        }
      }
      #expect(try await Recompute().run(on: stores[0]).refreshed == 0, "what is swept is up to date")
    }
  }

  @Test func ofAStrangersClientNothingIsSaid() async throws {
    try await withHost(at: [.seconds(0)], rules: [DecisionRules()]) { url, stores, other in
      try await other.run("DELETE FROM user_organizations")
      expect(try await stores[0].commitAll([event("a")]), ["stored"])
      for summary in ["summary", "''"] {
        try await other.run("UPDATE journey_client_state SET summary = \(summary)")
        try await withReads(url) { reads in
          for query in [JourneyQuery.client(Self.clients[0]), .nextAction(client: Self.clients[0])] {
            let answer = try await reads.reader.read(query, for: Self.caller)
            #expect(answer == nil)
          }
        }
      }
    }
  }

  /// As in the design document's service, whose profile does not evaluate over time.
  @Test func whereTimeIsNotFollowedUpEachAnswerIsCalculated() async throws {
    var rules = DecisionRules()
    rules.evaluatesOverTime = false
    try await withHost(at: [.seconds(0)], rules: [rules]) { url, stores, _ in
      expect(try await stores[0].commitAll([event("a"), event("b"), event("c")]), ["stored", "stored", "stored"])
      try await withReads(url, rules, at: .days(31)) { reads in
        #expect(try await reads.nextAction(Self.clients[0]).root["risks"]?[0]?["risk"]?.string == "low_engagement")
        // This client has no events.
        let root = try await reads.nextAction(Self.clients[1]).root
        #expect(root["score"]?.double == 40 && root["stage"]?.string == "lead")
      }
    }
  }
}
