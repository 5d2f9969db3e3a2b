import TestSupport
import DeadLetters
import AMQPClient
import FoundationEssentials
import Journey
import Testing
@testable import DeadLetters
@testable import JourneyAMQP

@Suite struct DeadLetterRepublisherTests {
  private func item(
    _ properties: MessageProperties, body: [UInt8], edited: UUID? = nil, causedBy: UUID? = nil, bodySize: Int? = nil,
    exchange: String = "journey.events"
  ) -> ReplayItem {
    let message = OriginalMessage(
      exchange: exchange, routingKey: "a.b", messageID: properties.messageID, contentType: properties.contentType,
      properties: MessageEncoding.json(properties), headers: MessageEncoding.json(properties.headers), body: body,
      bodySize: bodySize ?? body.count)
    return ReplayItem(deadLetterID: UUID(), message: message, replayCount: 3, editedID: edited, causedBy: causedBy)
  }

  private let own = OwnMessages(user: "adapter")

  /// As the ingest queue reads it.
  private func arrived(_ message: OutboundMessage) -> Delivery {
    let delivery = Delivery(
      tag: DeliveryTag(generation: 1, value: 1), exchange: message.exchange, routingKey: message.routingKey,
      isRedelivered: false,
      properties: message.properties, body: message.body)
    return MessageCopy.restored(delivery, own: own)
  }

  @Test func aReplayGoesToTheIngestQueueAndIsReadThereAsTheOriginal() throws {
    let properties = MessageProperties(
      contentType: "application/json",
      headers: ["x-source": "stripe", "CC": .array(["other"]), "x-death": .array([]), "x-journey-attempt": 4],
      isPersistent: false, priority: 5, expiration: "1", messageID: "m", timestamp: 9, userID: "upstream", appID: "a")
    let cause = UUID()
    let item = item(properties, body: [1, 2], causedBy: cause)
    let message = try DeadLetterRepublisher.message(item, own: own, edit: nil)
    #expect(message.exchange == "journey.retry")
    #expect(message.routingKey == "journey.ingest")
    #expect(message.body == [1, 2])
    #expect(message.isMandatory)
    #expect(
      message.properties.headers["CC"] == nil && message.properties.expiration == nil && message.properties.isPersistent
    )
    #expect(message.properties.userID == "adapter")
    let arrived = arrived(message)
    #expect(arrived.exchange == "journey.events" && arrived.routingKey == "a.b")
    var expected = properties
    expected.headers = [
      "x-source": "stripe", "x-journey-replay": 3,
      "x-journey-letter": .string(item.deadLetterID.uuidString.lowercased()),
      "x-journey-caused-by": .string(cause.uuidString.lowercased()), "CC": .array(["other"]),
    ]
    #expect(arrived.properties == expected)
  }

  /// A replay that fails again names its dead letter to the archive, on the way through the retries too; nobody else can.
  @Test func whatFailsAgainNamesItsDeadLetter() throws {
    let item = item(MessageProperties(headers: ["x-source": "stripe"]), body: [1])
    func deadLetter(_ delivery: Delivery) throws -> DeadLetter {
      let dead = DeadLetterMessage.message(
        for: delivery, reasons: [], exchange: "journey.dead", at: Timestamp(seconds: 0))
      let deadLettered = Delivery(
        tag: delivery.tag, exchange: "journey.dead", routingKey: dead.routingKey, isRedelivered: false,
        properties: dead.properties,
        body: dead.body)
      return try DeadLetterReader(decoder: decoder(), own: own).deadLetter(deadLettered, at: Timestamp(seconds: 0))
    }
    let replay = arrived(try DeadLetterRepublisher.message(item, own: own, edit: nil))
    #expect(try deadLetter(replay).replayOf == item.deadLetterID)
    let retry = RetryPolicy().message(
      for: replay, reasons: [Rejection(.unknownClient, "x")], tier: "10s", names: MessagingNames(),
      at: Timestamp(seconds: 0))
    var back = retry
    back.exchange = "journey.retry"
    back.routingKey = "journey.ingest"
    #expect(try deadLetter(arrived(back)).replayOf == item.deadLetterID)
    let forged = OutboundMessage(
      exchange: "journey.events", routingKey: "a.b",
      properties: MessageProperties(headers: ["x-journey-letter": .string(item.deadLetterID.uuidString)]), body: [1])
    #expect(try deadLetter(arrived(forged)).replayOf == nil)
    let edited = try DeadLetterRepublisher.message(
      self.item(MessageProperties(), body: Array("{}".utf8), edited: UUID()), own: own,
      edit: JSONPatch(parsing: Array(#"[{"op":"add","path":"/a","value":1}]"#.utf8)))
    #expect(try deadLetter(arrived(edited)).replayOf == nil, "an edited message is a new one")
  }

  /// Whatever a dead letter says of its exchange: one that an earlier version has archived may have been set by its sender.
  @Test(arguments: ["journey.actions", "journey.outcomes", "journey.dead", "amq.topic", "", "journey.events"])
  func noReplayGoesAnywhereElse(_ exchange: String) throws {
    let result = Result {
      try DeadLetterRepublisher.message(item(MessageProperties(), body: [], exchange: exchange), own: own, edit: nil)
    }
    switch result {
    case .success(let message): #expect(message.exchange == "journey.retry" && message.routingKey == "journey.ingest")
    case .failure(let error):
      #expect(exchange == "journey.actions")
      #expect("\(error)".contains("it was published to \(exchange)"))
    }
  }

  @Test func anEditedMessageHasANewIdAndNamesItsDeadLetter() throws {
    let id = UUID()
    let patch = try JSONPatch(parsing: Array(#"[{"op":"replace","path":"/type","value":"b"}]"#.utf8))
    let event = item(
      MessageProperties(contentType: "application/cloudevents+json; charset=utf-8", messageID: "old"),
      body: Array(#"{"id":"old","type":"a"}"#.utf8), edited: id)
    let message = try DeadLetterRepublisher.message(event, own: own, edit: patch)
    #expect(String(decoding: message.body, as: UTF8.self) == #"{"id":"\#(id.uuidString.lowercased())","type":"b"}"#)
    #expect(message.properties.messageID == id.uuidString.lowercased())
    #expect(message.properties.headers["x-journey-caused-by"] == .string(event.deadLetterID.uuidString.lowercased()))
    // A vendor's own id is the vendor's affair, and so is one that the edit sets.
    let vendor = item(
      MessageProperties(contentType: "application/json"), body: Array(#"{"id":"evt_1","type":"a"}"#.utf8), edited: id)
    #expect(
      String(decoding: try DeadLetterRepublisher.message(vendor, own: own, edit: patch).body, as: UTF8.self)
        == #"{"id":"evt_1","type":"b"}"#)
    let ownID = try JSONPatch(parsing: Array(#"[{"op":"replace","path":"/id","value":"mine"}]"#.utf8))
    #expect(
      String(decoding: try DeadLetterRepublisher.message(event, own: own, edit: ownID).body, as: UTF8.self)
        == #"{"id":"mine","type":"a"}"#)
  }

  @Test func whatCannotBeSentIsSaid() throws {
    let patch = try JSONPatch(parsing: Array(#"[{"op":"replace","path":"/nothing","value":1}]"#.utf8))
    #expect(throws: ReplayRefusal.self) {
      try DeadLetterRepublisher.message(
        item(MessageProperties(), body: Array("{}".utf8), edited: UUID()), own: own, edit: patch)
    }
    #expect(throws: ReplayRefusal.self) {
      try DeadLetterRepublisher.message(item(MessageProperties(), body: [], bodySize: 99), own: own, edit: nil)
    }
    var broken = item(MessageProperties(), body: [])
    broken.message.headers = Array("{}".utf8)
    #expect(throws: ReplayRefusal.self) { try DeadLetterRepublisher.message(broken, own: own, edit: nil) }
  }
}
