import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Invalid settings are reported once, with a clear instruction and an exit status for machines.
@Suite struct SettingsTests {
  /// Runs `journey serve`, which must exit at once with one message.
  private func refuses(
    _ environment: TestEnvironment, configuration: String = Profile.defaultProfile.configuration,
    _ variables: [String: String] = [:],
    status: Int32,
    naming words: [String], sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    var finished = try await environment.run(["serve", "--config", configuration], environment: variables)
    // Beside the log: that it starts, and that a refused login is retried for a while.
    finished.errors = finished.errors.split(separator: "\n").filter { !$0.contains(/^\d{4}-\d\d-\d\dT/) }
      .joined(separator: "\n")
    #expect(finished.status == status, "\(finished.errors)", sourceLocation: sourceLocation)
    #expect(finished.output.isEmpty, sourceLocation: sourceLocation)
    #expect(finished.errors.hasPrefix("journey: "), "\(finished.errors)", sourceLocation: sourceLocation)
    #expect(finished.errors.split(separator: "\n").count <= 3, "\(finished.errors)", sourceLocation: sourceLocation)
    for word in words { #expect(finished.errors.contains(word), "\(finished.errors)", sourceLocation: sourceLocation) }
    for trace in ["Fatal error", "Stack dump", "Backtrace", "Thread 0", "Error(", "swift"] {
      #expect(!finished.errors.contains(trace), "\(finished.errors)", sourceLocation: sourceLocation)
    }
    for url in [environment.servers.amqpURL(vhost: environment.vhost), environment.databaseURL] {
      if let password = URLComponents(string: url)?.password, password.count > 3 {
        #expect(!finished.errors.contains(password), "a password in a message", sourceLocation: sourceLocation)
      }
    }
  }

  private func changed(_ url: String, _ change: (inout URLComponents) -> Void) throws -> String {
    var parts = try #require(URLComponents(string: url))
    change(&parts)
    return try #require(parts.string)
  }

  @Test func missingWrongAndUnreachableServers() async throws {
    try await TestEnvironment.with { environment in
      let amqp = environment.servers.amqpURL(vhost: environment.vhost)
      try await refuses(environment, ["AMQP_URL": ""], status: 78, naming: ["AMQP_URL"])
      try await refuses(environment, ["DATABASE_URL": ""], status: 78, naming: ["DATABASE_URL"])
      try await refuses(environment, ["AMQP_URL": "http://localhost"], status: 78, naming: ["AMQP_URL"])
      try await refuses(
        environment, ["DATABASE_URL": "postgresql://localhost:notaport/x"], status: 78,
        naming: ["DATABASE_URL", "port"])
      try await refuses(
        environment, ["DATABASE_URL": "postgresql://localhost/x?sslmood=require"], status: 78,
        naming: ["DATABASE_URL", "parameter"])
      try await refuses(
        environment, ["AMQP_URL": try changed(amqp) { $0.password = "wrong" }], status: 78,
        naming: ["AMQP_URL", "access"])
      try await refuses(
        environment, ["DATABASE_URL": try changed(environment.databaseURL) { $0.password = "wrong" }], status: 78,
        naming: ["DATABASE_URL", "access"])
      try await refuses(
        environment, ["AMQP_URL": try changed(amqp) { $0.path = "/nowhere" }], status: 78,
        naming: ["AMQP_URL", "nowhere"])
      try await refuses(
        environment, ["DATABASE_URL": try changed(environment.databaseURL) { $0.path = "/nowhere" }], status: 78,
        naming: ["DATABASE_URL", "nowhere"])
      try await refuses(
        environment, ["DATABASE_ROLE": "nosuch"], status: 78,
        naming: ["the role nosuch", "does not exist", "set database.role"])
      let doctor = try await environment.run(["doctor"], environment: ["DATABASE_ROLE": "nosuch"])
      #expect(doctor.status == 78 && doctor.output.contains("the role nosuch"), "\(doctor.output)")
      // Ports below 1024 that no service uses.
      try await refuses(
        environment, ["AMQP_URL": try changed(amqp) { $0.port = 1 }], status: 69, naming: ["AMQP_URL", "reachable"])
      try await refuses(
        environment, ["DATABASE_URL": try changed(environment.databaseURL) { $0.port = 1 }], status: 69,
        naming: ["DATABASE_URL", "reachable"])
    }
  }

  /// Every command exits with 78 if an operator has to fix something, and not for temporary errors.
  @Test func parametersAndTrustAreForAPerson() async throws {
    try await TestEnvironment.with { environment in
      let database = try changed(environment.databaseURL) { $0.query = nil },
        broker = environment.servers.amqpURL(vhost: environment.vhost)
      let secure = broker.replacing("amqp://", with: "amqps://")
      let wrong: [(String, String, [String])] = [
        ("DATABASE_URL", database + "?pgbouncer=true", ["pgbouncer", "Prisma"]),
        ("DATABASE_URL", database + "?sslmode=perhaps", ["sslmode"]),
        ("DATABASE_URL", database + "?sslmode=verify-full&sslrootcert=/none/root.crt", ["sslrootcert"]),
        ("DATABASE_URL", database + "?sslmode=require&sslcert=/none/a.crt&sslkey=/none/a.key", ["sslcert"]),
        ("DATABASE_URL", database + "?sslmode=require", ["SSL"]),
        ("DATABASE_URL", database + "?keepalives_idle=soon", ["keepalives_idle"]),
        ("AMQP_URL", broker + "?channel_max=7", ["channel_max", "leave it out"]),
        ("AMQP_URL", broker + "?nonsense=7", ["nonsense"]),
        ("AMQP_URL", secure + "?cacertfile=/none/root.crt", ["/none/root.crt"]),
      ]
      for (name, url, words) in wrong {
        try await refuses(environment, [name: url], status: 78, naming: words)
        let doctor = try await environment.run(["doctor"], environment: [name: url])
        #expect(
          doctor.status == 78 && words.allSatisfy { (doctor.output + doctor.errors).contains($0) },
          "\(doctor.output) \(doctor.errors)")
        let command = name == "AMQP_URL" ? ["topology", "apply"] : ["migrate", "--dry-run"]
        let finished = try await environment.run(command, environment: [name: url])
        #expect(finished.status == 78, "\(command): \(finished.errors)")
      }
    }
  }

  /// Text files end with a line break, and so do secrets that containers mount as files.
  @Test func aLineBreakAtTheEndOfASecretIsNoPartOfIt() async throws {
    try await TestEnvironment.with { environment in
      let broken = [
        "DATABASE_URL": environment.logins.databaseURL + "\r\n",
        "AMQP_URL": environment.servers.amqpURL(vhost: environment.vhost) + "\n",
        "API_JWT_SECRET": APIEnvironment.secret + "\n",
      ]
      let api = try await APIEnvironment.serve(environment, broken)
      let answer = try await api.get(
        "/api/journey/high-risk", APIEnvironment.token("00000000-0000-4000-8000-0000000000aa"))
      #expect(answer.status == 200, "\(answer.body)")
      try await environment.stop(api.program)
    }
  }

  @Test func pendingMigrationAndMissingOrMismatchedQueues() async throws {
    try await TestEnvironment.with(isMigrated: false) { environment in
      try await refuses(environment, status: 78, naming: ["103_adapter.sql", "journey migrate"])
      try await environment.succeed(["migrate"])
      try await refuses(environment, status: 78, naming: ["journey topology apply"])
      try await declare(environment, ["x-queue-type": "classic"])
      let applied = try await environment.run(["topology", "apply"])
      #expect(applied.status == 78 && applied.errors.contains("journey.ingest"), "\(applied.errors)")
      #expect(await exchangeIsMissing(environment), "nothing may be made where something is wrong")
      try await environment.admin.deleteQueue("journey.ingest")
      try await environment.succeed(["topology", "apply"])

      try await declare(environment, ["x-queue-type": "classic"])
      try await refuses(
        environment, status: 78,
        naming: ["queue journey.ingest", "x-dead-letter-exchange", "journey.dead", "topology apply"])
      // All arguments are correct except one number.
      try await declare(
        environment,
        [
          "x-queue-type": "quorum", "x-dead-letter-exchange": "journey.dead", "x-dead-letter-strategy": "at-least-once",
          "x-overflow": "reject-publish", "x-delivery-limit": 5,
        ])
      try await refuses(
        environment, status: 78, naming: ["queue journey.ingest", "x-delivery-limit", "5", "20", "topology apply"])
    }
  }

  /// Replaces the ingest queue by one with other arguments.
  private func declare(_ environment: TestEnvironment, _ arguments: FieldTable) async throws {
    try await environment.admin.deleteQueue("journey.ingest")
    _ = try await environment.admin.declare(
      Topology(queues: [QueueDeclaration(name: "journey.ingest", arguments: arguments)]))
  }

  private func exchangeIsMissing(_ environment: TestEnvironment) async -> Bool {
    let wanted = Topology(exchanges: [ExchangeDeclaration(name: "journey.events", kind: "topic")])
    return (try? await environment.admin.verify(wanted).map(\.difference)) == [.missing]
  }

  @Test func unreadableSettingsAndRules() async throws {
    try await TestEnvironment.with { environment in
      try await withTemporaryDirectory { directory in
        func configuration(_ name: String, _ change: (String) throws -> Void) throws -> String {
          let copy = "\(directory)/\(name)"
          try FileManager.default.copyItem(atPath: Repository.root + "/config", toPath: copy)
          try FileManager.default.createSymbolicLink(
            atPath: copy + "/migrations", withDestinationPath: Repository.root + "/migrations")
          try change(copy)
          return copy
        }
        func replace(_ file: String, _ text: String, by other: String) throws {
          let old = try String(contentsOfFile: file, encoding: .utf8)
          try #require(old.contains(text))
          try old.replacingOccurrences(of: text, with: other).write(toFile: file, atomically: true, encoding: .utf8)
        }
        let rules = try String(contentsOfFile: Repository.root + "/config/decisions.yaml", encoding: .utf8)
        let line = 1 + rules.prefix(upTo: try #require(rules.range(of: "fewerThan: 3")).lowerBound).count { $0 == "\n" }
        let badDecisions = try configuration("a") {
          try replace("\($0)/decisions.yaml", "fewerThan: 3", by: "fewerThan: many")
        }
        try await refuses(
          environment, configuration: badDecisions, status: 78,
          naming: ["decisions.yaml:\(line):", "fewerThan", "a number"])
        let notYAML = try configuration("b") { try replace("\($0)/decisions.yaml", "score: {", by: "score: [") }
        try await refuses(environment, configuration: notYAML, status: 78, naming: ["decisions.yaml"])
        let badMapping = try configuration("c") {
          try replace("\($0)/mappings/stripe.yaml", "stage: billing", by: "stage: biling")
        }
        let finished = try await environment.run(["serve", "--config", badMapping])
        #expect(
          finished.status == 78 && finished.errors.contains("stripe.yaml") && finished.errors.contains("biling"),
          "\(finished.errors)")
        let unknownKey = try configuration("d") {
          try replace("\($0)/journey.yaml", "workers: 2", by: "wrokers: 2")
        }
        try await refuses(
          environment, configuration: unknownKey, status: 78,
          naming: ["journey.yaml", "wrokers", "did you mean workers?"])
        try await refuses(environment, configuration: directory + "/none", status: 78, naming: [directory + "/none"])
        try await refuses(environment, ["PIPELINE_LANES": "0"], status: 78, naming: ["pipeline.lanes", "0", "1 to 32"])
        try await refuses(
          environment, ["PIPELINE_WORKERS": "99"], status: 78, naming: ["pipeline.workers", "99", "1 to 32"])
        try await refuses(
          environment, ["PIPELINE_WORKERS": "3", "PIPELINE_LANES": "2"], status: 78,
          naming: ["pipeline.lanes: 2", "pipeline.workers: 3"])
      }
    }
  }

  @Test func aDeprecatedKeyIsAcceptedWithOneWarning() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(.defaultProfile, ["PIPELINE_LANES": "3"])
      try await environment.stop(program)
      let lines = program.standardError.split(separator: "\n").filter { $0.contains("deprecated") }
      #expect(lines.count == 1, "\(program.standardError)")
      #expect(lines.first?.contains("write pipeline.workers (PIPELINE_WORKERS)") == true)
      #expect(lines.first?.contains(" warning ") == true)
    }
  }

  /// A pooler in transaction mode shares the session between clients; in session mode it does not.
  @Test func aPoolerThatKeepsNoSessionIsRefused() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      let lending = try await servers.pooled(environment.logins.databaseURL, .transaction)
      try await refuses(environment, ["DATABASE_URL": lending], status: 78, naming: ["pooler", "session mode", "5432"])
      let doctor = try await environment.run(["doctor"], environment: ["DATABASE_URL": lending])
      #expect(doctor.status == 78)
      #expect(doctor.output.contains("FAILED   sessions"), "\(doctor.output)")
      let program = try await environment.serve(
        .defaultProfile, ["DATABASE_URL": try await servers.pooled(environment.logins.databaseURL, .session)])
      try await environment.stop(program)
    }
    try await servers.stop()
  }

  /// An object that commits need is wrong, so nothing is consumed from the queue.
  @Test func aCommitThatWouldNotPassIsRefusedAtTheStart() async throws {
    try await TestEnvironment.with { environment in
      try await environment.execute("ALTER TABLE journey_client_state DROP COLUMN outreach")
      try await environment.publish([
        OutboundMessage(exchange: "journey.events", routingKey: "a.b", properties: MessageProperties(), body: [])
      ])
      try await refuses(environment, status: 78, naming: ["outreach", "42703"])
      let doctor = try await environment.run(["doctor"])
      #expect(doctor.status == 78)
      #expect(doctor.output.contains("FAILED   commits"), "\(doctor.output)")
      let waiting = try #require(try await environment.admin.get(queue: "journey.ingest"))
      #expect(!waiting.isRedelivered)
    }
  }
}
