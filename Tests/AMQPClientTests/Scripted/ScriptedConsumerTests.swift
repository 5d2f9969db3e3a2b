@testable import AMQPClient
import Glibc
import Testing

@Suite("Consumer against a scripted broker", .timeLimit(.minutes(5)))
struct ScriptedConsumerTests {
  private func consumer(
    _ settings: AMQPConnectionSettings, maxBatch: Int = 100, _ events: Recorder<ConsumerEvent>
  ) -> AMQPConsumer {
    let consumer = AMQPConsumer(
      settings: settings, queue: "queue", prefetch: 100, maxBatch: maxBatch, consumerTag: "tag"
    ) {
      events.record($0)
    }
    consumer.start()
    return consumer
  }

  @Test("halfOpenConsume: a peer that goes silent is noticed within two heartbeats")
  func halfOpenConsume() async throws {
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptConsumer()
      peer.hangUntilClosed()
    }
    let events = Recorder<ConsumerEvent>()
    let consumer = consumer(try broker.settings(heartbeat: 1), events)
    _ = try await events.started()
    let began = ContinuousClock.now
    let error = try await events.lost()
    #expect(error.code == .connectionLost)
    #expect(error.isRetriable)
    // Two heartbeats, and the second between two looks.
    // Two heartbeats are two seconds; a busy machine takes longer to say so. Unnoticed it would be for ever.
    #expect(ContinuousClock.now - began < .seconds(15))
    _ = try await events.started(after: 1)
    await consumer.close()
    #expect(events.all.summary.last == "closed")
    #expect(broker.stop() == [])
  }

  /// Of a prefetch of 2,000, few large bodies are granted: all the other acknowledgements would wait for the one that
  /// takes long.
  @Test("shareHeldUp: one unsettled delivery does not bring a small share to a stop")
  func shareHeldUp() async throws {
    let acknowledged = Recorder<ClientFrame>()
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptConsumer()
      // As many as are granted, and large.
      for tag in 1...16 { try peer.send(WireWriter.message(tag: UInt64(tag), [UInt8](repeating: 1, count: 60_000))) }
      for _ in 2...16 { acknowledged.record(try peer.expect(60, 80)) }
      try peer.untilClosed()
    }
    var settings = try broker.settings()
    settings.maxBodyBytes = 64 << 10
    settings.maxBufferedBytes = 1 << 20
    let events = Recorder<ConsumerEvent>()
    let consumer = AMQPConsumer(settings: settings, queue: "queue", prefetch: 2000, maxBatch: 100, consumerTag: "tag") {
      events.record($0)
    }
    consumer.start()
    let deliveries = try await events.deliveries(16)
    consumer.settle(deliveries.dropFirst().map { .ack($0.tag) })
    let frames = try await acknowledged.wait("acknowledgements") { $0.count == 15 ? $0 : nil }
    #expect(frames.map(\.tag) == Array(2...16))
    await consumer.close()
    #expect(broker.stop() == [])
  }

  @Test("cancelInFlight: deliveries that race the cancel arrive before it and can be settled")
  func cancelInFlight() async throws {
    let acknowledged = Recorder<ClientFrame>()
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptConsumer()
      try peer.send(WireWriter.message(tag: 1, [1]))
      try peer.expect(60, 30)
      try peer.send(WireWriter.message(tag: 2, [2]), WireWriter.message(tag: 3, [3]))
      try peer.send(WireWriter.method(60, 31) { $0.shortString("tag") })
      acknowledged.record(try peer.expect(60, 80))
      try peer.untilClosed()
    }
    let events = Recorder<ConsumerEvent>()
    let consumer = consumer(try broker.settings(), events)
    _ = try await events.deliveries(1)
    consumer.cancel()
    try await events.cancelled()
    #expect(events.all.deliveries.map(\.body) == [[1], [2], [3]])
    #expect(!consumer.isConsuming)
    consumer.settle([.ackThrough(events.all.deliveries[2].tag)])
    let frame = try await acknowledged.wait("an acknowledgement") { $0.first }
    #expect(frame.tag == 3)
    #expect(frame.payload[12] == 1)
    await consumer.close()
    #expect(events.all.summary == ["started", "deliveries", "cancelled", "closed"])
    #expect(broker.stop() == [])
  }

  @Test("interleavedChannel0: frames of the connection between those of a message are neither lost nor in the way")
  func interleavedChannel0() async throws {
    let broker = try ScriptedBroker { peer, number in
      try peer.acceptConsumer()
      guard number == 1 else { return try peer.untilClosed() }
      try peer.send(
        WireWriter.deliver(tag: 1), WireWriter.blocked("low on memory"), WireWriter.header(size: 5),
        WireWriter.heartbeat,
        WireWriter.body([1, 2]), WireWriter.unblocked, WireWriter.heartbeat, WireWriter.body([3, 4, 5]))
      try peer.expect(60, 80)
      try peer.send(
        WireWriter.deliver(tag: 2),
        WireWriter.method(10, 50, channel: 0) {
          $0.short(320)
          $0.shortString("CONNECTION_FORCED - maintenance")
          $0.long(0)
        })
      try peer.expect(10, 51)
    }
    let events = Recorder<ConsumerEvent>()
    let consumer = consumer(try broker.settings(), events)
    consumer.settle([.ack(try #require(try await events.deliveries(1).first).tag)])
    let error = try await events.lost()
    #expect(error.nativeCode == 320)
    #expect(error.message == "CONNECTION_FORCED - maintenance")
    let seen = events.all
    #expect(seen.deliveries.map(\.body) == [[1, 2, 3, 4, 5]])
    #expect(seen.contains { if case .blocked("low on memory") = $0 { true } else { false } })
    #expect(seen.contains { if case .unblocked = $0 { true } else { false } })
    await consumer.close()
    _ = broker.stop()
  }

  @Test("nestedHeaders: a table nested 21,000 deep crashes nothing, and only the depths are dropped")
  func nestedHeaders() async throws {
    // Each level is a table with one field: empty name, kind 'F', the next table.
    let levels = 21_000
    var table = WireWriter()
    for level in (0..<levels).reversed() {
      table.long(UInt32(level * 6))
      if level > 0 {
        table.shortString("")
        table.octet(UInt8(ascii: "F"))
      }
    }
    let headers = table.bytes
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptConsumer()
      try peer.send(WireWriter.deliver(tag: 1), WireWriter.header(size: 1, headers: headers), WireWriter.body([9]))
      try peer.untilClosed()
    }
    let events = Recorder<ConsumerEvent>()
    let consumer = consumer(try broker.settings(), events)
    let delivery = try #require(try await events.deliveries(1).first)
    #expect(delivery.problem == .headersTooDeep)
    #expect(delivery.body == [9])
    var depth = 0
    var level: FieldTable? = delivery.properties.headers
    while let present = level {
      depth += 1
      level = present[""]?.tableValue
    }
    #expect(depth == 32)
    await consumer.close()
    #expect(broker.stop() == [])
  }

  @Test(
    "A body over the limit is thrown away while it is read; while the buffer is full nothing is read, and settling frees it again"
  )
  func bodyLimits() async throws {
    let waited = Recorder<Void>()
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptConsumer()
      for (tag, size) in [(1, 101), (2, 100), (3, 60), (4, 50)] {
        try peer.send(WireWriter.message(tag: UInt64(tag), [UInt8](repeating: 7, count: size)))
      }
      // Two of its heartbeats later the connection is still there, and has shown signs of life.
      try peer.exchangeHeartbeats(5)
      waited.record(())
      try peer.expect(60, 80)
      try peer.untilClosed()
    }
    // Not 1 s: on a busy machine two of these pass without a word now and then.
    var settings = try broker.settings(heartbeat: 2)
    settings.maxBodyBytes = 100
    settings.maxBufferedBytes = 160
    let events = Recorder<ConsumerEvent>()
    let consumer = consumer(settings, events)
    let first = try await events.deliveries(3)
    #expect(first.map(\.problem) == [.bodyTooLarge, nil, nil])
    #expect(first.map(\.body.count) == [0, 100, 60])
    #expect(first.map(\.bodySize) == [101, 100, 60])
    _ = try await waited.wait("heartbeats") { $0.first }
    #expect(events.all.deliveries.count == 3, "the buffer is full")
    consumer.settle([.ackThrough(first[1].tag)])
    let last = try #require(try await events.deliveries(4).last)
    #expect(last.problem == nil)
    #expect(last.body.count == 50)
    #expect(events.all.summary == ["started", "deliveries"])
    await consumer.close()
    #expect(broker.stop() == [])
  }

  @Test("badFrameTeardown: garbage on the wire ends the connection, not the consumer")
  func badFrame() async throws {
    let broker = try ScriptedBroker { peer, number in
      try peer.acceptConsumer()
      if number == 1 {
        try peer.send([UInt8](repeating: 0xFF, count: 64))
        peer.hangUntilClosed()
      } else {
        try peer.send(WireWriter.message(tag: 1, [1]))
        try peer.untilClosed()
      }
    }
    let events = Recorder<ConsumerEvent>()
    let consumer = consumer(try broker.settings(), events)
    let delivery = try #require(try await events.deliveries(1).first)
    #expect(delivery.tag == DeliveryTag(generation: 2, value: 1))
    #expect(try await events.lost().code == .protocolViolation)
    await consumer.close()
    #expect(broker.stop() == [])
  }

  /// In a process of its own: beside other tests the figure would be theirs as much.
  @Test("flatMemory: memory does not grow with the number of messages")
  func flatMemory() async {
    await #expect(processExitsWith: .success) {
      // Keeping the frames would take more than 180 MB.
      let growth = try await Self.memoryGrowth()
      #expect(growth < 32 << 20)
    }
  }

  private static func memoryGrowth() async throws -> Int {
    let total = getenv("AMQP_LONG_TESTS") == nil ? 200_000 : 5_000_000
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptConsumer()
      let body = [UInt8](repeating: 1, count: 1000)
      var tag: UInt64 = 0
      var settled: UInt64 = 0
      while settled < UInt64(total) {
        while tag < UInt64(total), tag - settled < 2000 {
          let chunk = (0..<100).flatMap { WireWriter.message(tag: tag + 1 + UInt64($0), body) }
          try peer.send(chunk)
          tag += 100
        }
        let frame = try peer.receive()
        // It asks for more as it sees that bodies are small.
        guard frame.method == [60, 80] else { continue }
        settled = max(settled, frame.tag)
      }
      try peer.untilClosed()
    }
    let progress = Recorder<UInt64>()
    let early = UInt64(total / 10)
    let consumer = AMQPConsumer(
      settings: try broker.settings(), queue: "queue", prefetch: 2000, maxBatch: 500, consumerTag: "tag"
    ) { event in
      guard case .deliveries(let batch) = event, let last = batch.last else { return }
      if last.tag.value % 100 == 0 || last.tag.value == total || batch.count == 500 { progress.record(last.tag.value) }
    }
    consumer.start()
    let settler = Task {
      var done: UInt64 = 0
      var before = 0
      while done < UInt64(total) {
        let present = done
        done = try await progress.wait("progress", seconds: 60) { seen in seen.last.flatMap { $0 > present ? $0 : nil }
        }
        consumer.settle([.ackThrough(DeliveryTag(generation: 1, value: done))])
        if before == 0, done > early { before = residentBytes() }
      }
      return before
    }
    let before = try await settler.value
    let growth = residentBytes() - before
    await consumer.close()
    #expect(broker.stop() == [])
    return growth
  }

  private static func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard fgets(&line, 128, file) != nil else { return 0 }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (Int(text.split(separator: " ")[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
  }
}
