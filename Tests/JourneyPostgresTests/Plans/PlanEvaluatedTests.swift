import TestSupport
import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

extension PlanTests {
  /// The evaluation time of lists costs one index lookup, however many clients of other organisations are due.
  @Suite struct Evaluated {
    @Test(arguments: ["not analysed", "analysed"])
    func theEvaluationTimeCostsOneIndexEntry(_ statistics: String) async throws {
      let history = try await PlanHistory.empty()
      try await history.fill(clients: 3000)
      try await withDatabase(history.url) { worker in
        try await worker.run(
          """
          UPDATE journey_client_state SET check_at = now() - interval '1 hour'
          WHERE org_id <> '\(PlanHistory.organization(0))'
          """)
        try await worker.run("SET statement_timeout = 0")
        try await worker.run("VACUUM journey_client_state")
        if statistics == "analysed" { try await worker.run("ANALYZE") }
      }
      let caller = Caller(
        subject: PlanHistory.member, claims: Array(#"{"sub":"\#(PlanHistory.member)"}"#.utf8), isOperator: false,
        expiresAt: Timestamp(seconds: 4_000_000_000))
      let log = PlanLog(try await TestServers.shared())
      let url = PlanLog.url(history.url)
      let pool = PostgresPool(try PostgresSettings(conninfo: url, role: "authenticated"), size: 1)
      let adapter = PostgresWorker(try PostgresSettings(conninfo: url, role: "journey_adapter"))
      let reader = PostgresJourneyReader(pool: pool, adapter: adapter, rules: DecisionRules())
      let result: Result<Void, any Error>
      do {
        for query in [
          JourneyQuery.highRisk(org: nil, BoardRequest(limit: 50)), .upsell(org: nil, BoardRequest(limit: 50)),
        ] {
          let plans = try await log.plans { _ = try await reader.read(query, for: caller) }
          let looks = plans.flatMap(\.root.all).filter { $0.index == "idx_journey_client_state_check" }
          #expect(looks.count == 1, "\(plans.map { $0.root.drawing() })")
          for look in looks {
            #expect(look.type == "Index Only Scan", "\(look.drawing())")
            #expect(look.loops == 1 && look.rows == 1 && look.removed == 0, "\(look.drawing())")
            #expect(look.blocks <= 4, "\(look.drawing())")
          }
        }
        result = .success(())
      } catch {
        result = .failure(error)
      }
      await pool.close()
      await adapter.close()
      try result.get()
    }
  }
}
