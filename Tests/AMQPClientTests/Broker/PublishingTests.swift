import AMQPClient
import TestServers
import Testing

@Suite("Publishing to a real broker", .timeLimit(.minutes(5)))
struct PublishingTests {
  @Test("returnThenAck: an unroutable message is never reported as success")
  func returnThenAck() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("there")
    let publisher = try broker.publisher()
    let messages = (0..<300).map { number in
      OutboundMessage(number % 3 == 0 ? "nowhere" : "there", id: number % 2 == 0 ? "m\(number)" : nil, body: [1, 2, 3])
    }
    let outcomes = await publisher.publish(messages)
    for (number, outcome) in outcomes.enumerated() {
      #expect(outcome == (number % 3 == 0 ? .returned(code: 312, text: "NO_ROUTE") : .confirmed))
    }
    #expect(try await broker.admin.messageCount(queue: "there") == 200)
    // Not mandatory: the broker drops it and says that all is well.
    var optional = messages[0]
    optional.isMandatory = false
    #expect(await publisher.publish([optional]) == [.confirmed])
    await publisher.close()
    await broker.admin.close()
  }

  @Test("A limit that is lifted while the queue is full is lifted for those that it has refused")
  func liftedLimit() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("full", ["x-queue-type": "quorum"])
    let publisher = try broker.publisher()
    let settings = "[{<<\"max-length\">>, 1}, {<<\"overflow\">>, <<\"reject-publish\">>}]"
    try await broker.servers.erlang(
      "rabbit_policy:set(<<\"\(broker.vhost)\">>, <<\"limit\">>, <<\"full\">>, \(settings), 0, <<\"queues\">>, <<\"test\">>)"
    )
    while await publisher.publish([OutboundMessage("full")]) != [.nacked] { try Task.checkCancellation() }
    try await broker.servers.erlang("rabbit_policy:delete(<<\"\(broker.vhost)\">>, <<\"limit\">>, <<\"test\">>)")
    while await publisher.publish([OutboundMessage("full")]) != [.confirmed] { try Task.checkCancellation() }
    await publisher.close()
    await broker.admin.close()
  }

  @Test("confirmFlood: confirms nobody waits for do not stop the stream")
  func confirmFlood() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("flood")
    let publisher = try broker.publisher()
    let outcomes = Recorder<[PublishOutcome]>()
    let body = [UInt8](repeating: 65, count: 500)
    for batch in 0..<40 {
      publisher.publish((0..<500).map { OutboundMessage("flood", id: "\(batch)-\($0)", body: body) }) {
        outcomes.record($0)
      }
    }
    let all = try await outcomes.wait("40 batches", seconds: 90) { $0.count == 40 ? $0 : nil }
    #expect(all.allSatisfy { $0.count == 500 && $0.allConfirmed })
    #expect(try await broker.admin.messageCount(queue: "flood") == 20_000)
    await publisher.close()
    await broker.admin.close()
  }

  @Test("publish404: a missing exchange is surfaced, and the publisher goes on")
  func publish404() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("there")
    let events = Recorder<PublisherEvent>()
    let publisher = try broker.publisher(events)
    let outcomes = await publisher.publish([
      OutboundMessage("there"), OutboundMessage(to: "missing", "key"), OutboundMessage("there"),
    ])
    guard case .failed(let error) = outcomes[1] else {
      Issue.record("\(outcomes)")
      return
    }
    #expect(error.code == .notFound)
    #expect(!error.isRetriable)
    #expect(error.message.contains("missing"))
    // Its neighbours were confirmed before or are unknown, but never wrongly failed.
    for neighbour in [outcomes[0], outcomes[2]] {
      if case .failed = neighbour { Issue.record("\(neighbour)") }
    }
    #expect(await publisher.publish([OutboundMessage("there")]) == [.confirmed])
    let names = events.all.map { event in
      switch event {
      case .connected: "connected"
      case .channelClosed: "channelClosed"
      default: "other"
      }
    }
    #expect(names == ["connected", "channelClosed"])
    await publisher.close()
    await broker.admin.close()
  }

  @Test("A connection ended by the broker resolves every message and comes back")
  func connectionEnded() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("there")
    let events = Recorder<PublisherEvent>()
    let publisher = try broker.publisher(events)
    #expect(await publisher.publish([OutboundMessage("there")]) == [.confirmed])
    try await broker.closeConnection("publisher")
    let error = try await events.wait("lost") { seen in
      seen.lazy.compactMap { if case .lost(let error) = $0 { error } else { nil } }.first
    }
    #expect(error.nativeCode == 320)
    #expect(await publisher.publish([OutboundMessage("there")]) == [.confirmed])
    await publisher.close()
    await broker.admin.close()
  }

  @Test("hugeHeaders: what does not fit a frame fails by itself, without harm to the connection")
  func hugeHeaders() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("there")
    let events = Recorder<PublisherEvent>()
    let publisher = try broker.publisher(events)
    func message(_ bytes: Int) -> OutboundMessage {
      OutboundMessage("there", headers: ["h": .string(String(repeating: "x", count: bytes))])
    }
    // 4 table length, 1 + 1 name, 5 string, 3 flags and delivery mode, 20 around the properties.
    let largest = 131_072 - 34
    let deep = (0..<40).reduce(FieldTable()) { table, _ in ["t": .table(table)] }
    let outcomes = await publisher.publish([
      message(largest), message(largest + 1), OutboundMessage("there", headers: deep),
      OutboundMessage("there", headers: [String(repeating: "n", count: 256): true]),
      OutboundMessage(String(repeating: "k", count: 256)),
      OutboundMessage("there", id: String(repeating: "i", count: 256)),
      OutboundMessage("there", id: String(repeating: "i", count: 255)),
    ])
    #expect(outcomes[0] == .confirmed)
    #expect(outcomes[6] == .confirmed)
    for outcome in outcomes[1...5] {
      guard case .failed(let error) = outcome else {
        Issue.record("\(outcome)")
        continue
      }
      #expect(error.code == .tooLarge)
    }
    #expect(events.all.count == 1, "only connected")
    // The consumer gets the largest whole, and stays on its first channel.
    let seen = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("there", seen)
    let deliveries = try await seen.deliveries(2)
    #expect(deliveries[0].properties.headers["h"]?.stringValue?.utf8.count == largest)
    #expect(deliveries[1].properties.messageID?.utf8.count == 255)
    #expect(seen.all.summary == ["started", "deliveries"])
    await consumer.close()
    await publisher.close()
    await broker.admin.close()
  }

  @Test(
    "hugeHeaders: a message that dead-lettering made larger than a frame does not make the consumer reconnect for ever")
  func hugeHeadersGrown() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("dead")
    try await broker.queue(
      "retry", ["x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"])
    let publisher = try broker.publisher()
    let headers: FieldTable = ["h": .string(String(repeating: "x", count: 131_072 - 34))]
    #expect(await publisher.publish([OutboundMessage("retry", headers: headers)]) == [.confirmed])
    let seen = Recorder<ConsumerEvent>()
    let consumer = try broker.consumer("dead", seen)
    let delivery = try #require(try await seen.deliveries(1, seconds: 10).first)
    #expect(delivery.properties.headers["x-death"] != nil)
    #expect(delivery.tag.generation == 1)
    await consumer.close()
    await publisher.close()
    await broker.admin.close()
  }

  @Test("Every property and every kind of header arrives as it was sent")
  func properties() async throws {
    let broker = try await BrokerFixture()
    try await broker.queue("there")
    let publisher = try broker.publisher()
    let nested: FieldTable = ["inner": .table(["deep": .array([1, "two", .table(["x": true])])])]
    let properties = MessageProperties(
      contentType: "application/json", contentEncoding: "identity",
      headers: [
        "bool": true, "int": .int(-9_007_199_254_740_993), "double": .double(0.1), "string": "Zürich – 雪", "empty": "",
        "bytes": .bytes([0, 255, 1]), "time": .timestamp(1_700_000_000), "decimal": .decimal(scale: 2, value: -12_345),
        "void": .void, "array": .array([]), "table": .table(nested),
      ],
      isPersistent: true, priority: 7, correlationID: "c", replyTo: "r", expiration: "600000", messageID: "m",
      timestamp: 1_763_632_800, type: "t", userID: "journey", appID: "a")
    let message = OutboundMessage(exchange: "", routingKey: "there", properties: properties, body: Array("{}".utf8))
    #expect(await publisher.publish([message]) == [.confirmed])
    let delivery = try #require(try await broker.admin.get(queue: "there"))
    #expect(delivery.properties == properties)
    #expect(delivery.body == Array("{}".utf8))
    #expect(delivery.routingKey == "there")
    #expect(!delivery.isRedelivered)
    #expect(try await broker.admin.get(queue: "there") == nil)
    await publisher.close()
    await broker.admin.close()
  }
}
