import AMQPClient
import Foundation
import Synchronization
import TestServers
import Testing

@testable import TestSupport

/// Work that is not done, planted on real servers: each is named by `journey doctor`, and gone once its advice is
/// followed.
@Suite struct DoctorWorkTests {
  private func event(_ id: String) -> OutboundMessage {
    OutboundMessage(
      exchange: "journey.events", routingKey: "test.fax",
      properties: MessageProperties(contentType: "application/cloudevents+json"),
      body: Array(#"{"specversion":"1.0","id":"\#(id)","source":"/test","type":"frobnicated"}"#.utf8))
  }

  private func message(_ exchange: String, _ routingKey: String) -> OutboundMessage {
    OutboundMessage(exchange: exchange, routingKey: routingKey, properties: MessageProperties(), body: [])
  }

  /// A consumer of a queue, as a worker is one.
  private func consumer(_ environment: TestEnvironment, _ queue: String, settles: Bool, prefetch: UInt16 = 100) throws
    -> AMQPConsumer
  {
    let settings = try AMQPConnectionSettings(
      uri: environment.servers.amqpURL(vhost: environment.vhost), connectionName: "test worker")
    let holder = Holder()
    let consumer = AMQPConsumer(
      settings: settings, queue: queue, prefetch: prefetch, maxBatch: 100, consumerTag: "worker"
    ) { event in
      if settles, case .deliveries(let new) = event { holder.consumer?.settle(new.map { .ack($0.tag) }) }
    }
    holder.consumer = consumer
    consumer.start()
    return consumer
  }

  private final class Holder: Sendable {
    private let held = Mutex<AMQPConsumer?>(nil)
    var consumer: AMQPConsumer? {
      get { held.withLock(\.self) }
      set { held.withLock { $0 = newValue } }
    }
  }

  private func hasConsumers(_ environment: TestEnvironment, _ queue: String) async throws {
    try await eventually("a consumer of \(queue)") {
      try await environment.admin.states(of: [queue])[queue]?.consumers ?? 0 > 0
    }
  }

  @Test func nobodyTakesEvents() async throws {
    try await TestEnvironment.with { environment in
      let idle = try await environment.diagnose()
      #expect(idle.status == 0 && idle["events-unread"]?.verdict == "warning", "\(idle.problems)")
      try await environment.publish([event("1"), event("2"), event("3")])
      let found = try await environment.diagnose()
      #expect(found.status == 78 && found["events-unread"]?.verdict == "failure", "\(found.problems)")
      #expect(found["events-unread"]?.text.contains("where 3 wait") == true)
      #expect(found["events-unread"]?.advice == "run: journey serve")
      let program = try await environment.serve(.defaultProfile)
      try await eventually("an empty queue") { try await environment.admin.messageCount(queue: "journey.ingest") == 0 }
      let cured = try await environment.diagnose()
      #expect(cured.status == 0 && cured.isInOrder("backlog"), "\(cured.problems)")
      // What became of them, as the archive is off here.
      #expect(cured["dead-letters-unread"]?.text.contains("3 wait in journey.dead-letters") == true, "\(cured)")
      try await environment.stop(program)
    }
  }

  @Test func moreEventsComeThanAreTaken() async throws {
    try await TestEnvironment.with { environment in
      // An instance that has taken ten events and does not get on.
      let stuck = try consumer(environment, "journey.ingest", settles: false, prefetch: 10)
      try await hasConsumers(environment, "journey.ingest")
      try await environment.publish((0..<1200).map { event("first-\($0)") })
      let still = try await environment.diagnose()
      #expect(still["events-still"]?.verdict == "warning" && still.status == 0, "\(still.problems)")

      let publishing = Task {
        var number = 0
        while !Task.isCancelled {
          try await environment.publish((0..<100).map { event("more-\(number)-\($0)") })
          number += 1
        }
      }
      let grows = try await environment.diagnose()
      publishing.cancel()
      _ = await publishing.result
      #expect(grows["events-grow"]?.verdict == "warning" && grows.status == 0, "\(grows.findings)")
      #expect(grows["events-grow"]?.advice?.contains("run: journey serve") == true)

      let program = try await environment.serve(.defaultProfile)
      await stuck.close()
      try await eventually("an empty queue", within: .seconds(120)) {
        try await environment.admin.messageCount(queue: "journey.ingest") == 0
      }
      let cured = try await environment.diagnose()
      #expect(cured.isInOrder("backlog"), "\(cured.problems)")
      try await environment.stop(program)
    }
  }

  @Test func nobodyReadsActions() async throws {
    try await TestEnvironment.with { environment in
      try await environment.publish((0..<5).map { _ in message("journey.actions", "email.ask.high") })
      let found = try await environment.diagnose()
      let finding = found["actions-unread"]
      #expect(
        finding?.verdict == "warning" && finding?.text.hasPrefix("5 actions wait in journey.actions.email") == true)
      #expect(finding?.advice?.contains("the worker of the channel email") == true)
      let worker = try consumer(environment, "journey.actions.email", settles: true)
      try await eventually("the actions read") {
        try await environment.admin.messageCount(queue: "journey.actions.email") == 0
      }
      #expect(try await environment.diagnose().isInOrder("actions"))
      await worker.close()
    }
  }

  @Test func retriesWait() async throws {
    try await TestEnvironment.with { environment in
      try await environment.publish([message("journey.retry", "10s")])
      let usual = try await environment.diagnose()
      #expect(usual.isInOrder("retries"), "an event may well come before its client: \(usual.problems)")
      try await environment.publish((0..<3).map { _ in message("journey.retry", "1h") })
      let found = try await environment.diagnose()
      #expect(
        found["retries-wait"]?.text.contains("3 in journey.retry.1h; all return by 20") == true, "\(found.findings)")
    }
  }

  @Test func actionsOfAnInstanceThatIsGone() async throws {
    try await TestEnvironment.with { environment in
      // The id of five minutes ago.
      let id =
        "(lpad(to_hex((extract(epoch FROM now() - interval '5 minutes') * 1000)::int8), 12, '0') || '7000800000000000000%')::uuid"
      try await environment.execute(
        "INSERT INTO journey_outbox (id, actions, instance) VALUES (\(id.replacing("%", with: "1")), 2, 424242)")
      let abandoned = try await environment.diagnose()
      #expect(
        abandoned["outbox-abandoned"]?.text.contains("2 actions not yet published, the oldest for 5 min") == true,
        "\(abandoned.findings)")
      #expect(abandoned["outbox-abandoned"]?.advice == "run: journey serve")
      let program = try await environment.serve(.defaultProfile)
      try await eventually("the batch taken over") {
        try await environment.diagnose().isInOrder("outbox")
      }
      try await environment.stop(program)

      try await environment.execute(
        "INSERT INTO journey_outbox (id, actions, failure) VALUES (\(id.replacing("%", with: "2")), 1, 'no queue took it')"
      )
      let fails = try await environment.diagnose()
      #expect(fails["outbox-fails"]?.text.contains("1 because no queue took it") == true, "\(fails.findings)")
    }
  }

  @Test func deadLettersWait() async throws {
    try await TestEnvironment.with { environment in
      try await environment.publish([event("1")])
      let archives = ["DEAD_LETTERS_ARCHIVE": "true"]
      let program = try await environment.serve(.defaultProfile)
      try await eventually("a dead letter") {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 1
      }
      try await environment.stop(program)
      let unread = try await environment.diagnose(archives)
      #expect(unread["dead-letters-unread"]?.advice == "run: journey serve", "\(unread.findings)")
      let second = try await environment.serve(.defaultProfile, archives)
      try await eventually("the dead letter archived") {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 0
      }
      let open = try await environment.diagnose(archives)
      #expect(
        open["dead-letters-open"]?.text.contains("1 dead letter open in the archive: 1 unknown_type") == true,
        "\(open.findings)")
      try await environment.follow(open["dead-letters-open"])
      try await environment.succeed(["dlq", "discard", "--all", "--reason", "a test"])
      #expect(try await environment.diagnose(archives).isInOrder("archive"))
      try await environment.stop(second)
    }
  }

  /// Events keep coming, and are stored; their actions are read. Nothing of it is a reason to wake anybody.
  @Test func aHealthySystemUnderLoadIsInOrder() async throws {
    var random = SeededRandom(stream: 231)
    let workload = Workload(events: 4000, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(.defaultProfile, ["DEAD_LETTERS_ARCHIVE": "true"])
      let workers = try ["email", "voice", "human"].map {
        try consumer(environment, "journey.actions.\($0)", settles: true)
      }
      for channel in ["email", "voice", "human"] { try await hasConsumers(environment, "journey.actions.\(channel)") }
      let messages = workload.messages(&random)
      let publishing = Task {
        var rest = messages[...]
        while !rest.isEmpty {
          try await environment.publish(Array(rest.prefix(20)))
          rest = rest.dropFirst(20)
          // The load's rate.
          try await Task.sleep(for: .milliseconds(40))
        }
      }
      var looks = 0
      repeat {
        let found = try await environment.diagnose(["DEAD_LETTERS_ARCHIVE": "true"])
        #expect(found.status == 0 && found.problems == [], "\(found.problems)")
        looks += 1
      } while try await environment.number("SELECT count(*) FROM client_journey_events") < workload.events.count
      try await publishing.value
      #expect(looks >= 2)
      for worker in workers { await worker.close() }
      try await environment.stop(program)
    }
  }
}
