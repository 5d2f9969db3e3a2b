import TestServers
import Testing

@testable import TestSupport

/// A pooler in front of the database, as hosted databases have one.
extension Scenario {
  static var poolers: [Scenario] {
    [
      Scenario("pooler-session", short: 1, long: 5, sessionMode),
      Scenario("pooler-transaction", short: 1, long: 1, transactionMode),
    ]
  }

  /// Session mode: everything works, also if the server's sessions are terminated.
  private static func sessionMode(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: 200 + rounds * 200, pooling: .session, mayGiveUp: false), &random) {
      faultRun in
      let environment = faultRun.environment
      let program = try await faultRun.serve()
      for _ in 0..<rounds {
        try await faultRun.publish(150)
        try await faultRun.progress(by: 50...150)
        try await environment.execute(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename LIKE 'login%'"
        )
        try await faultRun.publish(50)
        try await faultRun.stored(faultRun.sentEvents, within: .seconds(40))
      }
      let doctor = try await environment.run(
        ["doctor"],
        environment: ["DATABASE_URL": try await environment.servers.pooled(environment.logins.databaseURL, .session)])
      #expect(doctor.status == 0, "\(doctor.output)")
      #expect(program.ending == nil, "\(program.standardError)")
    }
  }

  /// Transaction mode: other clients would get the adapter's session state. The adapter reports it and consumes
  /// nothing.
  private static func transactionMode(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: 100, mayGiveUp: false), &random) { faultRun in
      let environment = faultRun.environment
      let pooled = ["DATABASE_URL": try await environment.servers.pooled(environment.logins.databaseURL, .transaction)]
      try await faultRun.publish(50)
      for _ in 0..<rounds {
        let serve = try await environment.run(
          ["serve", "--config", faultRun.setup.profile.configuration], environment: pooled)
        #expect(serve.status == 78 && serve.errors.contains("session mode"), "\(serve.errors)")
        let doctor = try await environment.run(["doctor"], environment: pooled)
        #expect(doctor.status == 78 && doctor.output.contains("session mode"), "\(doctor.output)")
      }
      let stored = try await faultRun.stored()
      #expect(stored == 0)
    }
  }
}
