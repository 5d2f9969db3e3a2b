import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// The database refuses new sessions for a while: during a password change or a restore, or because a pooler has no
/// free session.
@Suite struct RefusedSessionTests {
  struct Refusal: Sendable, CustomTestStringConvertible {
    var sqlState: String
    var begin: [String]
    var end: [String]
    /// Whether only an operator can fix it, as far as the program can tell at the start.
    var isForAPerson: Bool
    var testDescription: String { sqlState }
  }

  /// `$LOGIN` and `$DATABASE` are placeholders.
  static let refusals = [
    Refusal(
      sqlState: "28P01", begin: ["ALTER ROLE $LOGIN PASSWORD 'another'"],
      end: ["ALTER ROLE $LOGIN PASSWORD 'amsel-$LOGIN'"],
      isForAPerson: true),
    Refusal(
      sqlState: "28000", begin: ["ALTER ROLE $LOGIN NOLOGIN"], end: ["ALTER ROLE $LOGIN LOGIN"], isForAPerson: true),
    Refusal(
      sqlState: "3D000",
      begin: [
        "ALTER DATABASE $DATABASE ALLOW_CONNECTIONS false",
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '$DATABASE'",
        "ALTER DATABASE $DATABASE RENAME TO away_$DATABASE",
      ], end: ["ALTER DATABASE away_$DATABASE RENAME TO $DATABASE", "ALTER DATABASE $DATABASE ALLOW_CONNECTIONS true"],
      isForAPerson: true),
    Refusal(
      sqlState: "55000", begin: ["ALTER DATABASE $DATABASE ALLOW_CONNECTIONS false"],
      end: ["ALTER DATABASE $DATABASE ALLOW_CONNECTIONS true"],
      isForAPerson: false),
    Refusal(
      sqlState: "53300", begin: ["ALTER ROLE $LOGIN CONNECTION LIMIT 0"],
      end: ["ALTER ROLE $LOGIN CONNECTION LIMIT -1"], isForAPerson: false),
  ]

  @Test(arguments: refusals)
  func isWaitedOutWhileServeRuns(_ refusal: Refusal) async throws {
    try await TestEnvironment.with { environment in
      let login = try await Login(of: environment)
      var random = SeededRandom(stream: 81)
      let workload = Workload(events: 40, &random)
      try await workload.seed(environment)
      let messages = workload.messages(duplicates: 0, &random)
      let program = try await environment.serve(.defaultProfile)
      let probe = try await Probe(program)
      try await eventually("ready", state: { program.standardError }) { try await probe.ready().isReady }

      try await login.refuse(refusal.begin)
      try await environment.publish(messages)
      try await eventually("a refusal that shows", state: { program.standardError }) {
        try await probe.ready().body.contains(refusal.sqlState)
      }
      // Time for several more attempts.
      try await Task.sleep(for: .seconds(2))
      #expect(program.ending == nil, "a refusal is no end: \(program.standardError)")
      try await login.run(refusal.end)
      try await environment.settles(events: workload.events.count, program)
      try await eventually("ready again", state: { program.standardError }) { try await probe.ready().isReady }
      try await environment.stop(program)
      #expect(try await environment.admin.messageCount(queue: "journey.dead-letters") == 0)
    }
  }

  @Test(arguments: refusals)
  func atTheStartOnlyWhatAPersonMustMendIs78(_ refusal: Refusal) async throws {
    try await TestEnvironment.with { environment in
      let login = try await Login(of: environment)
      try await login.refuse(refusal.begin)
      let finished = try await environment.run(["serve"])
      try await login.run(refusal.end)
      #expect(finished.status == (refusal.isForAPerson ? 78 : 69), "\(finished.errors)")
      #expect(finished.errors.contains("trying again") == refusal.isForAPerson, "\(finished.errors)")
    }
  }

  @Test func aLoginThatIsRefusedForAMomentAtTheStartIsTriedAgain() async throws {
    try await TestEnvironment.with { environment in
      let login = try await Login(of: environment)
      let refusal = Self.refusals[0]
      try await login.refuse(refusal.begin)
      let program = try environment.start(["serve"])
      try await eventually("a second attempt", state: { program.standardError }) {
        program.standardError.contains("trying again")
      }
      try await login.run(refusal.end)
      try await eventually("work", state: { program.standardError }) { program.standardError.contains("consuming") }
      try await environment.stop(program)
    }
  }
}

/// The login of the environment's programs, which the database refuses for a while.
struct Login {
  let environment: TestEnvironment
  let name: String
  let database: String

  init(of environment: TestEnvironment) async throws {
    self.environment = environment
    database = try await environment.rows("SELECT current_database()")[0][0]
    name = try #require(URLComponents(string: environment.logins.databaseURL)?.user)
  }

  /// Runs statements, and terminates the login's sessions.
  func refuse(_ statements: [String]) async throws {
    try await run(statements)
    try await run(["SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '$LOGIN'"])
  }

  func run(_ statements: [String]) async throws {
    for statement in statements {
      try await environment.servers.sql(
        statement.replacing("$LOGIN", with: name).replacing("$DATABASE", with: database))
    }
  }
}
