@testable import AMQPClient
import Testing

@Suite("Publisher against a scripted broker", .timeLimit(.minutes(5)))
struct ScriptedPublisherTests {
  private func messages(_ count: Int, bytes: Int = 10) -> [OutboundMessage] {
    (0..<count).map { OutboundMessage("key", id: "m\($0)", body: [UInt8](repeating: 1, count: bytes)) }
  }

  @Test("halfOpenPublish: a publish to a silent peer ends by the heartbeat's deadline")
  func halfOpenPublish() async throws {
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptPublisher()
      peer.hangUntilClosed()
    }
    let publisher = AMQPPublisher(settings: try broker.settings(heartbeat: 1))
    publisher.start()
    let began = ContinuousClock.now
    let outcomes = await publisher.publish(messages(1))
    // Generous, for a busy machine: without the deadline it would hang for ever.
    #expect(ContinuousClock.now - began < .seconds(20))
    guard case .unknown(let error) = outcomes[0] else {
      Issue.record("\(outcomes)")
      return
    }
    #expect(error.code == .connectionLost)
    await publisher.close(deadline: .milliseconds(500))
    #expect(broker.stop() == [])
  }

  @Test("halfOpenPublish: a write that a full buffer holds up is cut off by the watchdog")
  func halfOpenPublishFullBuffer() async throws {
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptPublisher()
      peer.hangUntilClosed()
    }
    var settings = try broker.settings()
    settings.stallTimeout = .seconds(1)
    settings.tcpUserTimeout = .seconds(20)
    let publisher = AMQPPublisher(settings: settings)
    publisher.start()
    let began = ContinuousClock.now
    let outcomes = await publisher.publish(messages(1, bytes: 24 << 20))
    // Generous, for a busy machine: without the deadline it would hang for ever.
    #expect(ContinuousClock.now - began < .seconds(20))
    guard case .unknown(let error) = outcomes[0] else {
      Issue.record("\(outcomes)")
      return
    }
    #expect(error.code == .timeout)
    await publisher.close(deadline: .milliseconds(500))
    #expect(broker.stop() == [])
  }

  @Test("closeWhileBlocked: closing meets its deadline although the broker reads nothing")
  func closeWhileBlocked() async throws {
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptPublisher()
      try peer.expectPublishes(1)
      try peer.send(WireWriter.blocked("low on memory"))
      peer.hangUntilClosed()
    }
    let events = Recorder<PublisherEvent>()
    let outcomes = Recorder<[PublishOutcome]>()
    let publisher = AMQPPublisher(settings: try broker.settings()) { events.record($0) }
    publisher.start()
    publisher.publish(messages(1)) { outcomes.record($0) }
    try await events.wait("blocked") { seen in
      seen.contains { if case .blocked = $0 { true } else { false } } ? () : nil
    }
    publisher.publish(messages(3)) { outcomes.record($0) }
    let began = ContinuousClock.now
    await publisher.close(deadline: .seconds(1))
    let took = ContinuousClock.now - began
    #expect(took >= .milliseconds(900) && took < .seconds(60))
    // Nobody is left without an answer, and what was not written says so.
    let all = try await outcomes.wait("both batches") { $0.count == 2 ? $0 : nil }
    guard case .unknown(let error) = all[0][0] else {
      Issue.record("\(all)")
      return
    }
    #expect(error.code == .shutdown)
    #expect(all[1].count == 3)
    for outcome in all[1] {
      guard case .failed(let error) = outcome else {
        Issue.record("\(outcome)")
        continue
      }
      #expect(error.code == .shutdown)
    }
    #expect(broker.stop() == [])
  }

  @Test("confirmsMultipleUnordered: acks and nacks, single and multiple, in any order")
  func confirmsMultipleUnordered() async throws {
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptPublisher()
      try peer.expectPublishes(8)
      try peer.send(
        WireWriter.confirm(2), WireWriter.confirm(5, isAck: false), WireWriter.confirm(3, multiple: true),
        WireWriter.confirm(6, multiple: true, isAck: false), WireWriter.confirm(0, multiple: true))
      try peer.untilClosed()
    }
    let publisher = AMQPPublisher(settings: try broker.settings())
    publisher.start()
    let outcomes = await publisher.publish(messages(8))
    #expect(outcomes == [.confirmed, .confirmed, .confirmed, .nacked, .nacked, .nacked, .confirmed, .confirmed])
    await publisher.close()
    #expect(broker.stop() == [])
  }

  @Test("confirmsOnLoss: what was written is unknown, what was not goes out on the next connection")
  func confirmsOnLoss() async throws {
    let broker = try ScriptedBroker { peer, number in
      try peer.acceptPublisher()
      if number == 1 {
        try peer.expectPublishes(4)
        try peer.send(WireWriter.confirm(1))
      } else {
        try peer.confirmAll()
      }
    }
    // The window keeps the last messages back until the first are answered.
    let publisher = AMQPPublisher(settings: try broker.settings(), window: 4)
    publisher.start()
    let outcomes = await publisher.publish(messages(10))
    let words = outcomes.map { outcome in
      switch outcome {
      case .confirmed: "confirmed"
      case .unknown(let error): "unknown \(error.code)"
      default: "\(outcome)"
      }
    }
    // The fifth may or may not have been written before the loss was noticed.
    #expect(words[0] == "confirmed")
    #expect(words[1...3].allSatisfy { $0 == "unknown connectionLost" })
    #expect(words[5...].allSatisfy { $0 == "confirmed" })
    await publisher.close()
    #expect(broker.stop() == [])
  }

  @Test("A broker that confirms nothing is given up after the confirm timeout")
  func confirmTimeout() async throws {
    let broker = try ScriptedBroker { peer, number in
      try peer.acceptPublisher()
      try peer.expectPublishes(1)
      if number == 2 { try peer.send(WireWriter.confirm(1)) }
      try peer.untilClosed()
    }
    let publisher = AMQPPublisher(settings: try broker.settings(), confirmTimeout: .seconds(1))
    publisher.start()
    let first = await publisher.publish(messages(1))
    guard case .unknown(let error) = first[0] else {
      Issue.record("\(first)")
      return
    }
    #expect(error.code == .timeout)
    #expect(await publisher.publish(messages(1)) == [.confirmed])
    await publisher.close()
    #expect(broker.stop() == [])
  }

  @Test("After closing, and without ever starting, every message still gets its answer")
  func answersAfterClose() async throws {
    let settings = try AMQPConnectionSettings(uri: "amqp://127.0.0.1:1/", connectionName: "test")
    let publisher = AMQPPublisher(settings: settings)
    let outcomes = Recorder<[PublishOutcome]>()
    publisher.publish(messages(2)) { outcomes.record($0) }
    await publisher.close()
    publisher.publish(messages(1)) { outcomes.record($0) }
    #expect(outcomes.all.map(\.count) == [2, 1])
    #expect(await publisher.publish([]) == [])
  }
}
