@testable import AMQPClient
import Testing

/// Several hosts, and channels that refuse: what a broker that lost a node looks like from here.
@Suite("Failover against scripted brokers", .timeLimit(.minutes(5)))
struct FailoverTests {
  private let message = OutboundMessage("key", body: [1])

  /// With pauses that a test would not outlast.
  private func settings(_ brokers: [ScriptedBroker]) throws -> AMQPConnectionSettings {
    var settings = try brokers[0].settings()
    settings.endpoints = brokers.map { .init(host: "127.0.0.1", port: $0.port) }
    settings.minReconnectDelay = .seconds(90)
    settings.maxReconnectDelay = .seconds(90)
    return settings
  }

  private func down() throws -> ScriptedBroker { try ScriptedBroker { _, _ in } }

  @Test("A publisher whose host is down goes to the next one at once")
  func publisher() async throws {
    let standing = try ScriptedBroker { peer, _ in
      try peer.acceptPublisher()
      try peer.confirmAll()
    }
    let publisher = AMQPPublisher(settings: try settings([try down(), try down(), standing]))
    publisher.start()
    #expect(await publisher.publish([message]) == [.confirmed])
    await publisher.close()
    #expect(standing.stop() == [])
  }

  @Test("A consumer leaves a host that lets it in but serves no queue")
  func consumer() async throws {
    let useless = try ScriptedBroker { peer, _ in
      try peer.handshake()
      try peer.expect(60, 10)
    }
    let standing = try ScriptedBroker { peer, _ in
      try peer.acceptConsumer()
      try peer.untilClosed()
    }
    let events = Recorder<ConsumerEvent>()
    let consumer = AMQPConsumer(
      settings: try settings([useless, standing]), queue: "q", prefetch: 1, maxBatch: 1, consumerTag: "tag"
    ) { events.record($0) }
    consumer.start()
    try await events.wait("a started consumer") { seen in
      seen.contains { if case .started = $0 { true } else { false } } ? () : nil
    }
    await consumer.close()
    #expect(useless.stop() == [])
    #expect(standing.stop() == [])
  }

  @Test("An administrative request asks every host before it fails")
  func administration() async throws {
    let standing = try ScriptedBroker { peer, _ in
      try peer.handshake()
      try peer.reopenChannel()
      try peer.untilClosed()
    }
    let admin = AMQPAdmin(settings: try settings([try down(), standing]))
    _ = try await admin.ping()
    await admin.close()
    #expect(standing.stop() == [])
  }

  @Test("A channel that has refused is replaced before the next message, when all on it is answered")
  func refusingChannel() async throws {
    let broker = try ScriptedBroker { peer, _ in
      try peer.acceptPublisher()
      try peer.expectPublishes(2)
      // Until the channel is old enough to be replaced, and well before the timeout for the second message ends.
      try peer.expectNothing(seconds: 1.5)
      try peer.send(WireWriter.confirm(1, isAck: false))
      try peer.expectNothing(seconds: 0.5)
      try peer.send(WireWriter.confirm(2))
      try peer.reopenChannel()
      try peer.acceptConfirms()
      try peer.confirmAll()
    }
    let events = Recorder<PublisherEvent>()
    let outcomes = Recorder<[PublishOutcome]>()
    let publisher = AMQPPublisher(settings: try broker.settings()) { events.record($0) }
    publisher.start()
    for _ in 0..<2 { publisher.publish([message]) { outcomes.record($0) } }
    #expect(try await outcomes.wait("the refusal") { $0.first } == [.nacked])
    #expect(await publisher.publish([message]) == [.confirmed])
    #expect(outcomes.all == [[.nacked], [.confirmed]])
    #expect(events.all.count == 1, "the connection stays")
    await publisher.close()
    #expect(broker.stop() == [])
  }
}
