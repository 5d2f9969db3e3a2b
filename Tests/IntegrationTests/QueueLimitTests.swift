import AMQPClient
import Foundation
import JourneyAMQP
import TestServers
import Testing

@testable import TestSupport

/// Limits and dead-letter targets of the queues of actions and outcomes: of new queues, and of those of an earlier version
/// by a policy.
@Suite struct QueueLimitTests {
  /// As 0.7 declared them.
  private static func released() -> Topology {
    var topology = MessagingNames().topology
    for index in topology.queues.indices {
      let name = topology.queues[index].name
      guard name.hasPrefix("journey.actions.") || name == "journey.outcomes" else { continue }
      topology.queues[index].arguments = ["x-queue-type": "quorum"]
      topology.queues[index].acceptedArguments = []
    }
    return topology
  }

  private static let actions = ["email", "voice", "human"].map { "journey.actions.\($0)" }

  private func message(_ exchange: String, _ key: String, _ id: String, expiration: String? = nil) -> OutboundMessage {
    OutboundMessage(
      exchange: exchange, routingKey: key, properties: MessageProperties(expiration: expiration, messageID: id),
      body: Array(id.utf8))
  }

  /// Runs what is printed, word for word, as an administrator of the broker would.
  private func type(_ commands: String, _ environment: TestEnvironment) async throws {
    try await withTemporaryDirectory { directory in
      let tool = "\(directory)/rabbitmqctl"
      try "#!/bin/sh\nexec '\(TestServers.script)' ctl '\(environment.servers.directory)' \"$@\"\n".write(
        toFile: tool, atomically: true, encoding: .utf8)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: tool)
      let shell = try ChildProcess.start(
        "/bin/sh", ["-e"], environment: ["PATH": "\(directory):/usr/sbin:/usr/bin:/sbin:/bin"],
        directory: Repository.root, input: Array(commands.utf8))
      let ending = await shell.ended(within: .seconds(240))
      try #require(ending == .exited(0), "\(commands): \(shell.standardError)\(shell.standardOutput)")
    }
  }

  @Test func anUpgradeWithMessagesInEveryQueueLosesNone() async throws {
    try await TestEnvironment.with(isMigrated: false) { environment in
      _ = try await environment.admin.declare(Self.released())
      let names = MessagingNames()
      var sent: [OutboundMessage] = []
      for (exchange, key) in [
        ("journey.events", "a.b"), ("journey.dead", "a.b"), ("journey.outcomes", "a.b"), ("journey.retry", "1m"),
        ("journey.retry", "10m"), ("journey.retry", "1h"), ("journey.actions", "email.a.low"),
        ("journey.actions", "voice.a.low"), ("journey.actions", "human.a.low"),
      ] {
        sent += (0..<3).map { message(exchange, key, "\(exchange)-\(key)-\($0)") }
      }
      try await environment.publish(sent)
      let applied = try await environment.succeed(["topology", "apply"])
      #expect(applied.contains("of an earlier version") && applied.contains("journey.actions.voice"), "\(applied)")
      #expect(try await environment.succeed(["topology", "verify"]).contains("as required"))
      try await type(try await environment.succeed(["topology", "policy"]), environment)
      // Retries may have returned meanwhile.
      var found: [String] = []
      for queue in names.queues.map(\.name).reversed() {
        let ids = try await environment.drain(queue).compactMap(\.properties.messageID)
        if queue.hasPrefix("journey.actions") || queue == "journey.outcomes" { #expect(ids.count == 3, "\(queue)") }
        found += ids
      }
      #expect(found.sorted() == sent.compactMap(\.properties.messageID).sorted())
    }
  }

  @Test func aQueueWithoutLimitIsFoundAndThePrintedCommandCuresIt() async throws {
    let servers = try await TestServers.dedicated()
    let management = ["AMQP_MANAGEMENT_URL": try await servers.startManagement()]
    try await TestEnvironment.with(servers: servers, isMigrated: false) { environment in
      _ = try await environment.admin.declare(Self.released())
      try await environment.succeed(["migrate"])
      // What AMQP tells: the arguments alone.
      #expect(try await environment.diagnose()["queues-unlimited"]?.text.contains("unless a policy") == true)
      let found = try await environment.diagnose(management)
      let finding = try #require(found["queues-unlimited"], "\(found.findings)")
      #expect(finding.verdict == "warning" && found.status == 0, "\(found.problems)")
      for queue in Self.actions + ["journey.outcomes"] { #expect(finding.text.contains(queue), "\(finding)") }
      let advice = try #require(finding.advice)
      try await type(String(advice[try #require(advice.firstRange(of: "run: ")).upperBound...]), environment)
      try await isCured(environment, management)
      try await deadLettersBecomeOutcomes(environment)

      let refused = management.mapValues { $0.replacing(/:[^:@\/]+@/, with: ":wrong@") }
      #expect(try await environment.diagnose(refused)["management-unreadable"]?.text.contains("401") == true)
    }
    // New queues need no policy; the definitions do the same.
    try await TestEnvironment.with(servers: servers, isMigrated: false) { environment in
      try await environment.succeed(["migrate"])
      try await environment.succeed(["topology", "apply"])
      try await isCured(environment, management)
      try await withTemporaryDirectory { directory in
        let file = "\(directory)/policy.json"
        try await environment.succeed(["topology", "policy", "--json"]).write(
          toFile: file, atomically: true, encoding: .utf8)
        try await servers.rabbitmqctl("import_definitions", file)
      }
      try await deadLettersBecomeOutcomes(environment)
    }
    try await servers.stop()
  }

  /// The management API knows of a policy within some seconds.
  private func isCured(_ environment: TestEnvironment, _ management: [String: String]) async throws {
    var last: Diagnosis?
    try await eventually("limits in order", state: { "\(last?.findings.filter { $0.subject == "limits" } ?? [])" }) {
      last = try await environment.diagnose(management)
      return last?.isInOrder("limits") == true
    }
  }

  /// What a worker rejects, takes too often, or leaves until it expires.
  private func deadLettersBecomeOutcomes(_ environment: TestEnvironment) async throws {
    for channel in ["email", "voice", "human"] {
      let queue = "journey.actions.\(channel)"
      try await environment.publish([
        message("journey.actions", "\(channel).a.low", "rejected"),
        message("journey.actions", "\(channel).a.low", "late", expiration: "1"),
      ])
      let settings = try AMQPConnectionSettings(
        uri: environment.servers.amqpURL(vhost: environment.vhost), connectionName: "test worker")
      let deliveries = AsyncStream<[Delivery]>.makeStream()
      let worker = AMQPConsumer(settings: settings, queue: queue, prefetch: 10, maxBatch: 10, consumerTag: "worker") {
        if case .deliveries(let batch) = $0 { deliveries.continuation.yield(batch) }
      }
      worker.start()
      let handling = Task {
        for await batch in deliveries.stream {
          worker.settle(batch.map { .reject($0.tag, requeue: $0.properties.messageID == "often") })
        }
      }
      try await eventually("an empty \(queue)") { try await environment.admin.messageCount(queue: queue) == 0 }
      try await environment.publish([message("journey.actions", "\(channel).a.low", "often")])
      try await eventually("three outcomes") {
        try await environment.admin.messageCount(queue: "journey.outcomes") == 3
      }
      handling.cancel()
      await worker.close()
      let outcomes = try await environment.drain("journey.outcomes")
      #expect(outcomes.allSatisfy { $0.routingKey == "dead.\(channel)" })
      let reasons = outcomes.map { outcome -> String in
        let death = outcome.properties.headers["x-death"]?.arrayValue?.first?.tableValue
        return "\(outcome.properties.messageID ?? ""): \(death?["reason"]?.stringValue ?? "")"
      }
      #expect(Set(reasons) == ["rejected: rejected", "late: expired", "often: delivery_limit"], "\(reasons)")
    }
  }

  @Test func aFullQueueRefusesActionsAndItsLimitIsASetting() async throws {
    try await TestEnvironment.with(isMigrated: false) { environment in
      let limited = ["ACTIONS_QUEUE_LIMIT": "5"]
      #expect(try await environment.run(["topology", "apply"], environment: limited).status == 0)
      // Another limit than the queue's is accepted: it can only be changed by a policy.
      let other = try await environment.run(["topology", "verify"], environment: ["ACTIONS_QUEUE_LIMIT": "7"])
      #expect(other.status == 0 && other.output.contains("as required"), "\(other)")
      var confirmed = 0
      for number in 0..<20 {
        let outcome = await environment.publisher.publish([message("journey.actions", "email.a.low", "\(number)")])
        if outcome == [.confirmed] { confirmed += 1 } else { #expect(outcome == [.nacked]) }
      }
      // The broker may exceed the limit by what is under way.
      #expect((5...7).contains(confirmed), "\(confirmed)")
      #expect(try await environment.drain("journey.actions.email").count == confirmed)
      let policy = try await environment.run(["topology", "policy"], environment: limited).output
      #expect(policy.contains(#""max-length":5"#), "\(policy)")
    }
  }
}
