import TestSupport
import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

extension PlanTests {
  /// However many clients exist and are due, a transaction reads only the first ones of an index.
  @Test(arguments: PlanHistory.Statistics.allCases)
  func clientsWhoAreDueAreFoundByIndexes(_ statistics: PlanHistory.Statistics) async throws {
    let history = try await PlanHistory.filled(statistics)
    var wanted = try await history.rules()
    wanted.exempt = [SummaryRebuild(signals: SignalRules()).invoices.sql]
    wanted.maxValues = 40
    try await PlanScenario.run(on: history, PlanLog(try await TestServers.shared()), .defaultProfile) {
      [wanted] scenario in
      func evaluate(_ work: String) async throws -> DueResult {
        var result: DueResult?
        let plans = try await scenario.log.plans {
          result = try await scenario.store.evaluateDue(limit: 40, passingOver: PassedOver())
        }
        #expect(plans.contains { $0.text == DueStatements.lock.sql })
        Self.report(wanted.findings(plans, in: work))
        return try #require(result)
      }
      try await withDatabase(scenario.url) { try await $0.run("UPDATE journey_client_state SET summary = ''") }
      // All clients are due, as after a change of the rules, and none has a summary.
      #expect(try await evaluate("everybody is due").evaluated.count == 40)
      let some = (2000..<2040).map { PlanHistory.client(3 * $0) }
      _ = try await scenario.commit(try scenario.events(of: some.map { ClientReference(id: $0) }, "due"))
      let list = some.map { "'\($0)'" }.joined(separator: ",")
      try await withDatabase(scenario.url) { worker in
        try await worker.run(
          """
          UPDATE journey_client_state SET check_at = now() + interval '10 days' WHERE client_id NOT IN (\(list));
          UPDATE journey_client_state SET due_at = now() - interval '1 day', check_at = now() - interval '1 day' WHERE client_id IN (\(list))
          """)
      }
      #expect(try await evaluate("some are due").evaluated.count == 40)
      // The first scan finds the entries that were just moved, and marks them as dead.
      _ = try await scenario.store.evaluateDue(limit: 40, passingOver: PassedOver())
      #expect(try await evaluate("nobody is due").looked == 0)
      // Earlier rounds leave dead entries at the front of the index.
      try await withDatabase(scenario.url) {
        try await $0.run("UPDATE journey_client_state SET check_at = now() - interval '1 day', due_at = now()")
      }
      for turn in 1...20 { #expect(try await evaluate("turn \(turn)").evaluated.count == 40) }
    }
  }
}
