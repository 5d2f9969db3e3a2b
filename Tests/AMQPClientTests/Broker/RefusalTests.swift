import TestServers
import Testing

@testable import AMQPClient

/// What the broker refuses for good is distinguished from a loss, and does not touch what goes elsewhere.
@Suite("A broker that refuses", .timeLimit(.minutes(5)))
struct RefusalTests {
  /// A user that may use what is called `mine…` and nothing else, and a queue that it may write to.
  private func settings(_ broker: BrokerFixture) async throws -> AMQPConnectionSettings {
    let url = try await broker.servers.allow(
      broker.vhost, in: broker.vhost, configure: "", write: "^mine.*", read: "^mine.*")
    var topology = Topology()
    topology.exchanges = ["mine", "foreign"].map { ExchangeDeclaration(name: $0, kind: "topic") }
    topology.queues = ["mine", "foreign"].map { QueueDeclaration(name: $0, arguments: ["x-queue-type": "quorum"]) }
    topology.bindings = [Binding(queue: "mine", exchange: "mine", routingKey: "#")]
    _ = try await broker.admin.declare(topology)
    return try AMQPConnectionSettings(uri: url, connectionName: "least")
  }

  /// Publishes again what nobody knows the end of, as its owners do, until everything is answered.
  private func persist(_ publisher: AMQPPublisher, _ messages: [OutboundMessage]) async -> (
    outcomes: [PublishOutcome], rounds: Int
  ) {
    var outcomes = await publisher.publish(messages)
    var rounds = 1
    while rounds < 50 {
      let open = outcomes.indices.filter { if case .unknown = outcomes[$0] { true } else { false } }
      if open.isEmpty { break }
      rounds += 1
      for (index, outcome) in zip(open, await publisher.publish(open.map { messages[$0] })) {
        outcomes[index] = outcome
      }
    }
    return (outcomes, rounds)
  }

  private func closings(_ events: Recorder<PublisherEvent>) -> Int {
    events.all.filter { if case .channelClosed = $0 { true } else { false } }.count
  }

  @Test(
    "An exchange that may not be written to fails what goes there, once closes the channel, and lets everything else pass"
  )
  func refusedExchange() async throws {
    let broker = try await BrokerFixture()
    let events = Recorder<PublisherEvent>()
    let publisher = AMQPPublisher(settings: try await settings(broker)) { events.record($0) }
    publisher.start()
    let places = ["", "foreign", "mine.missing"]
    let messages = (0..<900).map {
      OutboundMessage(to: $0 % 3 == 0 ? places[$0 / 300] : "mine", "mine", id: "\($0)", body: [1])
    }
    let (outcomes, rounds) = await persist(publisher, messages)
    for (message, outcome) in zip(messages, outcomes) {
      if message.exchange == "mine" {
        #expect(outcome == .confirmed)
      } else if case .failed(let error) = outcome {
        #expect(error.isRefusal && !error.isRetriable)
        #expect(error.code == (message.exchange == "mine.missing" ? .notFound : .accessRefused))
      } else {
        Issue.record("\(message.exchange): \(outcome)")
      }
    }
    // Again once a second at most: on a busy machine the messages take longer than that.
    #expect((3..<20).contains(closings(events)), "an exchange is asked once, not by each message")
    #expect(rounds < 20)
    await publisher.close()
    await broker.admin.close()
  }

  @Test("An exchange that is permitted later is found out, while others are published to")
  func healedExchange() async throws {
    let broker = try await BrokerFixture()
    let publisher = AMQPPublisher(settings: try await settings(broker))
    publisher.start()
    guard case .failed = await publisher.publish([OutboundMessage(to: "foreign", "mine")])[0] else {
      Issue.record("not refused")
      return
    }
    _ = try await broker.servers.allow(
      broker.vhost, in: broker.vhost, configure: "", write: "^(mine|foreign).*", read: "")
    try await broker.admin.bind(Binding(queue: "mine", exchange: "foreign", routingKey: "#"))
    while await publisher.publish([OutboundMessage(to: "foreign", "mine"), OutboundMessage(to: "mine", "mine")]) != [
      .confirmed, .confirmed,
    ] {
      try Task.checkCancellation()
    }
    await publisher.close()
    await broker.admin.close()
  }

  @Test("A message that is refused without being named is found among the others")
  func unnamedCulprit() async throws {
    let broker = try await BrokerFixture()
    let events = Recorder<PublisherEvent>()
    let publisher = AMQPPublisher(settings: try await settings(broker)) { events.record($0) }
    publisher.start()
    var messages = (0..<200).map { OutboundMessage(to: "mine", "mine", id: "\($0)") }
    // 406: the broker compares it with the login, and does not say which message it means.
    messages[120].properties.userID = "another user"
    let (outcomes, _) = await persist(publisher, messages)
    for (index, outcome) in outcomes.enumerated() where index != 120 { #expect(outcome == .confirmed, "\(index)") }
    guard case .failed(let error) = outcomes[120] else {
      Issue.record("\(outcomes[120])")
      return
    }
    #expect(error.code == .preconditionFailed)
    // Twice at least: among the others, and alone. How often among others depends on how fast the broker answers.
    #expect((2...4).contains(closings(events)))
    await publisher.close()
    await broker.admin.close()
  }

  @Test("Permissions are found out without publishing or taking anything")
  func checks() async throws {
    let broker = try await BrokerFixture()
    let admin = AMQPAdmin(settings: try await settings(broker))
    let publisher = try broker.publisher()
    #expect(await publisher.publish([OutboundMessage("mine"), OutboundMessage("foreign")]).allConfirmed)
    try await admin.checkPublish(exchange: "mine", routingKey: "mine")
    try await admin.checkConsume(queue: "mine")
    func code(_ check: () async throws(AMQPError) -> Void) async -> AMQPError.Code? {
      do throws(AMQPError) { try await check() } catch { return error.code }
      return nil
    }
    for (exchange, expected) in [
      ("", AMQPError.Code.accessRefused), ("foreign", .accessRefused), ("missing", .accessRefused),
      ("mine.missing", .notFound),
    ] {
      #expect(
        await code { () async throws(AMQPError) in try await admin.checkPublish(exchange: exchange, routingKey: "mine")
        } == expected)
    }
    #expect(
      await code { () async throws(AMQPError) in try await admin.checkConsume(queue: "foreign") } == .accessRefused)
    #expect(
      await code { () async throws(AMQPError) in try await admin.checkConsume(queue: "mine.missing") } == .notFound)
    // Of what is asked about nothing has changed, and the message was not delivered.
    #expect(try await broker.admin.messageCount(queue: "mine") == 1)
    let delivery = try #require(try await broker.admin.get(queue: "mine"))
    #expect(!delivery.isRedelivered)
    await publisher.close()
    await admin.close()
    await broker.admin.close()
  }
}
