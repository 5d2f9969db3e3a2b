import AMQPClient
import Synchronization
import Testing

/// A gate whose verdicts a test changes.
private final class TestGate: Sendable {
  private let verdicts = Mutex<(@Sendable (Int) -> GateVerdict)>({ _ in .open })
  let asked = Atomic<Int>(0)

  func set(_ verdict: @escaping @Sendable (Int) -> GateVerdict) { verdicts.withLock { $0 = verdict } }

  var gate: PublishGate {
    { [self] position in
      asked.add(1, ordering: .relaxed)
      return verdicts.withLock(\.self)(position)
    }
  }
}

@Suite("Gates of a publisher", .timeLimit(.minutes(5)))
struct GateTests {
  private func messages(_ count: Int) -> [OutboundMessage] { (0..<count).map { OutboundMessage("q", id: "m\($0)") } }

  @Test("What a gate holds is never written, and the rest of the batch is")
  func held() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("q")
    let publisher = try broker.publisher()
    let gate = TestGate(), outcomes = Recorder<[PublishOutcome]>()
    gate.set { $0 % 3 == 0 ? .held(by: Int64($0)) : .open }
    publisher.publish(messages(300), gate: gate.gate) { outcomes.record($0) }
    let found = try await outcomes.wait("the batch") { $0.first }
    for (number, outcome) in found.enumerated() {
      #expect(outcome == (number % 3 == 0 ? .held(by: Int64(number)) : .confirmed))
    }
    #expect(try await broker.admin.messageCount(queue: "q") == 200)
    await publisher.close()
    await broker.admin.close()
  }

  @Test("What has to wait is overtaken by messages without a gate, and goes out in order when the gate opens")
  func waiting() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("q")
    let publisher = try broker.publisher(window: 7)
    let gate = TestGate(), outcomes = Recorder<[PublishOutcome]>()
    gate.set { _ in .waiting }
    for _ in 0..<3 { publisher.publish(messages(50), gate: gate.gate) { outcomes.record($0) } }
    #expect(await publisher.publish([OutboundMessage("q", id: "free")]) == [.confirmed])
    #expect(outcomes.all.isEmpty && gate.asked.load(ordering: .relaxed) >= 150)
    #expect(try await broker.admin.messageCount(queue: "q") == 1)
    // It opens and closes: what is written in between counts, and the order stays.
    for _ in 0..<5 {
      let left = Mutex(20)
      gate.set { _ in
        left.withLock { left in
          left -= 1
          return left >= 0 ? .open : .waiting
        }
      }
      #expect(await publisher.publish([OutboundMessage("q", id: "free")]) == [.confirmed])
    }
    gate.set { _ in .open }
    _ = try await outcomes.wait("all batches") { $0.count == 3 ? () : nil }
    #expect(outcomes.all.allSatisfy { $0.allConfirmed })
    let events = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("q", prefetch: 1000, events)
    let ids = try await events.wait("all messages") { seen -> [String]? in
      var ids: [String] = []
      for case .deliveries(let new) in seen { ids += new.compactMap(\.properties.messageID) }
      return ids.count == 156 ? ids.filter { $0 != "free" } : nil
    }
    #expect(ids == (0..<3).flatMap { _ in (0..<50).map { "m\($0)" } })
    await consumer.close()
    await publisher.close()
    await broker.admin.close()
  }

  @Test("What waits at the end was not written")
  func closing() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("q")
    let publisher = try broker.publisher()
    let gate = TestGate(), outcomes = Recorder<[PublishOutcome]>()
    gate.set { _ in .waiting }
    publisher.publish(messages(5), gate: gate.gate) { outcomes.record($0) }
    await publisher.close(deadline: .milliseconds(300))
    let found = try await outcomes.wait("the batch") { $0.first }
    #expect(found.allSatisfy { if case .failed = $0 { true } else { false } })
    #expect(try await broker.admin.messageCount(queue: "q") == 0)
    await broker.admin.close()
  }
}

@Suite("Gates of a publisher against a scripted broker", .timeLimit(.minutes(5)))
struct ScriptedGateTests {
  @Test("Nobody hears that gates are closed before the broker has answered for what was under way")
  func settling() async throws {
    let written = Recorder<Void>()
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptPublisher()
      try peer.expectPublishes(2)
      written.record(())
      try peer.expectPublishes(1)
      try peer.send(WireWriter.confirm(3, multiple: true))
      peer.hangUntilClosed()
    }
    let publisher = AMQPPublisher(settings: try broker.settings())
    publisher.start()
    let gate = TestGate(), said = Recorder<String>()
    publisher.publish([OutboundMessage("key"), OutboundMessage("key")], gate: gate.gate) { said.record("\($0[0])") }
    _ = try await written.wait("both") { $0.isEmpty ? nil : () }
    publisher.whenGatesAreClosed { said.record("nothing is held") }
    _ = try await said.wait("an open gate") { $0.isEmpty ? nil : () }
    gate.set { $0 == 1 ? .held(by: 1) : .open }
    publisher.whenGatesAreClosed { said.record("closed") }
    #expect(await publisher.publish([OutboundMessage("key")]) == [.confirmed])
    _ = try await said.wait("a closed one") { $0.count == 3 ? () : nil }
    #expect(said.all == ["nothing is held", "confirmed", "closed"])
    await publisher.close(deadline: .milliseconds(300))
    #expect(broker.stop() == [])
  }

  @Test("What the broker has not confirmed soon after the right to publish ran out is given up, with its connection")
  func lapsing() async throws {
    let connections = Recorder<Int>()
    let broker = try ScriptedBroker { peer, number in
      try peer.acceptPublisher()
      connections.record(number)
      if number == 1 { try peer.expectPublishes(1) }
      peer.hangUntilClosed()
    }
    let publisher = AMQPPublisher(settings: try broker.settings())
    publisher.start()
    let gate = TestGate(), outcomes = Recorder<[PublishOutcome]>()
    publisher.publish([OutboundMessage("key")], gate: gate.gate) { outcomes.record($0) }
    _ = try await connections.wait("a connection") { $0.isEmpty ? nil : () }
    // Asked for what is written, too: then it is under way.
    while gate.asked.load(ordering: .relaxed) == 0 { try await Task.sleep(for: .milliseconds(1)) }
    let began = ContinuousClock.now
    gate.set { _ in .waiting }
    let found = try await outcomes.wait("the batch") { $0.first }
    guard case .unknown(let error) = found[0] else {
      Issue.record("\(found)")
      return
    }
    #expect(error.code == .timeout && ContinuousClock.now - began > .milliseconds(350))
    await publisher.close(deadline: .milliseconds(300))
    _ = broker.stop()
  }
}
