import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Secrets from files change while `journey serve` runs.
@Suite struct SecretRotationTests {
  private func write(_ text: String, _ path: String) throws {
    try Data((text + "\n").utf8).write(to: URL(filePath: path), options: .atomic)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
  }

  private func user(of url: String) throws -> String { try #require(URLComponents(string: url)?.user) }

  private func with(password: String, _ url: String) throws -> String {
    var parts = try #require(URLComponents(string: url))
    parts.password = password
    return try #require(parts.string)
  }

  @Test func passwordsOfBothServersChangeWithoutARestart() async throws {
    var random = SeededRandom(stream: 23)
    let workload = Workload(events: 600, &random), password = "new-\(UUID().uuidString)"
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      let messages = workload.messages(&random), third = messages.count / 3
      let servers = environment.servers
      let (amqpURL, databaseURL) = (environment.logins.amqpURL, environment.logins.databaseURL)
      let (broker, database) = (try user(of: amqpURL), try user(of: databaseURL))
      try await withTemporaryDirectory { directory in
        let (amqpFile, databaseFile) = (directory + "/amqp", directory + "/database")
        try write(amqpURL, amqpFile)
        try write(databaseURL, databaseFile)
        let files = [
          "AMQP_URL": "", "DATABASE_URL": "", "AMQP_URL_FILE": amqpFile, "DATABASE_URL_FILE": databaseFile,
          "AMQP_RECONNECT_SECONDS": "1", "DATABASE_RECONNECT_SECONDS": "1",
        ]
        let program = try await environment.serve(.defaultProfile, files)
        try await environment.publish(Array(messages[..<third]), &random)
        try await environment.settles(events: environment.number("SELECT count(*) FROM client_journey_events"), program)

        // The server changes first: sessions that end are refused until the file says the new password.
        try await servers.sql("ALTER ROLE \(database) PASSWORD '\(password)'")
        try await environment.execute(
          "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '\(database)'")
        try await environment.publish(Array(messages[third..<(2 * third)]), &random)
        try await eventually("a refused login", state: { program.standardError }) {
          program.standardError.contains("28P01")
        }
        #expect(program.ending == nil)
        try write(try with(password: password, databaseURL), databaseFile)

        // The file changes first, and is of use from the next connection on.
        try write(try with(password: password, amqpURL), amqpFile)
        _ = try await servers.rabbitmqctl("change_password", broker, password)
        let before = program.standardError.components(separatedBy: "consuming").count
        _ = try await servers.rabbitmqctl("close_all_user_connections", broker, "test")
        try await eventually("consuming again", state: { program.standardError }) {
          program.standardError.components(separatedBy: "consuming").count > before
        }
        try await environment.publish(Array(messages[(2 * third)...]), &random)
        try await environment.settles(events: workload.events.count, program)

        // A file of no use changes nothing.
        try write("postgresql://localhost:notaport/x", databaseFile)
        program.send(SIGHUP)
        try await eventually("the refusal of a file", state: { program.standardError }) {
          program.standardError.contains("secret not read again, the old one stays in use: \(databaseFile)")
        }
        try write(amqpURL.replacing(broker, with: "somebody"), amqpFile)
        try await eventually("the refusal of another user", state: { program.standardError }) {
          program.standardError.contains("another user than at the start")
        }
        try await environment.execute(
          "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '\(database)'")
        try await eventually("sessions with the last password that was usable") {
          try await environment.number("SELECT count(*) FROM pg_stat_activity WHERE usename = '\(database)'") > 0
        }
        #expect(!program.standardError.contains(password))
        try await environment.stop(program)
        try await Invariants(environment, workload, .defaultProfile).check()
      }
    }
  }

  @Test func twoSecretsOfTokensOverlapAndTheOldOneIsDropped() async throws {
    let first = APIEnvironment.secret, second = "another secret of the integration tests, 32 bytes"
    try await TestEnvironment.with { environment in
      try await withTemporaryDirectory { directory in
        // As systemd hands them over.
        try write(environment.logins.amqpURL, directory + "/amqp-url")
        try write(environment.logins.databaseURL, directory + "/database-url")
        try write(first, directory + "/jwt-secret")
        let api = try await APIEnvironment.serve(
          environment,
          ["AMQP_URL": "", "DATABASE_URL": "", "API_JWT_SECRET": "", "CREDENTIALS_DIRECTORY": directory])
        func status(_ secret: String) async throws -> Int {
          let token = APIEnvironment.token("00000000-0000-4000-8000-0000000000aa", secret: secret)
          return try await api.get("/api/journey/high-risk", token).status
        }
        #expect(try await status(first) == 200)
        #expect(try await status(second) == 401)
        try write("\(second)\n\(first)", directory + "/jwt-secret")
        api.program.send(SIGHUP)
        try await eventually("the new secret") { try await status(second) == 200 }
        #expect(try await status(first) == 200)
        let token = try await environment.run(
          ["token", "--user", "00000000-0000-4000-8000-0000000000aa"],
          environment: ["CREDENTIALS_DIRECTORY": directory])
        let signed = token.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(try await api.get("/api/journey/high-risk", signed).status == 200)
        // Without a signal: the file is looked at.
        try write(second, directory + "/jwt-secret")
        try await eventually("the end of the old secret") { try await status(first) == 401 }
        #expect(try await status(second) == 200)
        for secret in [first, second] { #expect(!api.program.standardError.contains(secret)) }
        try await environment.stop(api.program)
      }
    }
  }
}
