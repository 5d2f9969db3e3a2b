import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `/ready` reports the true state at once, and names the failing part. On servers of its own.
@Suite(.serialized) struct ReadinessTests {
  @Test func aDatabaseThatTakesNoWritesIsNotReady() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      let program = try await environment.serve(.defaultProfile)
      let probe = try await Probe(program)
      try await eventually("ready", state: { program.standardError }) { try await probe.ready().isReady }
      for sql in ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"] {
        try await servers.sql(sql)
      }
      try await eventually("not ready", within: .seconds(20), state: { try await probe.ready().body }) {
        try await probe.ready().body.contains(#""part":"database","reason":"the database is read-only"#)
      }
      #expect(try await !probe.ready().isReady)
      let doctor = try await environment.run(["doctor"])
      #expect(doctor.status == 78)
      #expect(doctor.output.contains("read-only"), "\(doctor.output)")
      for sql in ["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"] {
        try await servers.sql(sql)
      }
      try await eventually("ready again", within: .seconds(20), state: { try await probe.ready().body }) {
        try await probe.ready().isReady
      }
      try await environment.stop(program)
    }
    try await servers.stop()
  }

  @Test func aFrozenDatabaseIsReportedAtOnce() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      let program = try await environment.serve(.defaultProfile, ["PIPELINE_DRAIN_SECONDS": "3"])
      let probe = try await Probe(program)
      try await eventually("ready", state: { program.standardError }) { try await probe.ready().isReady }
      try await servers.pause(.postgres)
      var slowest = Duration.zero
      try await eventually("not ready", within: .seconds(30)) {
        let answer = try await probe.ready()
        slowest = max(slowest, answer.took)
        return !answer.isReady
      }
      let answer = try await probe.ready()
      #expect(answer.body.contains(#""database":false"#))
      #expect(max(slowest, answer.took) < .seconds(1))
      try await servers.resume(.postgres)
      try await eventually("ready again", within: .seconds(60), state: { try await probe.ready().body }) {
        try await probe.ready().isReady
      }
      try await environment.stop(program)
    }
    try await servers.stop()
  }

  @Test func actionsThatWaitForTheBrokersMemoryAreNotReady() async throws {
    var random = SeededRandom(stream: 91)
    let workload = Workload(events: 300, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await servers.rabbitmqctl("set_vm_memory_high_watermark", "0.00001")
      let program = try await environment.serve(.literal)
      let probe = try await Probe(program)
      try await eventually("not ready", state: { try await probe.ready().body }) {
        try await probe.ready().body.contains(#""part":"actions","reason":"the broker takes no messages"#)
      }
      #expect(try await !probe.ready().isReady)
      try await servers.rabbitmqctl("set_vm_memory_high_watermark", "0.6")
      try await environment.settles(events: workload.events.count, program)
      try await eventually("ready again", state: { try await probe.ready().body }) { try await probe.ready().isReady }
      try await environment.stop(program)
    }
    try await servers.stop()
  }

  @Test func rejectedMessagesThatWaitForTheBrokersMemoryAreNotReady() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await environment.publish(
        (0..<20).map {
          OutboundMessage(
            exchange: "journey.events", routingKey: "fax.page",
            properties: MessageProperties(contentType: "application/json", headers: ["x-source": .string("fax")]),
            body: Array(#"{"page":\#($0)}"#.utf8))
        })
      try await servers.rabbitmqctl("set_vm_memory_high_watermark", "0.00001")
      let program = try await environment.serve(.literal)
      let probe = try await Probe(program)
      try await eventually("not ready", state: { try await probe.ready().body }) {
        try await probe.ready().body.contains(#""part":"copies","reason":"the broker takes no messages"#)
      }
      let doctor = try await environment.run(["doctor"])
      #expect(
        doctor.status == 0 && doctor.output.contains("not checked: the broker takes no messages for now"), "\(doctor)")
      try await servers.rabbitmqctl("set_vm_memory_high_watermark", "0.6")
      try await eventually("ready again", state: { try await probe.ready().body }) { try await probe.ready().isReady }
      try await environment.stop(program)
    }
    try await servers.stop()
  }

  @Test func refusedActionsAreNotReadyUntilTheyAreTaken() async throws {
    var random = SeededRandom(stream: 92)
    let workload = Workload(events: 200, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      for channel in ["email", "voice", "human"] {
        try await environment.admin.unbind(
          .init(queue: "journey.actions.\(channel)", exchange: "journey.actions", routingKey: "\(channel).#"))
      }
      let program = try await environment.serve(.literal)
      let probe = try await Probe(program)
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await eventually("not ready", state: { program.standardError }) {
        try await probe.ready().body.contains(#""part":"actions""#)
      }
      #expect(try await !probe.ready().isReady)
      for channel in ["email", "voice", "human"] {
        try await environment.admin.bind(
          .init(queue: "journey.actions.\(channel)", exchange: "journey.actions", routingKey: "\(channel).#"))
      }
      try await environment.settles(events: workload.events.count, program)
      try await eventually("ready again", state: { try await probe.ready().body }) { try await probe.ready().isReady }
      try await environment.stop(program)
    }
  }
}
