import FoundationEssentials
import Journey
import PostgresClient
import TestSupport
import Testing

@testable import JourneyPostgres

/// Stored events under changed rules, and a client as it was at an earlier time.
@Suite struct SimulationRunTests: CommitTesting {
  private static let lively: DecisionRules = {
    var rules = DecisionRules()
    rules.actions.life = LifeRules()
    return rules
  }()

  private func withWorker<Value>(_ url: String, _ body: (PostgresWorker) async throws -> Value) async throws -> Value {
    let worker = PostgresWorker(try PostgresSettings(conninfo: url, role: "journey_adapter"))
    let result: Result<Value, any Error>
    do { result = .success(try await body(worker)) } catch { result = .failure(error) }
    await worker.close()
    return try result.get()
  }

  private func counts(_ counts: SimulationCounts) -> [String] {
    [counts.current, counts.changed].map { "\($0.sorted { $0.key.rawValue < $1.key.rawValue })" }
      + ["\(counts.clients) \(counts.events) \(counts.different)"]
      + counts.listed.map { "\($0.id.text) \($0.difference.at.iso8601) \($0.difference.reasons)" }
  }

  /// However few events and clients are read at once.
  @Test func pagesDoNotMatter() async throws {
    let url = try await MigratedDatabase.make()
    try await withStores(in: url, rules: [Self.lively]) { stores, other in
      let stages = Stage.allCases
      for client in 0...1 {
        // Several of one moment, so that a page may end between them.
        let events = (0..<24).map { number in
          moved(
            "\(client)-\(number)", to: stages[(number * 5 + client) % stages.count], of: client,
            hoursAgo: Int64(number / 3) * 80)
        }
        _ = try await stores[0].commitAll(events)
      }
      var changed = Self.lively
      changed.version = "changed"
      changed.actions.byStage[.onboarding] = .init(.sendVoiceMessage)
      changed.risks.lowEngagement?.window = .days(5)
      let now = SystemClock().now()
      let simulation = Simulation(current: Self.lively, changed: changed, begin: now + .days(-20), end: now)
      try await withWorker(url) { worker in
        let whole = try await SimulationRun().run(simulation, on: worker)
        #expect(whole.clients == 2 && whole.different > 0 && !whole.current.isEmpty)
        for (clients, events) in [(1, 1), (1, 5), (2, 24)] {
          var run = SimulationRun()
          run.clientsPerPage = clients
          run.eventsPerPage = events
          #expect(counts(try await run.run(simulation, on: worker)) == counts(whole), "\(clients), \(events)")
        }
        var limited = SimulationRun()
        limited.limit = 0
        limited.orgID = Self.org
        let few = try await limited.run(simulation, on: worker)
        #expect(few.listed.isEmpty && few.different == whole.different)
      }
      // Nothing else is stored than before: two clients, a score each.
      #expect(try await other.rows("SELECT count(*) FROM client_journey_scores") == ["2"])
    }
  }

  /// Events that were committed when they occurred led to the actions that the simulation finds.
  @Test func theCurrentRulesDoWhatTheAdapterDid() async throws {
    let hours: [Int64] = [700, 640, 500, 420, 300, 210, 90, 20]
    let stages: [Stage] = [
      .lead, .onboarding, .churnRisk, .onboarding, .awaitingFeedback, .lead, .churnRisk, .retention,
    ]
    var rules = Self.lively
    rules.evaluatesOverTime = false
    rules.actions.contact = ContactPolicy()
    rules.actions.contact?.limits[.email] = .init(most: 1, window: .days(14))
    let url = try await MigratedDatabase.make()
    let offsets = hours.map { TimeSpan.hours(-$0) }
    try await withStores(in: url, at: offsets, rules: offsets.map { _ in rules }) { [rules] stores, other in
      for (index, store) in stores.enumerated() {
        expect(
          try await store.commitAll([moved("\(index)", to: stages[index], hoursAgo: hours[index])]), ["stored"])
      }
      let now = SystemClock().now()
      let simulation = Simulation(current: rules, changed: rules, begin: now + .days(-30), end: now)
      let found = try await withWorker(url) { try await SimulationRun().run(simulation, on: $0) }
      let did = try await other.rows("SELECT action, count(*) FROM journey_actions GROUP BY action ORDER BY action")
      #expect(found.current.map { "\($0.key.rawValue)|\($0.value)" }.sorted() == did && did.count > 2)
      #expect(found.different == 0)
    }
  }

  @Test func itsTransactionsCannotWrite() async throws {
    try await withWorker(try await MigratedDatabase.make()) { worker in
      let state = try await worker.perform { connection in
        try connection.transaction {
          _ = try connection.execute(SimulationStatements.readOnly)
          let statement = PostgresStatement(
            name: "state",
            "SELECT current_setting('transaction_read_only') || ' ' || current_setting('transaction_isolation')")
          return try connection.execute(statement).text(0, 0)
        }
      }
      #expect(state == "on repeatable read")
    }
  }

  /// Events that do not count, and clients that are part of another.
  @Test func whatDoesNotCountIsLeftOut() async throws {
    let url = try await MigratedDatabase.make()
    try await withStores(in: url, rules: [Self.lively]) { stores, other in
      _ = try await stores[0].commitAll([
        moved("1", to: .onboarding, hoursAgo: 3), moved("2", to: .churnRisk, hoursAgo: 2),
        moved("3", to: .onboarding, of: 1, hoursAgo: 3),
      ])
      try await other.run(
        "UPDATE client_journey_events SET voided_at = now() WHERE source_event_id = '2'")
      try await other.run(
        "UPDATE journey_client_state SET merged_into = '\(Self.clients[0])' WHERE client_id = '\(Self.clients[1])'")
      let now = SystemClock().now()
      let simulation = Simulation(current: Self.lively, changed: Self.lively, begin: now + .days(-1), end: now)
      let found = try await withWorker(url) { try await SimulationRun().run(simulation, on: $0) }
      #expect(found.clients == 1 && found.events == 1 && found.different == 0)
      #expect(found.current == [.scheduleMeeting: 1] && found.changed == found.current)
    }
  }

  /// An action that was taken back later was open then.
  @Test func anEarlierTimeShowsWhatWasKnownThen() async throws {
    let url = try await MigratedDatabase.make()
    try await withStores(in: url, rules: [Self.lively]) { stores, other in
      func now() async throws -> Timestamp {
        let text = try await other.rows("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")[0]
        return Timestamp(microseconds: try #require(Int64(text)))
      }
      let begin = try await now()
      _ = try await stores[0].commitAll([moved("1", to: .onboarding, hoursAgo: 3)])
      let then = try await now()
      _ = try await stores[0].commitAll([moved("2", to: .retention, hoursAgo: 2)])
      let later = try await now()
      try await withWorker(url) { worker in
        let reports = ClientReports(worker: worker, rules: Self.lively)
        func report(_ time: Timestamp) async throws -> PastReport {
          try #require(try await reports.report(on: Self.clients[0], at: time, limit: 10))
        }
        let past = try await report(then)
        #expect(past.client.eventCount == 1 && past.client.events.map(\.sourceEventID) == ["1"])
        #expect(past.client.actions.map(\.state) == ["proposed"] && past.client.actions[0].changedAt == nil)
        #expect(past.client.scores.count == 1 && past.decision != nil)
        let last = try await report(later)
        #expect(last.client.actions.filter { $0.action == "schedule_meeting" }.map(\.state) == ["revoked"])
        #expect(last.client.actions.contains { $0.changedAt != nil } && last.client.eventCount == 2)
        #expect(last.decision?.generatedAt != past.decision?.generatedAt)
        let never = try await report(begin)
        #expect(never.decision == nil && never.oldestDecisionAt == past.decision?.generatedAt)
        #expect(never.client.eventCount == 0 && never.client.actions.isEmpty && never.client.scores.isEmpty)
        let nobody = try await reports.report(on: UUID(), at: later, limit: 10)
        #expect(nobody == nil)
      }
    }
  }
}
