@testable import AMQPClient
import Dispatch
import Testing

@Suite("Consuming from a real broker", .timeLimit(.minutes(5)))
struct ConsumingTests {
  @Test("bodySizes: empty, one byte, around the frame's limit and ten megabytes, both ways")
  func bodySizes() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("sizes")
    let publisher = try broker.publisher()
    let sizes = [0, 1, 131_063, 131_064, 131_065, 262_128, 10_000_000, 2]
    let messages = sizes.enumerated().map { index, size in
      OutboundMessage("sizes", id: "\(index)", body: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ index) })
    }
    #expect(await publisher.publish(messages).allConfirmed)
    let events = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("sizes", events)
    let deliveries = try await events.deliveries(sizes.count)
    #expect(deliveries.map(\.body.count) == sizes)
    for (delivery, message) in zip(deliveries, messages) {
      #expect(delivery.body == message.body, "size \(message.body.count)")
    }
    consumer.settle([.ackThrough(deliveries[sizes.count - 1].tag)])
    await consumer.close()
    #expect(try await broker.admin.messageCount(queue: "sizes") == 0)
    await publisher.close()
    await broker.admin.close()
  }

  @Test("queueDeleted: the consumer says so, and takes new messages once the queue is back")
  func queueDeleted() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("gone")
    let events = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("gone", events)
    _ = try await events.started()
    #expect(consumer.isConsuming)
    try await broker.admin.deleteQueue("gone")
    #expect(try await events.lost().code == .consumerCancelled)
    // While it is missing, every attempt says what is missing.
    _ = try await events.wait("notFound") { seen in
      seen.contains { if case .lost(_, let error) = $0 { error.code == .notFound } else { false } } ? true : nil
    }
    #expect(!consumer.isConsuming)
    try await broker.queue("gone")
    _ = try await events.started(after: 1)
    let publisher = try broker.publisher()
    #expect(await publisher.publish([OutboundMessage("gone", body: [42])]) == [.confirmed])
    #expect(try await events.deliveries(1).first?.body == [42])
    await publisher.close()
    await consumer.close()
    await broker.admin.close()
  }

  @Test("staleAck: tags of a lost connection are not acknowledged on the next one")
  func staleAck() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("stale", ["x-queue-type": "quorum"])
    let publisher = try broker.publisher()
    #expect(await publisher.publish((0..<5).map { OutboundMessage("stale", body: [$0]) }).allConfirmed)
    let events = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("stale", events)
    let old = try await events.deliveries(5)
    try await broker.closeConnection("consumer")
    _ = try await events.started(after: 1)
    let both = try await events.deliveries(10)
    let new = both.filter { $0.tag.generation == 2 }
    #expect(new.count == 5)
    #expect(new.allRedelivered)
    consumer.settle(old.map { .ack($0.tag) } + [.ackThrough(old[4].tag), .reject(old[0].tag, requeue: false)])
    consumer.settle([.ack(new[1].tag)])
    await consumer.close()
    // Only the one of the second channel is gone, and the channel was never closed for an unknown tag.
    #expect(try await broker.messageCount("stale", reaches: 4))
    #expect(events.all.summary == ["started", "deliveries", "lost", "started", "deliveries", "closed"])
    await publisher.close()
    await broker.admin.close()
  }

  @Test("noDoubleAck: overlapping settlements never settle a tag twice")
  func noDoubleAck() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("once")
    let publisher = try broker.publisher()
    #expect(await publisher.publish((0..<10).map { OutboundMessage("once", body: [$0]) }).allConfirmed)
    let events = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("once", events)
    let tags = try await events.deliveries(10).map(\.tag)
    consumer.settle([.ack(tags[2]), .ackThrough(tags[4]), .ack(tags[2]), .ackThrough(tags[4]), .ackThrough(tags[1])])
    consumer.settle([.ack(tags[7]), .reject(tags[7], requeue: true), .reject(tags[6], requeue: false), .ack(tags[6])])
    consumer.settle([.nackThrough(tags[8], requeue: true), .ackThrough(tags[9]), .nackThrough(tags[9], requeue: true)])
    consumer.settle([
      .ack(DeliveryTag(generation: 1, value: 4711)), .ackThrough(DeliveryTag(generation: 1, value: 4711)),
    ])
    // Tags 5 and 8 come back; a repeated tag would have closed the channel before.
    let again = try await events.deliveries(12)
    #expect(again.suffix(2).map(\.body).sorted { $0[0] < $1[0] } == [[5], [8]])
    #expect(again.suffix(2).allRedelivered)
    consumer.settle([.ackThrough(again[11].tag)])
    #expect(await publisher.publish([OutboundMessage("once", body: [99])]) == [.confirmed])
    let last = try #require(try await events.deliveries(13).last)
    #expect(last.tag.generation == 1)
    consumer.settle([.ack(last.tag)])
    await consumer.close()
    #expect(try await broker.messageCount("once", reaches: 0))
    #expect(events.all.summary == ["started", "deliveries", "closed"])
    await publisher.close()
    await broker.admin.close()
  }

  @Test("Batches hold at most maxBatch, in order, and prefetch bounds what is out")
  func batches() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("many")
    let publisher = try broker.publisher()
    let bodies = (0..<100).map { [UInt8($0)] }
    #expect(await publisher.publish(bodies.map { OutboundMessage("many", body: $0) }).allConfirmed)
    let events = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("many", prefetch: 30, maxBatch: 7, events)
    let first = try await events.deliveries(30)
    #expect(try await broker.messageCount("many", reaches: 70))
    #expect(events.all.deliveries.count == 30)
    consumer.settle([.ackThrough(first[29].tag)])
    var settled = 30
    while settled < 100 {
      let wanted = settled + 1
      let seen = try await events.deliveries(wanted)
      consumer.settle([.ackThrough(seen[seen.count - 1].tag)])
      settled = seen.count
    }
    #expect(events.all.deliveries.map(\.body) == bodies)
    for case .deliveries(let batch) in events.all { #expect((1...7).contains(batch.count)) }
    await consumer.close()
    #expect(try await broker.messageCount("many", reaches: 0))
    await publisher.close()
    await broker.admin.close()
  }

  @Test("A batch takes no more once it holds 1 MiB")
  func largeBatches() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("large")
    let publisher = try broker.publisher()
    let bodies = (0..<400).map { [UInt8](repeating: UInt8($0 % 256), count: 20 << 10) }
    #expect(await publisher.publish(bodies.map { OutboundMessage("large", body: $0) }).allConfirmed)
    let events = Recorder<ConsumerEvent>()
    // Nothing is read before the broker has sent more than a batch holds.
    let gate = DispatchSemaphore(value: 0)
    var settings = try broker.settings("consumer")
    // So large are bodies of which more than a hundred are asked for at once.
    settings.maxBodyBytes = 1 << 20
    let consumer = AMQPConsumer(settings: settings, queue: "large", prefetch: 400, maxBatch: 400, consumerTag: "test") {
      if case .started = $0 { gate.wait() }
      events.record($0)
    }
    consumer.start()
    while try await broker.admin.messageCount(queue: "large") > 300 {
      try Task.checkCancellation()
      await Task.yield()
    }
    gate.signal()
    _ = try await events.deliveries(400)
    #expect(events.all.deliveries.map(\.body) == bodies)
    for case .deliveries(let batch) in events.all { #expect(batch.count <= 52) }
    await consumer.close()
    await publisher.close()
    await broker.admin.close()
  }

  @Test("Large bodies that nobody settles for long are held back, none is handed back, and the connection lives on")
  func largeBodiesUnsettled() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("held", ["x-queue-type": "quorum", "x-delivery-limit": 1])
    let publisher = try broker.publisher()
    let body = [UInt8](repeating: 7, count: 900_000)
    #expect(await publisher.publish((0..<100).map { OutboundMessage("held", id: "\($0)", body: body) }).allConfirmed)
    var settings = try broker.settings("consumer")
    settings.heartbeat = .seconds(1)
    settings.maxBodyBytes = 1 << 20
    settings.maxBufferedBytes = 10 << 20
    let events = Recorder<ConsumerEvent>()
    let consumer = AMQPConsumer(settings: settings, queue: "held", prefetch: 2000, maxBatch: 100, consumerTag: "test") {
      events.record($0)
    }
    consumer.start()
    let first = try await events.deliveries(12)
    // Many heartbeats of both sides: what is not settled is neither read further nor given up.
    try await Task.sleep(for: .seconds(8))
    #expect(events.all.deliveries.count == 12)
    consumer.settle(first.map { .ack($0.tag) })
    var settled = first.count
    while settled < 100 {
      let now = settled
      let new = try await events.wait("more") { seen in
        seen.deliveries.count > now ? Array(seen.deliveries.dropFirst(now)) : nil
      }
      consumer.settle(new.map { .ack($0.tag) })
      settled += new.count
    }
    #expect(Set(events.all.deliveries.compactMap(\.properties.messageID)).count == 100)
    #expect(events.all.deliveries.allSatisfy { !$0.isRedelivered && $0.problem == nil })
    #expect(events.all.summary == ["started", "deliveries"])
    await consumer.close()
    #expect(try await broker.messageCount("held", reaches: 0))
    await publisher.close()
    await broker.admin.close()
  }

  @Test(
    "A consumer that is closed while it holds the broker back settles what it was asked to, and hands back the rest")
  func closedWhileHeldBack() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("held", ["x-queue-type": "quorum"])
    let publisher = try broker.publisher()
    let body = [UInt8](repeating: 7, count: 900_000)
    #expect(await publisher.publish((0..<60).map { OutboundMessage("held", id: "\($0)", body: body) }).allConfirmed)
    var settings = try broker.settings("consumer")
    settings.maxBufferedBytes = 4 << 20
    let events = Recorder<ConsumerEvent>()
    let consumer = AMQPConsumer(settings: settings, queue: "held", prefetch: 2000, maxBatch: 100, consumerTag: "test") {
      events.record($0)
    }
    consumer.start()
    let first = try await events.deliveries(5)
    #expect(first.count == 5)
    consumer.settle([.ack(first[0].tag)])
    let began = ContinuousClock.now
    await consumer.close()
    #expect(ContinuousClock.now - began < .seconds(4), "an orderly end, not one by the deadline")
    #expect(try await broker.messageCount("held", reaches: 59))
    await publisher.close()
    await broker.admin.close()
  }

  @Test("Cancelled, the consumer keeps its connection until the last settlement is written")
  func cancelThenSettle() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("drain")
    let publisher = try broker.publisher()
    #expect(await publisher.publish((0..<20).map { OutboundMessage("drain", body: [$0]) }).allConfirmed)
    let events = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("drain", events)
    let deliveries = try await events.deliveries(20)
    consumer.cancel()
    try await events.cancelled()
    #expect(await publisher.publish([OutboundMessage("drain", body: [77])]) == [.confirmed])
    consumer.settle([.ackThrough(deliveries[18].tag)])
    await consumer.close()
    await consumer.close()
    #expect(try await broker.messageCount("drain", reaches: 2))
    #expect(events.all.summary == ["started", "deliveries", "cancelled", "closed"])
    await publisher.close()
    await broker.admin.close()
  }

  @Test("Wrong password, missing vhost and nobody listening are distinguished")
  func refusals() async throws {
    let broker = try await BrokerFixture()
    func failure(_ change: (inout AMQPConnectionSettings) throws -> Void) async throws -> AMQPError {
      var settings = try broker.settings("refused")
      try change(&settings)
      let admin = AMQPAdmin(settings: settings)
      do throws(AMQPError) {
        try await admin.ping()
        throw AMQPError(.internalError, operation: "test", message: "it was let in")
      } catch {
        await admin.close()
        return error
      }
    }
    let vhost = try await failure { $0.virtualHost = "no such" }
    #expect(vhost.code == .accessRefused)
    let user = try await failure { $0.user = "nobody" }
    #expect(user.code == .authentication)
    #expect(!user.isRetriable)
    let port = try await failure { $0.endpoints = [.init(host: "127.0.0.1", port: 1)] }
    #expect(port.code == .connectFailed)
    #expect(port.isRetriable)
    let name = try await failure { $0.endpoints = [.init(host: "no-such-host.invalid", port: 5672)] }
    #expect(name.code == .connectFailed)
    await broker.admin.close()
  }
}
