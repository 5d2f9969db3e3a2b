import AMQPClient
import Foundation
import PostgresClient
import TestServers
import Testing

@testable import TestSupport

/// The roles of `journey roles`: what they need works, and what they must not do is refused.
@Suite struct RolesTests {
  private struct Logins {
    var service: [String: String]
    var owner: [String: String]
    var mailer: String
  }

  /// Creates the roles as an administrator would, twice.
  private static func make(_ environment: TestEnvironment, in directory: String) async throws -> Logins {
    let name = "roles_" + environment.vhost
    let amqp = environment.servers.amqpURL(vhost: "").split(separator: "@")[1].prefix { $0 != "/" }
    let postgres = environment.servers.databaseURL().split(separator: "@")[1].prefix { $0 != "/" }
    let credentials = [
      "roles", "credentials", "--directory", directory, "--database-host", String(postgres), "--database", name,
      "--broker-host", String(amqp), "--vhost", environment.vhost, "--owner", "\(name)_owner", "--service",
      "\(name)_service", "--worker", "email",
    ]
    try await environment.succeed(credentials)
    func read(_ file: String) throws -> String {
      let path = "\(directory)/\(file)"
      #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
      return try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .newlines)
    }
    func urls(_ folder: String) throws -> [String: String] {
      ["AMQP_URL": try read("\(folder)/amqp-url"), "DATABASE_URL": try read("\(folder)/database-url")]
    }
    let before = try urls("credentials"), mailer = try read("workers/email/amqp-url")
    for _ in 0..<2 {
      #expect(try await environment.succeed(credentials).split(separator: "\n").allSatisfy { $0.hasPrefix("exists") })
      for (part, file) in [("sql", "roles.sql"), ("broker", "broker.json")] {
        let text = try await environment.succeed(["roles", part, "--directory", directory])
        for url in Array(before.values) + Array(try urls("owner").values) + [mailer] {
          let password = try #require(url.split(separator: ":").dropFirst(2).first?.split(separator: "@").first)
          #expect(!text.contains(password), "no password is printed")
        }
        try text.write(toFile: "\(directory)/\(file)", atomically: true, encoding: .utf8)
      }
      let psql = try ChildProcess.start(
        TestServers.script, ["psql", environment.servers.directory, "--file", "\(directory)/roles.sql"],
        environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"], directory: Repository.root)
      let ending = await psql.ended(within: .seconds(30))
      #expect(ending == .exited(0), "\(psql.standardError)")
      try await environment.servers.rabbitmqctl("import_definitions", "\(directory)/broker.json")
    }
    return Logins(service: before, owner: try urls("owner"), mailer: mailer)
  }

  @Test func theServiceDoesItsWorkAndNothingElse() async throws {
    try await TestEnvironment.with(isMigrated: false) { environment in
      try await withTemporaryDirectory { directory in
        let logins = try await Self.make(environment, in: directory)
        func run(_ arguments: String..., as login: [String: String]) async throws -> String {
          let finished = try await environment.run(arguments, environment: login)
          try #require(finished.status == 0, "\(arguments): \(finished.errors)\(finished.output)")
          return finished.output.trimmingCharacters(in: .newlines)
        }
        _ = try await run("migrate", as: logins.owner)
        _ = try await run("topology", "apply", as: logins.owner)
        let org = try await run("org", "add", "Acme", as: logins.owner)
        let client = try await run("contact", "add", "--org", "Acme", "--email", "ada@acme.example", as: logins.service)
        let doctor = try await run("doctor", as: logins.service)
        #expect(!doctor.contains("WARNING  login") && doctor.contains("all that serve needs"), "\(doctor)")
        #expect(try await run("topology", "verify", as: logins.service).contains("was not compared"))

        // An event passes through.
        let program = try await environment.serve(.defaultProfile, logins.service)
        let event = """
          {"specversion":"1.0","id":"e1","source":"/billing","type":"invoice_overdue","time":"\(Date.now.ISO8601Format())",
          "subject":"\(client)","orgid":"\(org)","data":{"invoiceId":"in_1","amountDue":12000,"currency":"eur"}}
          """
        let published = try await environment.run(
          ["publish", "-"], environment: logins.service, input: Array(event.utf8))
        #expect(published.status == 0, "\(published.errors)")
        let owned = try #require(logins.owner["DATABASE_URL"])
        try await eventually("the event's score", state: { program.standardError }) {
          try await withDatabase(owned) { try await $0.rows("SELECT count(*) FROM client_journey_scores") } == ["1"]
        }
        try await environment.stop(program)

        try await Self.databaseRefuses(try #require(logins.service["DATABASE_URL"]), org: org)
        try await Self.brokerRefuses(try #require(logins.service["AMQP_URL"]), environment)
        try await Self.brokerRefusesWorker(logins.mailer)
      }
    }
  }

  /// - Parameter url: with the service's login.
  private static func databaseRefuses(_ url: String, org: String) async throws {
    try await withDatabase(url) { database in
      for (statement, state) in [
        ("CREATE TABLE mine (id int)", "42501"), ("CREATE TEMPORARY TABLE mine (id int)", "42501"),
        ("CREATE SCHEMA mine", "42501"), ("CREATE ROLE mine", "42501"), ("CREATE DATABASE mine", "42501"),
        ("DROP TABLE client_journey_events", "42501"), ("ALTER TABLE contacts DISABLE ROW LEVEL SECURITY", "42501"),
        ("TRUNCATE client_journey_events", "42501"), ("DELETE FROM client_journey_events", "42501"),
        ("DELETE FROM contacts", "42501"), ("INSERT INTO organizations (name) VALUES ('Mine')", "42501"),
        ("INSERT INTO user_organizations (user_id, org_id) VALUES (gen_random_uuid(), '\(org)')", "42501"),
        ("SELECT * FROM pg_authid", "42501"), ("COPY contacts TO '/tmp/mine'", "42501"),
        ("CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", "42501"),
        ("SET ROLE postgres", "42501"),
      ] {
        let error = await #expect(throws: PostgresError.self, "\(statement)") { try await database.run(statement) }
        #expect(error?.sqlState == state, "\(statement): \(error.map(String.init(describing:)) ?? "")")
      }
      // As a member of no organisation it sees nothing, and as one of another nothing of this one.
      for table in ["organizations", "contacts", "client_journey_events", "client_journey_scores", "journey_actions"] {
        let seen = try await database.perform { connection in
          try connection.transaction {
            try connection.execute("SET LOCAL ROLE authenticated")
            try connection.execute(
              "SELECT set_config('request.jwt.claims', '{\"sub\":\"0193a6f2-0000-7000-8000-0000000000d1\"}', true)")
            return try connection.execute("SELECT count(*) FROM \(table)").text(0, 0)
          }
        }
        #expect(seen == "0", "\(table)")
      }
    }
  }

  /// - Parameter url: with the user of the worker of e-mails, which reads its queue and reports outcomes.
  private static func brokerRefusesWorker(_ url: String) async throws {
    try await AMQPAdmin.with(AMQPConnectionSettings(uri: url, connectionName: "worker")) { admin in
      try await admin.checkConsume(queue: "journey.actions.email")
      try await admin.checkPublish(exchange: "journey.outcomes", routingKey: "email.delivered")
      for queue in ["journey.actions.voice", "journey.outcomes", "journey.ingest"] {
        let error = await #expect(throws: AMQPError.self) { try await admin.checkConsume(queue: queue) }
        #expect(error?.code == .accessRefused, "\(queue)")
      }
      for exchange in ["", "journey.actions", "journey.events", "journey.retry", "journey.dead"] {
        let error = await #expect(throws: AMQPError.self) {
          try await admin.checkPublish(exchange: exchange, routingKey: "email.delivered")
        }
        #expect(error?.code == .accessRefused, "\(exchange)")
      }
      let error = await #expect(throws: AMQPError.self) { try await admin.deleteQueue("journey.actions.email") }
      #expect(error?.code == .accessRefused)
    }
  }

  /// - Parameter url: with the service's user.
  private static func brokerRefuses(_ url: String, _ environment: TestEnvironment) async throws {
    let settings = try AMQPConnectionSettings(uri: url, connectionName: "refused")
    let admin = AMQPAdmin(settings: settings)
    func refused(_ what: String, _ body: () async throws(AMQPError) -> Void) async {
      do throws(AMQPError) {
        try await body()
        Issue.record("\(what) was allowed")
      } catch {
        #expect(error.code == .accessRefused, "\(what): \(error)")
      }
    }
    for queue in ["journey.ingest", "journey.dead-letters", "journey.actions.email", "journey.retry.1h"] {
      await refused("delete \(queue)") { () throws(AMQPError) in try await admin.deleteQueue(queue) }
    }
    for queue in ["journey.actions.email", "journey.actions.voice", "journey.retry.1h"] {
      await refused("read \(queue)") { () throws(AMQPError) in try await admin.checkConsume(queue: queue) }
      await refused("purge \(queue)") { () throws(AMQPError) in _ = try await admin.purge(queue: queue) }
    }
    for exchange in ["", "amq.topic", "journey.other", "foreign"] {
      await refused("publish to \(exchange)") { () throws(AMQPError) in
        try await admin.checkPublish(exchange: exchange, routingKey: "journey.ingest")
      }
    }
    for name in ["journey.mine", "mine"] {
      await refused("declare \(name)") { () throws(AMQPError) in
        _ = try await admin.declare(Topology(queues: [QueueDeclaration(name: name)]))
      }
    }
    await refused("bind") { () throws(AMQPError) in
      try await admin.bind(Binding(queue: "journey.ingest", exchange: "journey.actions", routingKey: "#"))
    }
    await refused("unbind") { () throws(AMQPError) in
      try await admin.unbind(Binding(queue: "journey.ingest", exchange: "journey.events", routingKey: "#"))
    }
    await admin.close()
    // Another virtual host.
    let other = try await environment.servers.makeVirtualHost()
    let elsewhere = AMQPAdmin(
      settings: try AMQPConnectionSettings(
        uri: url.replacing("/\(environment.vhost)", with: "/\(other)"), connectionName: "refused"))
    await refused("another virtual host") { () throws(AMQPError) in _ = try await elsewhere.ping() }
    await elsewhere.close()
  }
}
