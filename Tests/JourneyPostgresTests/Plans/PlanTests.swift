import TestSupport
import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import DeadLetters
@testable import JourneyPostgres

/// The cost of an event does not grow with the client's or the table's history. The server's plans show it for every
/// statement that a running adapter sends, as it was prepared.
@Suite(.serialized) struct PlanTests {
  static let analysed = Task { try await PlanHistory.filled(.analysed) }
  static let unanalysed = Task { try await PlanHistory.filled(.none) }

  static func filled(_ statistics: PlanHistory.Statistics = .analysed) async throws -> PlanHistory {
    switch statistics {
    case .analysed: try await analysed.value
    case .none: try await unanalysed.value
    }
  }
  static let short = ClientReference(id: PlanHistory.shortClient)
  static let long = ClientReference(id: PlanHistory.longClient)

  /// Clients of organisation 0, different ones in each run.
  static func clients(_ rules: PlanScenario.Rules) -> Range<Int> {
    rules == .defaultProfile ? 1..<100 : 101..<200
  }

  static func reference(_ n: Int) -> ClientReference { ClientReference(id: PlanHistory.client(3 * n)) }

  func withScenario(
    _ rules: PlanScenario.Rules, _ statistics: PlanHistory.Statistics = .analysed, life: LifeRules? = nil,
    _ body: (PlanScenario, PlanRules) async throws -> Void
  ) async throws {
    let history = try await Self.filled(statistics)
    var wanted = try await history.rules()
    try #require(wanted.bigTables.isSuperset(of: PlanHistory.bigTables))
    // The invoices are rebuilt from their events when a client is new, the rules change, or the host adds an event.
    wanted.exempt = [SummaryRebuild(signals: SignalRules()).invoices.sql]
    try await withDatabase(history.url) { try await $0.run("UPDATE journey_client_state SET summary = ''") }
    try await PlanScenario.run(on: history, PlanLog(try await TestServers.shared()), rules, life: life) {
      try await body($0, wanted)
    }
  }

  static func report(_ findings: [PlanFinding]) {
    for finding in findings { Issue.record(Comment(rawValue: finding.description)) }
  }

  @Test(arguments: PlanScenario.Rules.allCases, PlanHistory.Statistics.allCases)
  func aCommitReadsNoMoreForALongHistoryThanForAShortOne(
    _ rules: PlanScenario.Rules, _ statistics: PlanHistory.Statistics
  ) async throws {
    try await withScenario(rules, statistics) { scenario, wanted in
      // The first commit rebuilds the summaries; the second one uses them.
      for state in ["without a summary", "with a summary"] {
        let short = try await scenario.commit(try scenario.events(of: [Self.short], "short \(state)"))
        let long = try await scenario.commit(try scenario.events(of: [Self.long], "long \(state)"))
        #expect(
          (short.result.results + long.result.results).allSatisfy { if case .stored = $0 { true } else { false } })
        #expect(long.plans.contains { $0.isNested }, "the keys that are checked are not among the plans")
        Self.report(wanted.findings(short.plans + long.plans, in: "a client \(state)"))
        Self.report(wanted.growth(from: short.plans, to: long.plans, in: "a client \(state)"))
      }
    }
  }

  @Test(arguments: PlanScenario.Rules.allCases, PlanHistory.Statistics.allCases)
  func whateverABatchHoldsItIsFoundByIndexes(
    _ rules: PlanScenario.Rules, _ statistics: PlanHistory.Statistics
  ) async throws {
    let numbers = Self.clients(rules)
    try await withScenario(rules, statistics) { scenario, wanted in
      func check(_ work: String, _ events: [IncomingEvent], published: [UUID] = []) async throws -> CommitResult {
        let (plans, result) = try await scenario.commit(events, published: published)
        var wanted = wanted
        wanted.maxRows = 100 * events.count
        wanted.maxValues = events.count
        Self.report(wanted.findings(plans, in: work))
        return result
      }
      let known = numbers.prefix(40).map(Self.reference)
      let everyone = (1500..<2000).map(Self.reference)
      for round in ["a full batch", "another full batch"] {
        _ = try await check(round, try scenario.events(of: everyone, count: 500, round))
      }
      var events = try scenario.events(of: known, "first")
      _ = try await check("new clients", events)
      events = try scenario.events(of: known, "second")
      let outbox = try #require(try await check("known clients", events).outbox)
      let linked = try scenario.events(
        of: numbers.prefix(20).map { ClientReference(externalID: "c\(3 * $0)") }, "linked")
      for (work, events) in [
        ("by their own ids", try scenario.events(of: known, "third")), ("by a source's ids", linked),
      ] {
        let plans = try await scenario.commit(events).plans
        #expect(
          !plans.contains { $0.text == ClientStatements.findAndLock.sql },
          "known clients \(work) needed a second query")
      }
      let again = try await check(
        "the same events again, and a batch that is published", events, published: [outbox.id])
      #expect(again.results.allSatisfy { if case .duplicate = $0 { true } else { false } })

      let base = numbers.lowerBound * 3
      let found = try await check(
        "identities",
        try scenario.events(
          of: [
            ClientReference(externalID: "c\(base)"), ClientReference(externalID: "nobody"),
            ClientReference(externalID: "new \(base)", creation: NewClient(name: "n")),
            ClientReference(externalID: "mail \(base)", email: "c\(base + 3)@example.org"),
            ClientReference(externalID: "c\(base + 6)", linked: ["deal \(base)"]),
            ClientReference(externalID: "c\(base + 9)", merged: ["c\(base + 12)"]),
            ClientReference(id: PlanHistory.client(1)),
          ], "identities"))
      let rejected = found.results.count { if case .rejected = $0 { true } else { false } }
      #expect(rejected > 0 && rejected < found.results.count / 2)

      var batches: [OutboxBatch] = []
      Self.report(
        wanted.findings(
          try await scenario.log.plans { batches = try await scenario.store.claimAbandoned(limit: 20) },
          in: "the relay"))
      let batch = try #require(batches.first)
      let others = batches.dropFirst().map(\.id)
      let settled = try await scenario.log.plans {
        try await scenario.store.release(
          ReleasedActions(failed: [batch.actions[0].id], because: "refused"), of: batch.id)
        try await scenario.store.markPublished(others)
      }
      Self.report(wanted.findings(settled, in: "what the relay records"))
    }
  }

  @Test(arguments: PlanScenario.Rules.allCases)
  func theNumberOfStatementsIsIndependentOfTheBatch(_ rules: PlanScenario.Rules)
    async throws
  {
    var counted: [[String]] = []
    func count(_ scenario: PlanScenario, _ clients: [ClientReference], _ kind: String) async throws {
      for (size, round) in [(40, "first"), (40, "second"), (8, "third")] {
        let plans = try await scenario.commit(try scenario.events(of: clients, count: size, "\(kind) \(round)")).plans
        if round != "first" { counted.append(plans.filter { !$0.isNested }.map(\.text)) }
      }
    }
    let log = PlanLog(try await TestServers.shared())
    try await PlanScenario.run(on: try await PlanHistory.empty(), log, rules) {
      try await count($0, [Self.reference(1)], "empty")
    }
    try await PlanScenario.run(on: try await Self.filled(), log, rules) { scenario in
      try await count(scenario, [Self.reference(1001)], "one")
      try await count(scenario, (1002..<1006).map(Self.reference), "few")
      try await count(scenario, [Self.long], "long")
    }
    #expect(counted.allSatisfy { $0 == counted[0] && !$0.isEmpty }, "\(counted.map(\.count))")
  }

  @Test(arguments: PlanLog.Planning.allCases)
  func deadLettersAreStoredListedAndReplayedThroughIndexes(_ planning: PlanLog.Planning) async throws {
    let history = try await Self.filled()
    let log = PlanLog(try await TestServers.shared())
    let wanted = try await history.rules()
    let worker = PostgresWorker(
      try PostgresSettings(conninfo: PlanLog.url(history.url, planning), role: "journey_adapter"))
    let archive = PostgresDeadLetterArchive(worker: worker, clock: DeadLetterClock())
    let repository = DeadLetterRepository(worker: worker, actor: "ann")
    let deadLetters = (0..<40).map { DeadLetter.test(planning == .custom ? $0 : 100 + $0) }
    var open = DeadLetterFilter()
    open.states = [.new]
    let result: Result<Void, any Error>
    do {
      for work in ["new dead letters", "known dead letters"] {
        Self.report(wanted.findings(try await log.plans { _ = try await archive.store(deadLetters) }, in: work))
      }
      for (work, filter) in [("open dead letters", open), ("dead letters", DeadLetterFilter())] {
        let plans = try await log.plans {
          try #require(try await repository.list(filter, limit: 50, withBodies: false).count == 50)
        }
        Self.report(wanted.findings(plans, in: work))
      }
      // The dead letters were not analysed since they were claimed.
      var mine = DeadLetterFilter()
      mine.states = [.new]
      mine.orgID = PlanHistory.organization(planning == .custom ? 1 : 2)
      let replays = ReplayRepository(worker: worker, actor: "ann", clock: DeadLetterClock())
      let (replay, claimed) = try await replays.start(ReplayRequest(filter: mine, isForced: true))
      #expect(claimed >= 1000)
      let store = replays.store(replay, why: nil)
      var few = wanted
      few.maxRows = 500
      for turn in ["a replay's first dead letters", "its next ones"] {
        let plans = try await log.plans {
          let items = try await store.claimed(after: nil, limit: 40)
          try await store.record(
            items.enumerated().map { ($1.deadLetterID, $0 % 4 == 0 ? .failed("refused") : .confirmed) })
        }
        Self.report(few.findings(plans, in: turn))
      }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    await worker.close()
    try result.get()
  }
}

extension DeadLetter {
  /// The number makes it unique.
  fileprivate static func test(_ number: Int) -> DeadLetter {
    let body = Array(#"{"id":"e\#(number)"}"#.utf8)
    let message = OriginalMessage(
      exchange: "journey.events", routingKey: "a.b", messageID: "m\(number)", properties: Array("{}".utf8),
      headers: Array("[]".utf8), body: body, bodySize: body.count)
    return DeadLetter(
      message: message, source: "stripe", type: "invoice.odd", code: "unknown_type", reason: "the reason", attempts: 1,
      firstFailedAt: Timestamp(seconds: 100), failedAt: Timestamp(seconds: 100), replayCount: 0)
  }
}
