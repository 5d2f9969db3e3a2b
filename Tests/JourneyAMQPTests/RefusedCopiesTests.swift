import TestSupport
import AMQPClient
import Journey
import Logging
import TestServers
import Testing

@testable import JourneyAMQP

/// A broker's user that lacks a permission: that path stops, with a clear error, and the stream goes on. On a real
/// broker.
@Suite(.timeLimit(.minutes(5))) struct RefusedCopiesTests {
  private struct Stage {
    let servers: TestServers
    let vhost: String
    let admin: AMQPAdmin
    let all: AMQPPublisher
    let health = Health()
    let names = MessagingNames()
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init(_ topology: Topology = MessagingNames().topology) async throws {
      servers = try await TestServers.shared()
      vhost = try await servers.makeVirtualHost()
      // Three minutes by default, until the broker tries again to hand on what it keeps.
      try await servers.erlang("application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 1000)")
      let settings = try AMQPConnectionSettings(uri: servers.amqpURL(vhost: vhost), connectionName: "test")
      admin = AMQPAdmin(settings: settings)
      _ = try await admin.declare(topology)
      all = AMQPPublisher(settings: settings)
      all.start()
    }

    func settings(write: String) async throws -> AMQPConnectionSettings {
      let url = try await servers.allow(vhost, in: vhost, configure: "", write: write, read: "^journey\\..*")
      return try AMQPConnectionSettings(uri: url, connectionName: "least")
    }

    func publish(_ count: Int) async {
      let messages = (0..<count).map {
        OutboundMessage(
          exchange: names.events, routingKey: "a.b",
          properties: MessageProperties(contentType: "application/cloudevents+json", messageID: "\($0)"),
          body: Array(event().utf8))
      }
      #expect(await all.publish(messages).allSatisfy(\.isConfirmed))
    }

    /// Refuses everything that comes as a client that is not known, as many as asked for, and stops.
    /// - Parameter queue: where all of it has to lie before the stop, which hands back what is under way; nil: nowhere
    ///   yet.
    func refuse(_ count: Int, write: String, until queue: String?) async throws {
      let settings = try await settings(write: write)
      let deadLetters = AMQPPublisher(settings: settings)
      deadLetters.start()
      var ingest = IngestConsumer.Settings()
      ingest.names = names
      ingest.prefetch = 100
      let source = IngestConsumer(
        connection: settings, deadLetters: deadLetters, decoder: try decoder(), settings: ingest, clock: SystemClock(),
        health: health, logger: quiet)
      let (stream, continuation) = AsyncStream<InboundMessage>.makeStream()
      let task = Task { await source.receive { for received in $0 { continuation.yield(received) } } }
      await publish(count)
      var left = count
      for await received in stream {
        source.settle([.init(received, .rejected([Rejection(.unknownClient, "no such client")]))])
        left -= 1
        if left == 0 { break }
      }
      if let queue {
        let isThere = try await waits(queue, count)
        #expect(isThere, "\(queue)")
      }
      source.stop()
      await task.value
      await source.close(within: .seconds(20))
      await deadLetters.close()
    }

    func waits(_ queue: String, _ count: Int) async throws -> Bool {
      let deadline = ContinuousClock.now + .seconds(20)
      while ContinuousClock.now < deadline {
        if try await admin.messageCount(queue: queue) == count { return true }
        try await Task.sleep(for: .milliseconds(20))
      }
      return false
    }

    func close() async {
      await all.close()
      await admin.close()
    }
  }

  @Test func theDocumentedPermissionsAreEnoughForRetries() async throws {
    let stage = try await Stage()
    try await stage.refuse(300, write: "^journey\\..*", until: "journey.retry.10s")
    #expect(try await stage.admin.messageCount(queue: "journey.dead-letters") == 0)
    #expect(stage.health.problems.isEmpty)
    await stage.close()
  }

  @Test func aRefusedRetryBecomesADeadLetterWithItsReason() async throws {
    let stage = try await Stage()
    try await stage.refuse(300, write: "^journey\\.dead$", until: "journey.dead-letters")
    let deadLetter = try #require(try await stage.admin.get(queue: "journey.dead-letters"))
    #expect(deadLetter.properties.headers["x-journey-reason-code"] == "unknown_client")
    #expect(stage.health.problems.map(\.part) == [.copies])
    #expect(stage.health.problems.first?.reason.contains("journey.retry") == true)
    await stage.close()
  }

  /// Many more than may be unsettled at a time: none of them stays with the consumer.
  @Test func whereDeadLettersAreRefusedTooTheBrokerMovesThem() async throws {
    let stage = try await Stage()
    try await stage.refuse(300, write: "^nothing$", until: "journey.dead-letters")
    #expect(try await stage.waits("journey.ingest", 0))
    let deadLetter = try #require(try await stage.admin.get(queue: "journey.dead-letters"))
    #expect(deadLetter.properties.headers["x-death"] != nil)
    #expect(stage.health.problems.map(\.part) == [.copies])
    await stage.close()
  }

  /// Nobody is bound to the dead letters: some wait here, with their reasons; the others the broker keeps, and hands on
  /// once there is somebody.
  @Test func whereNoQueueTakesDeadLettersTheStreamGoesOn() async throws {
    let stage = try await Stage()
    try await stage.admin.deleteQueue("journey.dead-letters")
    try await stage.refuse(300, write: "^journey\\.dead$", until: nil)
    _ = try await stage.admin.declare(stage.names.topology)
    let given = try await stage.admin.messageCount(queue: "journey.ingest")
    #expect((1...25).contains(given), "what waited here when it ended is handed back: \(given)")
    #expect(try await stage.waits("journey.dead-letters", 300 - given))
    await stage.close()
  }

  /// As an earlier version made them: the arguments of a living queue cannot be changed.
  @Test func retryQueuesThatReturnThroughTheDefaultExchangeAreAcceptedAndWork() async throws {
    var old = MessagingNames().topology
    for index in old.queues.indices where !old.queues[index].acceptedArguments.isEmpty {
      old.queues[index].arguments = old.queues[index].acceptedArguments[0]
      old.queues[index].acceptedArguments = []
    }
    // One that is quick; its time is no argument that is accepted, so it is left out below.
    let tier = try #require(old.queues.firstIndex { $0.name == "journey.retry.10s" })
    old.queues[tier].arguments["x-message-ttl"] = .int(50)
    let stage = try await Stage(old)
    var topology = stage.names.topology
    topology.queues.removeAll { $0.name == "journey.retry.10s" }
    #expect(try await stage.admin.verify(topology) == [])
    #expect(try await stage.admin.declare(topology).allSatisfy { $0.outcome != .created })
    topology.queues = stage.names.topology.queues.filter { $0.name == "journey.retry.10s" }
    #expect(try await stage.admin.verify(topology).count == 1, "any other argument is still compared")
    // One try through the tier and back, then the next tier.
    try await stage.refuse(1, write: "^journey\\..*", until: nil)
    let back = try await stage.waits("journey.ingest", 1)
    #expect(back)
    let delivery = try #require(try await stage.admin.get(queue: "journey.ingest"))
    #expect(delivery.exchange == "")
    let restored = MessageCopy.restored(delivery, own: OwnMessages(names: stage.names, user: stage.vhost))
    #expect(restored.exchange == "journey.events")
    #expect(AttemptRecord(restored.properties.headers).attempts == 1)
    await stage.close()
  }

  @Test func whatServeNeedsIsTriedOut() async throws {
    let stage = try await Stage()
    func problems(
      _ settings: AMQPConnectionSettings, archives: Bool = true, takesEvents: Bool = true, changes: Bool = true
    ) async throws
      -> [String]
    {
      let admin = AMQPAdmin(settings: settings)
      let found = try await BrokerPermissions(
        stage.names, of: settings, archivesDeadLetters: archives, listsHuman: true, takesEvents: takesEvents,
        publishesChanges: changes
      ).problems(admin)
      await admin.close()
      return found
    }
    #expect(try await problems(try await stage.settings(write: "^journey\\..*")) == [])
    for (exchange, rest) in [
      ("journey.retry", "dead|actions|events|outcomes|changes"),
      ("journey.dead", "retry|actions|events|outcomes|changes"),
      ("journey.actions", "retry|dead|events|outcomes|changes"),
      ("journey.events", "retry|dead|actions|outcomes|changes"),
      ("journey.outcomes", "retry|dead|actions|events|changes"),
      ("journey.changes", "retry|dead|actions|events|outcomes"),
    ] {
      let found = try await problems(try await stage.settings(write: "^journey\\.(\(rest))$"))
      #expect(found.count == 1 && found[0].contains("'\(exchange)'"), "\(found)")
    }
    #expect(
      try await problems(
        try await stage.settings(write: "^journey\\.(retry|dead|actions)$"), takesEvents: false, changes: false) == [])
    let url = try await stage.servers.allow(
      stage.vhost, in: stage.vhost, configure: "", write: "^journey\\..*",
      read: "^journey\\.(ingest|outcomes|actions\\.human)$")
    let settings = try AMQPConnectionSettings(uri: url, connectionName: "least")
    #expect(try await problems(settings).count == 1)
    #expect(try await problems(settings, archives: false) == [])
    let advice = BrokerPermissions(
      stage.names, of: settings, archivesDeadLetters: true, listsHuman: true, takesEvents: true, publishesChanges: true
    ).advice
    #expect(
      advice.hasPrefix("rabbitmqctl set_permissions -p '\(stage.vhost)' '\(stage.vhost)' '^$' '^(journey\\.actions|"))
    #expect(
      advice.hasSuffix("' '^(journey\\.actions\\.human|journey\\.dead-letters|journey\\.ingest|journey\\.outcomes)$'"),
      "\(advice)")
    await stage.close()
  }
}
