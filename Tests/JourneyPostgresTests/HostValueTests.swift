import TestSupport
import Foundation
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

/// Unusual values that members may write (infinite times, NaN, JSON of another shape) break no answer and no commit.
@Suite struct HostValueTests: CommitTesting {
  private static let times = [
    "infinity", "-infinity", "294276-12-31 23:59:59.999999+00", "4713-01-01 00:00:00+00 BC", "10000-01-01 00:00:00+00",
  ]

  @Test func answersKeepToTheContract() async throws {
    let url = try await TestServers.shared().makeDatabase()
    try await withStore(in: url) { store, host in
      let client = Self.clients[0]
      try await host.run("INSERT INTO user_organizations VALUES ('\(HostSchema.user)', '\(Self.org)')")
      expect(try await store.commitAll([event("a")]), ["stored"])
      func insert(_ table: String, _ column: String, _ value: String, _ time: String, _ at: String) -> String {
        let (more, values) = table == "events" ? (", stage, event_type", ", 'billing', 'x'") : ("", "")
        return """
          INSERT INTO client_journey_\(table) (client_id, org_id\(more), \(column), \(time))
            VALUES ('\(client)', '\(Self.org)'\(values), \(value), \(at))
          """
      }
      var statements = Self.times.map { insert("events", "metadata", "'{}'", "occurred_at", "'\($0)'") }
      statements += ["[1, 2]", "\"text\"", "null", "1e400", "{\"a\": 1}"].map {
        insert("events", "metadata", "'\($0)'", "occurred_at", "now()")
      }
      statements += (["NULL", "now()"] + Self.times.map { "'\($0)'" }).map {
        insert("scores", "score", "7", "generated_at", $0)
      }
      statements += ["NaN", "Infinity", "-Infinity", "1e300", "1e-400"].map {
        insert("scores", "score", "'\($0)'", "generated_at", "now() - interval '1 hour'")
      }
      statements += ["{}", "null", "\"email_outreach\"", "[1, null, \"email_outreach\", \"none\"]"].map {
        insert("scores", "recommended_actions", "'\($0)'", "generated_at", "now() + interval '1 hour'")
      }
      try await asMember(statements, on: host)
      var answers = try await answers(url)
      // Members can change the adapter's actions as well.
      for change in Self.times.map({ "generated_at = '\($0)'" }) + [
        "generated_at = NULL", "score = 'NaN'", "recommended_actions = '7'",
      ] {
        try await asMember(["UPDATE client_journey_scores SET \(change) WHERE action IS NOT NULL"], on: host)
        answers += try await self.answers(url)
      }
      try await requireValid(answers)
      let reports = ClientReports(worker: host, rules: DecisionRules())
      let report = try #require(try await reports.report(on: client, limit: 100))
      for time in report.events.map(\.occurredAt) + report.scores.map(\.generatedAt) + report.actions.map(\.decidedAt) {
        #expect(time.iso8601.prefix { $0 != "-" }.count == 4, "\(time.iso8601)")
      }
      #expect(report.scores.allSatisfy { abs($0.score) <= 1e15 })
    }
  }

  /// The summary is rebuilt from stored events, and the client is merged into another one.
  @Test func eventsOutsideOfTimeAreNoPartOfTheJourney() async throws {
    let url = try await TestServers.shared().makeDatabase()
    try await withStore(in: url) { store, host in
      try await host.run("INSERT INTO user_organizations VALUES ('\(HostSchema.user)', '\(Self.org)')")
      try await asMember(
        Self.times.map {
          """
          INSERT INTO client_journey_events (client_id, org_id, stage, event_type, occurred_at)
            VALUES ('\(Self.clients[0])', '\(Self.org)', 'churn_risk', 'x', '\($0)')
          """
        }, on: host)
      expect(try await store.commitAll([event("a"), event("b", of: 1)]), ["stored", "stored"])
      let state =
        "SELECT stage, isfinite(stage_at), isfinite(last_event_at) FROM journey_client_state WHERE client_id = '\(Self.clients[1])'"
      try await host.run("SELECT journey_merge_clients('\(Self.org)', '\(Self.clients[0])', '\(Self.clients[1])')")
      #expect(try await host.rows(state) == ["billing|t|t"])
      expect(try await store.commitAll([event("c")]), ["stored"])
      #expect(try await host.rows(state) == ["billing|t|t"])
      try await requireValid(try await answers(url))
    }
  }

  @Test(arguments: ["NaN", "Infinity", "-Infinity", "1e300", "-1e300", "1e-400", "-1e-400"])
  func scoresThatNoDoubleHoldsStopNoEvent(_ score: String) async throws {
    try await withStore { store, host in
      try await host.run("UPDATE contacts SET ai_score = '\(score)'")
      expect(try await store.commitAll([event("a")]), ["stored"])
      try await host.run(
        "ALTER TABLE contacts ALTER ai_score TYPE float8 USING CASE WHEN abs(ai_score) < 1 THEN 1e-300 ELSE 'NaN' END")
      expect(try await store.commitAll([event("b")]), ["stored"])
    }
  }

  private func asMember(_ statements: [String], on worker: PostgresWorker) async throws {
    try await worker.perform { connection in
      try connection.begin()
      try connection.execute(
        "SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', '{\"sub\":\"\(HostSchema.user)\"}', true)"
      )
      for statement in statements { try connection.execute(statement) }
      try connection.commit()
    }
  }

  /// What a member reads: each answer with the name of its schema.
  private func answers(_ url: String) async throws -> [(schema: String, answer: String)] {
    let client = Self.clients[0], page = PageRequest(limit: 100)
    var answers: [(schema: String, answer: String)] = []
    try await withReader(url) { read in
      for (schema, query) in [
        ("Client", JourneyQuery.client(client)), ("EventPage", .events(client: client, page)),
        ("EventPage", .events(client: client, PageRequest(limit: 3))),
        ("NextActionOfClient", .nextAction(client: client)),
        ("ClientPage", .highRisk(org: nil, BoardRequest(limit: 100))), ("ClientPage", .clients(ClientFilter(), page)),
        ("ActionPage", .actions(ActionFilter(), page)),
        ("ActionPage", .actions(ActionFilter(clientID: client), page)), ("Map", .map(org: nil, days: 30)),
        ("Statistics", .statistics(org: nil, days: 7)),
      ] {
        answers.append((schema, try await read(query)))
      }
    }
    return answers
  }

  /// Validates with an independent implementation.
  private func requireValid(
    _ answers: [(schema: String, answer: String)], sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    for (schema, texts) in Dictionary(grouping: answers, by: \.schema) {
      let lines = texts.map { $0.answer.replacing("\n", with: " ") }.joined(separator: "\n")
      let problems = try await Self.problems(lines, schema)
      #expect(problems == "", "\(schema)", sourceLocation: sourceLocation)
    }
  }

  private static func problems(_ lines: String, _ schema: String) async throws -> String {
    let root = URL(fileURLWithPath: ShippedMigrations.directory).deletingLastPathComponent().path
    let child = try ChildProcess.start(
      "/usr/bin/env", ["python3", "\(root)/scripts/contracts", "openapi:\(schema)", "-"],
      environment: ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"], directory: root,
      input: Array(lines.utf8))
    let ending = await child.ended(within: .seconds(60))
    return ending == .exited(0) ? "" : "\(child.standardError.suffix(1500))"
  }
}
