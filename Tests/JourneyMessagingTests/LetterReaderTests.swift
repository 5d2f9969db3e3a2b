import AMQPClient
import FoundationEssentials
import Journey
import JourneyPipeline
import Testing

@testable import JourneyMessaging

@Suite struct LetterReaderTests {
  private let now = Timestamp(seconds: 1_763_600_000)

  /// A message as it lies in the dead letters' queue.
  private func buried(_ message: OutboundMessage) -> Delivery {
    Delivery(
      tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.dead", routingKey: message.routingKey, isRedelivered: false,
      properties: message.properties, body: message.body)
  }

  private func read(_ delivery: Delivery) throws -> Letter { try LetterReader(decoder: decoder()).letter(delivery, at: now) }

  @Test func whatTheAdapterBuriedIsTheOriginalWithTheReason() throws {
    let properties = MessageProperties(
      contentType: "application/cloudevents+json", headers: ["x-source": "s", "CC": .array(["other"]), "blob": .bytes([0, 255])],
      isPersistent: false,
      expiration: "1000", messageID: "m", userID: "upstream")
    let original = delivery(event()).with(exchange: "journey.events", routingKey: "billing.invoice_overdue", properties: properties)
    let letter = try read(
      buried(
        DeadLetter.message(
          for: original, reasons: [Rejection(.unknownType, field: "$.type", value: "x", "no rule")], exchange: "journey.dead", at: now)))
    #expect(letter.message.exchange == "journey.events")
    #expect(letter.message.routingKey == "billing.invoice_overdue")
    #expect(letter.message.body == original.body)
    let restored = try #require(MessageEncoding.properties(letter.message.properties, headers: letter.message.headers))
    #expect(restored.headers.sorted { $0.name < $1.name } == properties.headers.sorted { $0.name < $1.name })
    var plain = restored
    plain.headers = properties.headers
    #expect(plain == properties)
    #expect(letter.code == "unknown_type")
    #expect(letter.field == "$.type")
    #expect(letter.value == "x")
    #expect(letter.attempts == 1)
    #expect(letter.failedAt == now)
    #expect(letter.source == "/billing/acme")
    #expect(letter.type == "invoice_overdue")
    #expect(letter.orgID == UUID(uuidString: org))
  }

  /// The same message, buried on different ways, is the same letter to the archive.
  @Test func howItCameThereDoesNotChangeTheMessage() throws {
    let original = delivery(event(), headers: ["a": 1])
    let straight = try read(buried(DeadLetter.message(for: original, reasons: [], exchange: "journey.dead", at: now)))
    var tried = original
    for tier in ["10s", "1m"] {
      let copy = RetryPolicy().message(
        for: tried, reasons: [Rejection(.unknownClient, "x")], tier: tier, names: MessagingNames(), at: Timestamp(seconds: 0))
      var properties = copy.properties
      properties.headers["x-death"] = .array([.table(["queue": .string(copy.routingKey), "reason": "expired"])])
      tried = MessageCopy.restored(
        Delivery(
          tag: original.tag, exchange: "journey.retry", routingKey: "journey.ingest", isRedelivered: false, properties: properties,
          body: copy.body), names: MessagingNames())
    }
    let late = try read(buried(DeadLetter.message(for: tried, reasons: [], exchange: "journey.dead", at: now)))
    #expect(late.message == straight.message)
    #expect(late.attempts == 3)
    #expect(late.firstFailedAt == Timestamp(seconds: 0))
  }

  /// The broker sorts the headers of a message that it hands out again.
  @Test func theOrderOfHeadersDoesNotChangeTheMessage() throws {
    let names = ["b", "c", "a", "b"]
    func table(_ order: [Int]) -> FieldTable { FieldTable(order.map { .init(names[$0], .int(Int64($0))) }) }
    let one = try read(delivery(event(), headers: table([0, 1, 2, 3])))
    let other = try read(delivery(event(), headers: table([2, 0, 3, 1])))
    #expect(one.message == other.message)
    #expect(MessageEncoding.headers(one.message.headers) == table([2, 0, 3, 1]))
  }

  @Test(arguments: ["delivery_limit", "expired", "rejected", "maxlen"])
  func whatTheBrokerGaveUpSaysSo(reason: String) throws {
    let death: FieldTable = [
      "count": 1, "reason": .string(reason), "queue": "journey.ingest", "time": .timestamp(1_763_599_000), "exchange": "journey.events",
      "routing-keys": .array(["billing.x"]), "original-expiration": "500",
    ]
    let letter = try read(
      Delivery(
        tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.dead", routingKey: "billing.x", isRedelivered: false,
        properties: MessageProperties(
          contentType: "application/cloudevents+json",
          headers: ["a": 1, "x-death": .array([.table(death)]), "x-first-death-reason": .string(reason), "x-delivery-count": 21]),
        body: Array(event().utf8)))
    #expect(letter.code == reason)
    #expect(letter.reason.contains("journey.ingest"))
    #expect(letter.message.exchange == "journey.events")
    #expect(letter.message.routingKey == "billing.x")
    #expect(letter.failedAt == Timestamp(seconds: 1_763_599_000))
    #expect(MessageEncoding.headers(letter.message.headers) == ["a": 1])
    #expect(MessageEncoding.properties(letter.message.properties, headers: letter.message.headers)?.expiration == "500")
  }

  @Test func aSendersOwnReasonIsNotBelieved() throws {
    let letter = try read(
      delivery(
        event(),
        headers: [
          "x-journey-reason-code": "refused_by_database", "x-journey-reason": "forged", "x-journey-field": "$.forged", "x-journey-value": "forged",
          "x-death": .array([.table(["reason": "rejected", "queue": "journey.ingest"])]),
        ]))
    #expect(letter.code == "rejected")
    #expect(!letter.reason.contains("forged") && letter.field == nil && letter.value == nil)
  }

  @Test func aRetriedMessageThatTheBrokerGaveUpComesFromWhereItFirstCame() throws {
    let copy = RetryPolicy().message(
      for: delivery(event()), reasons: [Rejection(.unknownClient, "x")], tier: "10s", names: MessagingNames(), at: Timestamp(seconds: 7))
    var properties = copy.properties
    properties.headers["x-death"] = .array([
      .table(["reason": "delivery_limit", "queue": "journey.ingest", "exchange": "", "routing-keys": .array(["journey.ingest"])]),
      .table(["reason": "expired", "queue": "journey.retry.10s", "exchange": "", "routing-keys": .array(["journey.retry.10s"])]),
    ])
    let letter = try read(
      Delivery(
        tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.dead", routingKey: "journey.ingest", isRedelivered: false,
        properties: properties,
        body: copy.body))
    #expect(letter.code == "delivery_limit")
    #expect(letter.message.exchange == "journey.events")
    #expect(letter.message.routingKey == "billing.invoice_overdue")
    #expect(letter.attempts == 2)
    #expect(letter.firstFailedAt == Timestamp(seconds: 7))
  }

  @Test func whatNoTextColumnHoldsIsReplacedInTheColumnsAlone() throws {
    let letter = try read(
      delivery(
        "\u{0}", contentType: "text/\u{0}", headers: ["x-source": "a\u{0}b", "x-journey-reason-code": "c\u{0}"], messageID: "m\u{0}"))
    for text in [letter.source, letter.code, letter.message.messageID, letter.message.contentType] {
      #expect(text?.utf8.contains(0) == false)
    }
    #expect(MessageEncoding.headers(letter.message.headers)?["x-source"] == "a\u{0}b")
    #expect(letter.message.body == [0])
  }

  @Test func vendorsAreKnownByTheirHeadersAndTheMappingsType() throws {
    let letter = try read(
      delivery(#"{"type":"odd.thing"}"#, contentType: "application/json", headers: ["x-source": "stripe", "x-org-id": .string(org)]))
    #expect(letter.source == "stripe")
    #expect(letter.type == "odd.thing")
    #expect(letter.orgID == UUID(uuidString: org))
    #expect(letter.code == "unknown")
  }
}

@Suite struct LetterRepublisherTests {
  private func item(
    _ properties: MessageProperties, body: [UInt8], edited: UUID? = nil, causedBy: UUID? = nil, bodySize: Int? = nil
  ) -> ReplayItem {
    let message = OriginalMessage(
      exchange: "journey.events", routingKey: "a.b", messageID: properties.messageID, contentType: properties.contentType,
      properties: MessageEncoding.json(properties), headers: MessageEncoding.json(properties.headers), body: body,
      bodySize: bodySize ?? body.count)
    return ReplayItem(letterID: UUID(), message: message, replayCount: 3, editedID: edited, causedBy: causedBy)
  }

  @Test func aReplayIsTheOriginalButForWhatWouldGetInItsWay() throws {
    let properties = MessageProperties(
      contentType: "application/json",
      headers: ["x-source": "stripe", "CC": .array(["other"]), "x-death": .array([]), "x-journey-attempt": 4],
      isPersistent: false, priority: 5, expiration: "1", messageID: "m", timestamp: 9, userID: "upstream", appID: "a")
    let cause = UUID()
    let message = try LetterRepublisher.message(item(properties, body: [1, 2], causedBy: cause), edit: nil)
    #expect(message.exchange == "journey.events")
    #expect(message.routingKey == "a.b")
    #expect(message.body == [1, 2])
    #expect(message.isMandatory)
    var expected = properties
    expected.headers = ["x-source": "stripe", "x-journey-replay": 3, "x-journey-caused-by": .string(cause.uuidString.lowercased())]
    expected.expiration = nil
    expected.userID = nil
    expected.isPersistent = true
    #expect(message.properties == expected)
  }

  @Test func anEditedMessageHasANewIdAndNamesItsLetter() throws {
    let id = UUID()
    let patch = try JSONPatch(parsing: Array(#"[{"op":"replace","path":"/type","value":"b"}]"#.utf8))
    let event = item(
      MessageProperties(contentType: "application/cloudevents+json; charset=utf-8", messageID: "old"),
      body: Array(#"{"id":"old","type":"a"}"#.utf8), edited: id)
    let message = try LetterRepublisher.message(event, edit: patch)
    #expect(String(decoding: message.body, as: UTF8.self) == #"{"id":"\#(id.uuidString.lowercased())","type":"b"}"#)
    #expect(message.properties.messageID == id.uuidString.lowercased())
    #expect(message.properties.headers["x-journey-caused-by"] == .string(event.letterID.uuidString.lowercased()))
    // A vendor's own id is the vendor's affair, and so is one that the edit sets.
    let vendor = item(MessageProperties(contentType: "application/json"), body: Array(#"{"id":"evt_1","type":"a"}"#.utf8), edited: id)
    #expect(String(decoding: try LetterRepublisher.message(vendor, edit: patch).body, as: UTF8.self) == #"{"id":"evt_1","type":"b"}"#)
    let own = try JSONPatch(parsing: Array(#"[{"op":"replace","path":"/id","value":"mine"}]"#.utf8))
    #expect(String(decoding: try LetterRepublisher.message(event, edit: own).body, as: UTF8.self) == #"{"id":"mine","type":"a"}"#)
  }

  @Test func whatCannotBeSentIsSaid() throws {
    let patch = try JSONPatch(parsing: Array(#"[{"op":"replace","path":"/nothing","value":1}]"#.utf8))
    #expect(throws: ReplayRefusal.self) {
      try LetterRepublisher.message(item(MessageProperties(), body: Array("{}".utf8), edited: UUID()), edit: patch)
    }
    #expect(throws: ReplayRefusal.self) { try LetterRepublisher.message(item(MessageProperties(), body: [], bodySize: 99), edit: nil) }
    var broken = item(MessageProperties(), body: [])
    broken.message.headers = Array("{}".utf8)
    #expect(throws: ReplayRefusal.self) { try LetterRepublisher.message(broken, edit: nil) }
  }
}
