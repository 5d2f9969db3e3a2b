import AMQPClient
import Testing

@Suite("Topology on a real broker", .timeLimit(.minutes(5)))
struct TopologyBrokerTests {
  private let wanted = Topology(
    exchanges: [ExchangeDeclaration(name: "events", kind: "topic")],
    queues: [
      QueueDeclaration(name: "ingest", arguments: ["x-queue-type": "quorum", "x-delivery-limit": 20]),
      QueueDeclaration(name: "retry", arguments: ["x-message-ttl": 10_000]),
    ],
    bindings: [Binding(queue: "ingest", exchange: "events", routingKey: "#")])

  @Test("Declaring twice creates once, and routes")
  func declare() async throws {
    let broker = try await BrokerFixture()
    let first = try await broker.admin.declare(wanted)
    #expect(first.map(\.outcome) == [.created, .created, .created, .ensured])
    let second = try await broker.admin.declare(wanted)
    #expect(second.map(\.outcome) == [.alreadyThere, .alreadyThere, .alreadyThere, .ensured])
    #expect(
      second.map(\.object.description) == [
        "exchange events", "queue ingest", "queue retry", "binding events -> ingest (#)",
      ])
    #expect(try await broker.admin.verify(wanted) == [])
    let publisher = try broker.publisher()
    #expect(await publisher.publish([OutboundMessage(to: "events", "a.b")]) == [.confirmed])
    #expect(try await broker.admin.messageCount(queue: "ingest") == 1)
    #expect(try await broker.admin.get(queue: "ingest", mode: .peek)?.routingKey == "a.b")
    #expect(try await broker.messageCount("ingest", reaches: 1))
    #expect(try await broker.admin.purge(queue: "ingest") == 1)
    #expect(try await broker.admin.ping() == "RabbitMQ 3.10.8")
    await publisher.close()
    await broker.admin.close()
  }

  @Test("Verifying names object, argument, what is there and what is wanted, and creates nothing")
  func verify() async throws {
    let broker = try await BrokerFixture()
    _ = try await broker.admin.declare(
      Topology(
        exchanges: [ExchangeDeclaration(name: "events", kind: "direct")],
        queues: [QueueDeclaration(name: "ingest"), QueueDeclaration(name: "retry", arguments: ["x-message-ttl": 5])]))
    var asked = wanted
    asked.queues.append(QueueDeclaration(name: "absent"))
    let mismatches = try await broker.admin.verify(asked)
    #expect(
      mismatches.map(\.description) == [
        "exchange events: argument type is direct, wanted topic",
        "queue ingest: argument x-queue-type is not set, wanted quorum",
        "queue retry: argument x-message-ttl is 5, wanted 10000",
        "queue absent is missing",
      ])
    await #expect(throws: AMQPError.self) { try await broker.admin.messageCount(queue: "absent") }
    await broker.admin.close()
  }
}
