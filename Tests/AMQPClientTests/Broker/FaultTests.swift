@testable import AMQPClient
import Testing
import TestServers

/// On a broker of their own, since they break it.
@Suite("A real broker in trouble", .timeLimit(.minutes(5)), .serialized)
struct FaultTests {
  private func settings(_ uri: String, _ name: String) throws -> AMQPConnectionSettings {
    var settings = try AMQPConnectionSettings(uri: uri, connectionName: name)
    settings.minReconnectDelay = .milliseconds(50)
    settings.maxReconnectDelay = .milliseconds(500)
    return settings
  }

  @Test("blockedPublisher: publishing waits for the alarm to end, consuming goes on")
  func blockedPublisher() async throws {
    let servers = try await TestServers.dedicated([.rabbitmq])
    let uri = servers.amqpURL()
    let admin = AMQPAdmin(settings: try settings(uri, "admin"))
    _ = try await admin.declare(Topology(queues: [QueueDeclaration(name: "q")]))
    let published = Recorder<PublisherEvent>()
    let publisher = AMQPPublisher(settings: try settings(uri, "publisher")) { published.record($0) }
    publisher.start()
    #expect(await publisher.publish([OutboundMessage("q", body: [1])]) == [.confirmed])
    _ = try await servers.erlang("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")
    let outcomes = Recorder<[PublishOutcome]>()
    publisher.publish((0..<1000).map { _ in OutboundMessage("q", body: [UInt8](repeating: 2, count: 10_000)) }) {
      outcomes.record($0)
    }
    try await published.wait("blocked") { seen in
      seen.contains { if case .blocked = $0 { true } else { false } } ? () : nil
    }
    let events = Recorder<ConsumerEvent>()
    let consumer = AMQPConsumer(
      settings: try settings(uri, "consumer"), queue: "q", prefetch: 2000, maxBatch: 100, consumerTag: "c"
    ) {
      events.record($0)
    }
    consumer.start()
    let first = try #require(try await events.deliveries(1).first)
    consumer.settle([.ack(first.tag)])
    #expect(outcomes.all.isEmpty)
    _ = try await servers.erlang("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")
    let resolved = try await outcomes.wait("the batch") { $0.first }
    #expect(resolved.allConfirmed)
    #expect(try await events.deliveries(1001).count == 1001)
    let names = published.all.map { "\($0)".prefix { $0 != "(" } }
    #expect(names == ["connected", "blocked", "unblocked"])
    await consumer.close()
    await publisher.close()
    await admin.close()
    try await servers.stop()
  }

  @Test("confirmsOnLoss: the broker is killed in mid-stream; every message is answered, and none confirmed is missing")
  func brokerKilled() async throws {
    let servers = try await TestServers.dedicated([.rabbitmq])
    let uri = servers.amqpURL()
    let admin = AMQPAdmin(settings: try settings(uri, "admin"))
    _ = try await admin.declare(
      Topology(queues: [QueueDeclaration(name: "kept", arguments: ["x-queue-type": "quorum"])]))
    // A broker that has just started may swallow what comes before its quorum queue is up; only the timeout ends that.
    let publisher = AMQPPublisher(settings: try settings(uri, "publisher"), confirmTimeout: .seconds(3))
    publisher.start()
    let outcomes = Recorder<[PublishOutcome]>()
    let batches = 60
    for batch in 0..<batches {
      publisher.publish((0..<500).map { OutboundMessage("kept", id: "\(batch * 500 + $0)", body: [1, 2, 3]) }) {
        outcomes.record($0)
      }
    }
    try await outcomes.wait("the first batch") { $0.isEmpty ? nil : () }
    try await servers.kill(.rabbitmq)
    try await servers.start(.rabbitmq)
    let all = try await outcomes.wait("every batch", seconds: 60) { $0.count == batches ? $0 : nil }.flatMap(\.self)
    let confirmed = all.filter(\.isConfirmed).count
    let unknown = all.filter { if case .unknown(let error) = $0 { error.isRetriable } else { false } }.count
    #expect(confirmed + unknown == batches * 500)
    #expect(unknown > 0)
    #expect(confirmed > 500)
    // Everything confirmed is there; what is unknown may be, so identities are counted, not messages.
    let seen = Recorder<ConsumerEvent>()
    let consumer = AMQPConsumer(
      settings: try settings(uri, "consumer"), queue: "kept", prefetch: 2000, maxBatch: 500, consumerTag: "c"
    ) {
      seen.record($0)
    }
    consumer.start()
    let settler = Task {
      var settled = 0
      while settled < confirmed {
        let now = settled
        let deliveries = try await seen.deliveries(now + 1)
        settled = deliveries.count
        consumer.settle([.ackThrough(deliveries[settled - 1].tag)])
      }
    }
    try await settler.value
    #expect(Set(seen.all.deliveries.compactMap(\.properties.messageID)).count >= confirmed)
    await consumer.close()
    await publisher.close()
    await admin.close()
    try await servers.stop()
  }

  @Test(
    "hangingQueue: one queue of two answers nothing any more; what went there is reported by name while the other goes on"
  )
  func oneQueueStandsStill() async throws {
    let servers = try await TestServers.dedicated([.rabbitmq])
    let uri = servers.amqpURL()
    let admin = AMQPAdmin(settings: try settings(uri, "admin"))
    let quorum: FieldTable = ["x-queue-type": "quorum"]
    _ = try await admin.declare(
      Topology(queues: [
        QueueDeclaration(name: "going", arguments: quorum), QueueDeclaration(name: "hanging", arguments: quorum),
      ]))
    let publisher = AMQPPublisher(settings: try settings(uri, "publisher"), confirmTimeout: .seconds(2))
    publisher.start()
    #expect(
      await publisher.publish([OutboundMessage("going", body: [1]), OutboundMessage("hanging", body: [1])]).allConfirmed
    )
    _ = try await servers.erlang("sys:suspend(whereis('%2F_hanging'))")
    let stuck = Recorder<PublishOutcome>()
    publisher.publish([OutboundMessage("hanging", body: [2])]) { $0.forEach(stuck.record) }
    var answered = 0
    while stuck.all.isEmpty {
      if await publisher.publish([OutboundMessage("going", body: [3])]) == [.confirmed] { answered += 1 }
      try #require(answered < 1_000_000, "what hangs is never reported")
    }
    let outcome = try #require(stuck.all.first)
    guard case .unknown(let error) = outcome else {
      throw AMQPError(.protocolViolation, operation: "test", message: "\(outcome)")
    }
    #expect(error.code == .timeout && error.message.contains("with key 'hanging'"), "\(error)")
    #expect(answered > 1)
    _ = try await servers.erlang("sys:resume(whereis('%2F_hanging'))")
    #expect(await publisher.publish([OutboundMessage("hanging", body: [4])]) == [.confirmed])
    await publisher.close()
    await admin.close()
    try await servers.stop()
  }

  @Test("tlsMatrix: a broker is believed only with the right authority and name")
  func tlsMatrix() async throws {
    let servers = try await TestServers.dedicated([.rabbitmq], tls: true)
    let uri = servers.amqpURL(tls: true)
    func ping(_ change: (inout AMQPConnectionSettings) -> Void = { _ in }) async throws -> Result<String, AMQPError> {
      var settings = try settings(uri, "tls")
      change(&settings)
      let admin = AMQPAdmin(settings: settings)
      let result: Result<String, AMQPError>
      do throws(AMQPError) { result = .success(try await admin.ping()) } catch { result = .failure(error) }
      await admin.close()
      return result
    }
    #expect(try await ping() == .success("RabbitMQ 3.10.8"))
    func code(_ result: Result<String, AMQPError>) -> AMQPError.Code? {
      if case .failure(let error) = result { error.code } else { nil }
    }
    // The system's authorities do not know this one.
    #expect(code(try await ping { $0.tls?.authoritiesFile = nil }) == .tls)
    #expect(code(try await ping { $0.tls?.authoritiesFile = "/nonexistent.pem" }) == .tls)
    // An address is never accepted for a name.
    func byAddress(_ settings: inout AMQPConnectionSettings) {
      settings.endpoints = settings.endpoints.map { .init(host: "127.0.0.1", port: $0.port) }
    }
    #expect(code(try await ping(byAddress)) == .tls)
    #expect(
      try await ping { settings in
        settings.tls?.verifiesPeer = false
        byAddress(&settings)
      } == .success("RabbitMQ 3.10.8"))
    // Messages pass over TLS in both directions.
    let admin = AMQPAdmin(settings: try settings(uri, "admin"))
    _ = try await admin.declare(Topology(queues: [QueueDeclaration(name: "q")]))
    let publisher = AMQPPublisher(settings: try settings(uri, "publisher"))
    publisher.start()
    let body = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
    #expect(await publisher.publish((0..<50).map { _ in OutboundMessage("q", body: body) }).allConfirmed)
    let events = Recorder<ConsumerEvent>()
    let consumer = AMQPConsumer(
      settings: try settings(uri, "consumer"), queue: "q", prefetch: 100, maxBatch: 10, consumerTag: "c"
    ) {
      events.record($0)
    }
    consumer.start()
    #expect(try await events.deliveries(50).filter { $0.body == body }.count == 50)
    await consumer.close()
    await publisher.close()
    await admin.close()
    try await servers.stop()
  }
}
