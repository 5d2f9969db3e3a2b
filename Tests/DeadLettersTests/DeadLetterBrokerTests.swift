import TestSupport
import DeadLetters
import AMQPClient
import FoundationEssentials
import Journey
import Logging
import TestServers
import Testing

@testable import DeadLetters
@testable import JourneyAMQP

/// Retries and dead letters on a real broker, in a virtual host of their own.
@Suite(.timeLimit(.minutes(5))) struct DeadLetterBrokerTests {
  private struct Stage {
    let settings: AMQPConnectionSettings
    let admin: AMQPAdmin
    let publisher: AMQPPublisher
    let names = MessagingNames()
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// - Parameter retryMilliseconds: what each retry queue holds a message for, instead of seconds to an hour.
    init(retryMilliseconds: Int64 = 50) async throws {
      let servers = try await TestServers.shared()
      let vhost = try await servers.makeVirtualHost()
      settings = try AMQPConnectionSettings(uri: servers.amqpURL(vhost: vhost), connectionName: "test")
      admin = AMQPAdmin(settings: settings)
      var topology = names.topology
      for index in topology.queues.indices where topology.queues[index].name.hasPrefix("journey.retry.") {
        topology.queues[index].arguments["x-message-ttl"] = .int(retryMilliseconds)
      }
      _ = try await admin.declare(topology)
      publisher = AMQPPublisher(settings: settings)
      publisher.start()
    }

    func ingest(_ retry: RetryPolicy) throws -> Ingest {
      var ingest = IngestConsumer.Settings()
      ingest.retry = retry
      return Ingest(
        IngestConsumer(
          connection: settings, deadLetters: publisher, decoder: try decoder(), settings: ingest, clock: SystemClock(),
          logger: quiet))
    }

    func deadLetters() throws -> DeadLetterConsumer {
      let queue = DeadLetterConsumer(
        connection: settings, names: names, decoder: try decoder(), redaction: HeaderRedaction([]),
        clock: SystemClock(), logger: quiet)
      queue.start()
      return queue
    }

    func publish(_ body: String, _ properties: MessageProperties) async {
      let outcomes = await publisher.publish([
        OutboundMessage(
          exchange: names.events, routingKey: "billing.invoice_overdue", properties: properties, body: Array(body.utf8))
      ])
      #expect(outcomes == [.confirmed])
    }

    func close() async {
      await publisher.close()
      await admin.close()
    }
  }

  /// What an ingest queue delivers, a message at a time.
  private struct Ingest {
    let queue: IngestConsumer
    private let received: AsyncStream<InboundMessage>

    init(_ queue: IngestConsumer) {
      let (stream, continuation) = AsyncStream<InboundMessage>.makeStream()
      self.queue = queue
      received = stream
      Task {
        await queue.receive { for received in $0 { continuation.yield(received) } }
        continuation.finish()
      }
    }

    func next() async -> InboundMessage? {
      for await received in received { return received }
      return nil
    }
  }

  private let properties = MessageProperties(
    contentType: "application/cloudevents+json", headers: ["blob": .bytes([0, 255]), "tenant": "a"],
    expiration: "3600000", messageID: "m1")

  /// Through every tier and back, each time as it first came; then to the dead letters, with the account of it all.
  @Test func anUnknownClientIsTriedThroughAllTiersAndThenADeadLetter() async throws {
    let stage = try await Stage()
    let ingest = try stage.ingest(RetryPolicy())
    await stage.publish(event(), properties)
    for attempt in 1...5 {
      let received = try #require(await ingest.next())
      #expect(received.rejections.isEmpty)
      #expect(received.events.map(\.event.sourceEventID) == ["e1"], "attempt \(attempt)")
      ingest.queue.settle([
        .init(received, .rejected([Rejection(.unknownClient, field: "client", value: "c-1", "no such client")]))
      ])
    }
    let deadLetters = try stage.deadLetters()
    let deadLetter = try #require(await deadLetters.nextBatch()?.first)
    #expect(deadLetter.deadLetter.code == "unknown_client")
    #expect(deadLetter.deadLetter.attempts == 5)
    #expect(deadLetter.deadLetter.firstFailedAt < deadLetter.deadLetter.failedAt)
    #expect(deadLetter.deadLetter.message.exchange == "journey.events")
    #expect(deadLetter.deadLetter.message.routingKey == "billing.invoice_overdue")
    #expect(
      MessageEncoding.properties(
        deadLetter.deadLetter.message.properties, headers: deadLetter.deadLetter.message.headers) == properties
    )
    deadLetters.settle([deadLetter.token])
    ingest.queue.stop()
    await ingest.queue.close(within: .seconds(5))
    await deadLetters.close(within: .seconds(5))
    for queue in [
      "journey.ingest", "journey.dead-letters", "journey.retry.10s", "journey.retry.1m", "journey.retry.10m",
      "journey.retry.1h",
    ] {
      #expect(try await stage.admin.messageCount(queue: queue) == 0, "\(queue)")
    }
    await stage.close()
  }

  @Test func whatHealsIsAppliedAfterARetry() async throws {
    let stage = try await Stage()
    let ingest = try stage.ingest(RetryPolicy())
    await stage.publish(event(), properties)
    let first = try #require(await ingest.next())
    ingest.queue.settle([.init(first, .rejected([Rejection(.unknownClient, "no such client")]))])
    let second = try #require(await ingest.next())
    #expect(second.token != first.token)
    ingest.queue.settle([.init(second, .applied)])
    ingest.queue.stop()
    await ingest.queue.close(within: .seconds(5))
    #expect(try await stage.admin.messageCount(queue: "journey.ingest") == 0)
    #expect(try await stage.admin.messageCount(queue: "journey.dead-letters") == 0)
    await stage.close()
  }

  @Test func aRetryQueueThatIsGoneDoesNotHoldTheStreamUp() async throws {
    let stage = try await Stage()
    try await stage.admin.deleteQueue("journey.retry.10s")
    let ingest = try stage.ingest(RetryPolicy())
    await stage.publish(event(), properties)
    let received = try #require(await ingest.next())
    ingest.queue.settle([.init(received, .rejected([Rejection(.unknownClient, "no such client")]))])
    let deadLetters = try stage.deadLetters()
    #expect(await deadLetters.nextBatch()?.map(\.deadLetter.code) == ["unknown_client"])
    ingest.queue.stop()
    await ingest.queue.close(within: .seconds(5))
    await deadLetters.close(within: .seconds(5))
    await stage.close()
  }

  /// A dead letter is on the queue until it is settled, whatever becomes of the consumer.
  @Test func anUnsettledDeadLetterComesAgain() async throws {
    let stage = try await Stage()
    let ingest = try stage.ingest(.never)
    await stage.publish("not json", properties)
    let received = try #require(await ingest.next())
    ingest.queue.settle([.init(received, .rejected(received.rejections))])
    let first = try stage.deadLetters()
    let once = try #require(await first.nextBatch()?.first)
    await first.close(within: .seconds(5))
    let second = try stage.deadLetters()
    let again = try #require(await second.nextBatch()?.first)
    #expect(again.deadLetter == once.deadLetter)
    #expect(again.deadLetter.code == "malformed")
    second.settle([again.token])
    second.stop()
    #expect(await second.nextBatch() == nil)
    await second.close(within: .seconds(5))
    #expect(try await stage.admin.messageCount(queue: "journey.dead-letters") == 0)
    ingest.queue.stop()
    await ingest.queue.close(within: .seconds(5))
    await stage.close()
  }

  /// A message that brings its reader down again and again ends in the dead letters by the broker's own hand.
  @Test func whatTheBrokerGivesUpArrivesWithItsReason() async throws {
    let stage = try await Stage()
    await stage.publish(event(), properties)
    for _ in 0...MessagingNames().deliveryLimit { _ = try await stage.admin.get(queue: "journey.ingest", mode: .peek) }
    let deadLetters = try stage.deadLetters()
    let deadLetter = try #require(await deadLetters.nextBatch()?.first)
    #expect(deadLetter.deadLetter.code == "delivery_limit")
    #expect(deadLetter.deadLetter.message.exchange == "journey.events")
    #expect(deadLetter.deadLetter.message.routingKey == "billing.invoice_overdue")
    #expect(MessageEncoding.headers(deadLetter.deadLetter.message.headers) == properties.headers)
    await deadLetters.close(within: .seconds(5))
    await stage.close()
  }

  /// From the archive's form back onto the queue: the ingest sees the message as it first came.
  @Test func aReplayedMessageIsReadAsTheFirstTime() async throws {
    let stage = try await Stage()
    let original = OriginalMessage(
      exchange: "journey.events", routingKey: "billing.invoice_overdue", messageID: "m1",
      contentType: properties.contentType,
      properties: MessageEncoding.json(properties), headers: MessageEncoding.json(properties.headers),
      body: Array(event().utf8),
      bodySize: event().utf8.count)
    var action = original
    action.exchange = "journey.actions"
    action.routingKey = "email.x"
    let items = [original, action].map {
      ReplayItem(deadLetterID: UUID(), message: $0, replayCount: 1, editedID: nil, causedBy: nil)
    }
    let outcomes = await DeadLetterRepublisher(
      publisher: stage.publisher, names: stage.names, user: stage.settings.user
    )
    .publish(items)
    #expect(outcomes[0] == .confirmed)
    guard case .failed = outcomes[1] else {
      Issue.record("an action was published")
      return
    }
    #expect(try await stage.admin.messageCount(queue: "journey.actions.email") == 0)
    let arrived = try #require(try await stage.admin.get(queue: "journey.ingest"))
    let delivery = MessageCopy.restored(arrived, own: OwnMessages(user: stage.settings.user))
    #expect(delivery.exchange == "journey.events")
    #expect(delivery.routingKey == "billing.invoice_overdue")
    #expect(delivery.body == Array(event().utf8))
    var expected = properties
    expected.headers["x-journey-letter"] = .string(items[0].deadLetterID.uuidString.lowercased())
    expected.headers["x-journey-replay"] = 1
    var found = delivery.properties
    found.headers = FieldTable(found.headers.sorted { $0.name < $1.name })
    #expect(found == expected)
    await stage.close()
  }
}
