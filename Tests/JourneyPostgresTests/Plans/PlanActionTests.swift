import TestSupport
import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

extension PlanTests {
  /// However many scores there are, what becomes of actions is found and written by their keys.
  @Test(arguments: PlanHistory.Statistics.allCases)
  func whatBecomesOfActionsIsFoundByKeys(_ statistics: PlanHistory.Statistics) async throws {
    try await withScenario(.defaultProfile, statistics, life: LifeRules()) { scenario, wanted in
      let log = scenario.log
      var rules = wanted
      rules.maxValues = 40
      func check(_ work: String, runs statement: PostgresStatement?, _ body: () async throws -> Void) async throws {
        let plans = try await log.plans(body)
        if let statement { #expect(plans.contains { $0.text == statement.sql }, "\(work) does not run it") }
        Self.report(rules.findings(plans, in: work))
      }
      let clients = (2000..<2040).map(Self.reference), store = scenario.store
      var batches: [OutboxBatch] = []
      for round in 1...3 {
        // Of other types for each client, so that actions lose their causes.
        let shifted = clients.indices.map { clients[($0 + 4 * round) % clients.count] }
        try await check("round \(round)", runs: round > 1 ? ActionStatements.close : nil) {
          let result = try await store.commitAll(try scenario.events(of: shifted, "life \(round)"))
          if let outbox = result.outbox { batches.append(outbox) }
        }
      }
      let actions = batches.flatMap(\.actions).map(\.id)
      try #require(actions.count > 40)
      try await store.markPublished(batches.dropLast().map(\.id))
      try await check("revocations", runs: RevocationStatements.claim) {
        let claimed = try await store.claimRevocations(limit: 100)
        #expect(!claimed.isEmpty)
        try await store.markRevoked(claimed.map(\.id))
      }
      try await check("outcomes", runs: ActionStatements.find) {
        _ = try await store.commitAll(actions.prefix(40).map(Self.report(of:)))
      }
      try await withDatabase(PlanLog.url(scenario.url)) { worker in
        let repository = HoldRepository(worker: worker), held = try #require(batches.last)
        try await check("a hold and its release", runs: nil) {
          let hold = try await repository.add(
            Hold(id: 0, orgID: PlanHistory.organization(0)), until: nil, actor: "ada", why: "a test"
          ).hold.id
          try await store.release(ReleasedActions(held: held.actions.map { ($0.id, hold) }), of: held.id)
          _ = try await repository.release(hold, rate: 1000, actor: "ada", why: nil)
          #expect(try await HeldActionRelease(worker: worker, clock: SystemClock()).step() > 0)
        }
      }
    }
  }

  private static func report(of action: UUID) -> IncomingEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let report = OutcomeReport(
      actionID: action, outcome: .delivered, occurredAt: now, reporter: "worker:w", orgID: PlanHistory.organization(0))
    let event = JourneyEvent(
      orgID: PlanHistory.organization(0), source: OutcomeReport.source, sourceEventID: "\(action)/delivered",
      client: ClientReference(externalID: action.text), type: "action_delivered", stage: nil, occurredAt: now,
      metadata: Array("{}".utf8))
    return IncomingEvent(id: UUID.v7(at: now, using: &random), event: event, signals: Signals(), report: report)
  }
}
