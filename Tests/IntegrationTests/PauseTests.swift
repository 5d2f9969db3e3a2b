import AMQPClient
import Foundation
import Glibc
import PostgresClient
import TestServers
import Testing

@testable import TestSupport

/// `journey pause`, `resume` and `instances`.
@Suite struct PauseTests {
  private struct Listed: Decodable {
    var id: String
    var state: String
    var paused: Bool
    var inHand: Int
    var version: String
    var pause: Order?
  }
  private struct Order: Decodable {
    var by: String
    var reason: String?
  }

  private func instances(_ environment: TestEnvironment) async throws -> [Listed] {
    try JSONDecoder().decode(
      [Listed].self, from: Data(try await environment.succeed(["instances", "--json"]).utf8))
  }

  private func states(_ environment: TestEnvironment) async throws -> [String: String] {
    Dictionary(uniqueKeysWithValues: try await instances(environment).map { ($0.id, $0.state) })
  }

  @Test func eventsWaitInTheBrokerWhilePaused() async throws {
    var random = SeededRandom(stream: 93)
    let workload = Workload(events: 60, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(.literal, ["INSTANCE_NAME": "one"])
      let probe = try await Probe(program)
      let paused = try await environment.run(["pause", "--reason", "a migration", "--actor", "ada"])
      #expect(paused.status == 0 && paused.output.contains("one: paused"), "\(paused)")
      try await environment.publish(workload.messages(duplicates: 0, &random))
      #expect(try await environment.admin.messageCount(queue: "journey.ingest") == workload.events.count)
      let ready = try await probe.ready()
      #expect(ready.isReady && ready.body.contains(#""consuming":false,"paused":true"#), "\(ready.body)")
      #expect(try await states(environment) == ["one": "paused"])
      let order = try await instances(environment).first?.pause
      #expect(order?.by == "ada" && order?.reason == "a migration")
      let found = try await environment.diagnose()["paused"]?.text ?? ""
      #expect(
        found.hasPrefix("one, the only instance, is paused: no events are taken\npaused by ada since ")
          && found.hasSuffix(": a migration"), "\(found)")
      #expect(try await environment.number("SELECT count(*) FROM client_journey_events") == 0)
      // It outlives the process.
      try await environment.stop(program)
      #expect(try await states(environment).isEmpty, "one that ends in order gives up its lease")
      let standing = try await environment.diagnose()
      #expect(
        standing["paused"]?.text.hasPrefix("no instance runs; those that start will be paused: paused by ada") == true,
        "\(standing.findings)")
      let next = try environment.start(
        ["serve", "--config", Profile.literal.configuration], environment: ["INSTANCE_NAME": "one"])
      try await eventually("a paused start", state: { next.standardError }) {
        try await states(environment) == ["one": "paused"]
      }
      #expect(try await environment.admin.messageCount(queue: "journey.ingest") == workload.events.count)
      let resumed = try await environment.run(["resume"])
      #expect(resumed.status == 0 && resumed.output.hasPrefix("one: "), "\(resumed)")
      try await environment.settles(events: workload.events.count, next)
      try await eventually("one consumes") { try await states(environment) == ["one": "consuming"] }
      #expect(
        try await environment.rows("SELECT action, actor, why FROM journey_pauses ORDER BY id")[0] == [
          "pause", "ada", "a migration",
        ])
      try await environment.stop(next)
    }
  }

  @Test func oneOfTwoIsPausedAndTheLastWordHolds() async throws {
    try await TestEnvironment.with { environment in
      let programs = [
        try await environment.serve(.literal, ["INSTANCE_NAME": "node"]),
        try await environment.serve(.literal, ["INSTANCE_NAME": "node"]),
      ]
      try await eventually("both") { try await states(environment) == ["node": "consuming", "node-2": "consuming"] }
      try await environment.succeed(["pause", "--instance", "node-2", "--reason", "a look at one"])
      #expect(try await states(environment) == ["node": "consuming", "node-2": "paused"])
      let one = try await environment.diagnose()["paused"]?.text
      #expect(one?.hasPrefix("node-2 of 2 instances is paused\n") == true, "\(one ?? "")")
      try await environment.succeed(["pause", "--all", "--reason", "all of them"])
      #expect(try await states(environment) == ["node": "paused", "node-2": "paused"])
      let all = try await environment.diagnose()["paused"]?.text
      #expect(all?.hasPrefix("all 2 instances are paused: no events are taken\n") == true, "\(all ?? "")")
      try await environment.succeed(["resume", "--instance", "node"])
      try await eventually("one consumes") {
        try await states(environment) == ["node": "consuming", "node-2": "paused"]
      }
      let unknown = try await environment.run(["pause", "--instance", "nod", "--reason", "a slip"])
      #expect(unknown.status == 65 && unknown.errors.contains("known: node, node-2"), "\(unknown)")
      #expect(try await environment.run(["pause"]).status == 64, "without a reason")
      for program in programs { try await environment.stop(program) }
    }
  }

  @Test func aKilledInstanceIsSaidToBeSilent() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(.literal, ["INSTANCE_NAME": "gone"])
      program.send(SIGKILL)
      _ = await program.ended(within: .seconds(10))
      let paused = try await environment.run(["pause", "--reason", "nobody answers"])
      #expect(paused.status == 0 && paused.output.contains("gone: no answer since"), "\(paused)")
      let listed = try await instances(environment)
      #expect(listed.map(\.state) == ["silent"] && listed.map(\.paused) == [true])
    }
  }

  /// One of 0.6 holds the lock that shows that it is alive, and has no lease.
  @Test func anInstanceWithoutALeaseIsNamed() async throws {
    try await TestEnvironment.with { environment in
      let old = PostgresWorker(try PostgresSettings(conninfo: environment.logins.databaseURL), name: "pg-old")
      try await old.perform { _ = try $0.execute("SELECT pg_advisory_lock(1246713170, 77)") }
      let paused = try await environment.run(["pause", "--reason", "an upgrade"])
      #expect(
        paused.status == 1
          && paused.errors.contains("1 instance of an earlier version cannot be paused: stop it"), "\(paused)")
      await old.close()
    }
  }

  @Test func theLastOrderHoldsWhileTheDatabaseIsAway() async throws {
    var random = SeededRandom(stream: 94)
    let workload = Workload(events: 30, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(.literal, ["PIPELINE_DRAIN_SECONDS": "5"])
      try await environment.succeed(["pause", "--reason", "the database goes"])
      try await servers.pause(.postgres)
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await eventually("a lease that cannot be renewed", state: { program.standardError }) {
        program.standardError.contains("the lease cannot be renewed")
      }
      #expect(try await environment.admin.messageCount(queue: "journey.ingest") == workload.events.count)
      try await servers.resume(.postgres)
      try await eventually("the lease", within: .seconds(30), state: { program.standardError }) {
        try await states(environment).values.contains("paused")
      }
      #expect(try await environment.admin.messageCount(queue: "journey.ingest") == workload.events.count)
      try await environment.succeed(["resume"])
      try await environment.settles(events: workload.events.count, program)
      try await environment.stop(program)
    }
    try await servers.stop()
  }
}
