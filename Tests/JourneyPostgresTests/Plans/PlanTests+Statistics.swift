import TestSupport
import DeadLetters
import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing
@testable import JourneyPostgres

/// Plans that the server makes while its statistics say little or nothing.
extension PlanTests {
  /// A new installation processes its first backlog with plans that were made for nearly empty tables, before the
  /// server has any statistics.
  @Test func plansMadeForEmptyTablesDoForFullOnes() async throws {
    let history = try await PlanHistory.empty()
    let made = SummaryRebuild(signals: SignalRules())
    var wanted = PlanRules(bigTables: PlanHistory.bigTables)
    // A new client with a history of the host is read once. Without statistics, sorting that history looks as cheap as
    // reading its end. The first statistics, a minute later, correct the plan.
    wanted.exempt = [made.invoices.sql, made.newest.sql]
    wanted.maxValues = 40
    try await PlanScenario.run(on: history, PlanLog(try await TestServers.shared()), .defaultProfile) { scenario in
      for round in 0..<3 {
        _ = try await scenario.commit(
          try scenario.events(of: (round * 40..<round * 40 + 40).map(Self.reference), "empty \(round)"))
      }
      try await history.fill(clients: 3_000)
      for state in ["without a summary", "with a summary"] {
        let short = try await scenario.commit(try scenario.events(of: [Self.short], "short \(state)"))
        let long = try await scenario.commit(try scenario.events(of: [Self.long], "long \(state)"))
        let many = try await scenario.commit(
          try scenario.events(of: (1000..<1040).map(Self.reference), "many \(state)"))
        Self.report(wanted.findings(short.plans + long.plans + many.plans, in: "clients \(state)"))
        Self.report(wanted.growth(from: short.plans, to: long.plans, in: "a client \(state)"))
      }
    }
  }

  /// With near-empty statistics all indexes look alike: one that only contains a key column seems as good as the key's
  /// own index. Scanning it for every event would make each batch slower than the one before, until the table is
  /// analysed again.
  @Test func plansMadeForNearlyEmptyStatisticsFollowTheGrowth() async throws {
    let history = try await PlanHistory.empty()
    let log = PlanLog(try await TestServers.shared())
    let clients =
      (0..<500).map { ClientReference(externalID: "new \($0)", creation: NewClient(name: "n")) }
      + (1500..<2000).map(Self.reference)
    try await PlanScenario.run(on: history, log, .defaultProfile) {
      _ = try await $0.commit(try $0.events(of: clients, count: 1, "first"))
    }
    try await withDatabase(history.url) { try await $0.run("ANALYZE") }
    var wanted = PlanRules(bigTables: PlanHistory.bigTables)
    wanted.maxValues = 40
    try await PlanScenario.run(on: history, log, .defaultProfile) { scenario in
      for round in 0..<5 {
        _ = try await scenario.commit(try scenario.events(of: clients, count: 1000, "growth \(round)"))
      }
      let grown = try await scenario.commit(try scenario.events(of: clients, "grown"))
      Self.report(wanted.findings(grown.plans, in: "a table that has grown"))
    }
  }

  /// Tickets, sentiments and notes set no stage. If statistics say that hardly any row sets one, a free choice of plan
  /// could read and sort a client's complete history for each of them.
  @Test(arguments: ["not analysed", "analysed", "analysed while tiny"])
  func aLongHistoryWithoutStagesCostsNoMore(_ statistics: String) async throws {
    let history = try await PlanHistory.empty()
    let log = PlanLog(try await TestServers.shared())
    let other = (2000..<2040).map(Self.reference)
    if statistics == "analysed while tiny" {
      try await PlanScenario.run(on: history, log, .defaultProfile) {
        _ = try await $0.commit(try $0.events(of: other, "tiny"))
      }
      try await withDatabase(history.url) { try await $0.run("ANALYZE") }
    }
    try await history.fill(clients: 500, settingStages: false)
    if statistics == "analysed" { try await withDatabase(history.url) { try await $0.run("ANALYZE") } }
    var wanted = PlanRules(bigTables: PlanHistory.bigTables)
    let made = SummaryRebuild(signals: SignalRules())
    wanted.exempt = [made.invoices.sql, made.newest.sql]
    wanted.maxValues = 40
    try await PlanScenario.run(on: history, log, .defaultProfile) { scenario in
      for state in ["first", "second"] {
        let short = try await scenario.commit(try scenario.events(of: [Self.short], state, settingStages: false))
        let long = try await scenario.commit(try scenario.events(of: [Self.long], state, settingStages: false))
        // The client's state says that there is no stage, so no earlier event is read.
        let inserts = (short.plans + (state == "first" ? long.plans : [])).filter {
          $0.text == CommitStatements.insertEvents.sql
        }
        #expect(!inserts.isEmpty)
        for insert in inserts { #expect(insert.rowsRead == 0, "\(statistics), \(state): \(insert.root.drawing())") }
        // A client whose stage was set long ago gets late events.
        let incoming = try await scenario.commit(try scenario.events(of: [Self.long], "staged \(state)"))
        Self.report(wanted.findings(short.plans + long.plans + incoming.plans, in: "\(statistics), \(state)"))
        Self.report(wanted.growth(from: short.plans, to: long.plans, in: "\(statistics), \(state)"))
      }
    }
  }

  @Test func anIndexThatIsMissingIsFoundOut() async throws {
    let history = try await Self.filled()
    let index = "idx_client_journey_events_client"
    let definition = try await withDatabase(history.url) { worker in
      let definition = try await worker.rows("SELECT pg_get_indexdef('\(index)'::regclass)")[0]
      try await worker.run("DROP INDEX \(index)")
      return definition
    }
    let result: Result<Void, any Error>
    do {
      try await withScenario(.seed) { scenario, wanted in
        let short = try await scenario.commit(try scenario.events(of: [Self.short], count: 2, "no index"))
        let long = try await scenario.commit(try scenario.events(of: [Self.long], count: 2, "no index, long"))
        let found = wanted.findings(long.plans, in: "") + wanted.growth(from: short.plans, to: long.plans, in: "")
        #expect(found.contains { $0.plan.text == SummaryRebuild(signals: SignalRules()).newest.sql }, "\(found)")
      }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    try await withDatabase(history.url) { try await $0.run(definition) }
    try result.get()
  }
}
