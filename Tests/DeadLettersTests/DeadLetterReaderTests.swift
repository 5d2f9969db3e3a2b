import TestSupport
import DeadLetters
import AMQPClient
import FoundationEssentials
import Journey
import Testing

@testable import DeadLetters
@testable import JourneyAMQP

@Suite struct DeadLetterReaderTests {
  private let now = Timestamp(seconds: 1_763_600_000)

  /// A message as it lies in the dead letters' queue.
  private func deadLettered(_ message: OutboundMessage) -> Delivery {
    Delivery(
      tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.dead", routingKey: message.routingKey,
      isRedelivered: false,
      properties: message.properties, body: message.body)
  }

  private let own = OwnMessages(user: "adapter")

  private func read(_ delivery: Delivery) throws -> DeadLetter {
    try DeadLetterReader(decoder: decoder(), own: own).deadLetter(delivery, at: now)
  }

  @Test func whatTheAdapterDeadLetteredIsTheOriginalWithTheReason() throws {
    let properties = MessageProperties(
      contentType: "application/cloudevents+json",
      headers: ["x-source": "s", "CC": .array(["other"]), "blob": .bytes([0, 255])],
      isPersistent: false,
      expiration: "1000", messageID: "m", userID: "upstream")
    let original = delivery(event()).with(
      exchange: "journey.events", routingKey: "billing.invoice_overdue", properties: properties)
    let deadLetter = try read(
      deadLettered(
        DeadLetterMessage.message(
          for: original, reasons: [Rejection(.unknownType, field: "$.type", value: "x", "no rule")],
          exchange: "journey.dead", at: now)))
    #expect(deadLetter.message.exchange == "journey.events")
    #expect(deadLetter.message.routingKey == "billing.invoice_overdue")
    #expect(deadLetter.message.body == original.body)
    let restored = try #require(
      MessageEncoding.properties(deadLetter.message.properties, headers: deadLetter.message.headers))
    #expect(restored.headers.sorted { $0.name < $1.name } == properties.headers.sorted { $0.name < $1.name })
    var plain = restored
    plain.headers = properties.headers
    #expect(plain == properties)
    #expect(deadLetter.code == "unknown_type")
    #expect(deadLetter.field == "$.type")
    #expect(deadLetter.value == "x")
    #expect(deadLetter.attempts == 1)
    #expect(deadLetter.failedAt == now)
    #expect(deadLetter.source == "/billing/acme")
    #expect(deadLetter.type == "invoice_overdue")
    #expect(deadLetter.orgID == UUID(uuidString: org))
  }

  /// The same message, dead-lettered on different ways, is the same dead letter to the archive.
  @Test func howItCameThereDoesNotChangeTheMessage() throws {
    let original = delivery(event(), headers: ["a": 1])
    let straight = try read(
      deadLettered(DeadLetterMessage.message(for: original, reasons: [], exchange: "journey.dead", at: now)))
    var tried = original
    for tier in ["10s", "1m"] {
      let copy = RetryPolicy().message(
        for: tried, reasons: [Rejection(.unknownClient, "x")], tier: tier, names: MessagingNames(),
        at: Timestamp(seconds: 0))
      var properties = copy.properties
      properties.headers["x-death"] = .array([.table(["queue": .string(copy.routingKey), "reason": "expired"])])
      tried = MessageCopy.restored(
        Delivery(
          tag: original.tag, exchange: "journey.retry", routingKey: "journey.ingest", isRedelivered: false,
          properties: properties,
          body: copy.body), own: own)
    }
    let late = try read(
      deadLettered(DeadLetterMessage.message(for: tried, reasons: [], exchange: "journey.dead", at: now)))
    #expect(late.message == straight.message)
    #expect(late.attempts == 3)
    #expect(late.firstFailedAt == Timestamp(seconds: 0))
  }

  /// The broker sorts the headers of a message that it delivers again.
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
      "count": 1, "reason": .string(reason), "queue": "journey.ingest", "time": .timestamp(1_763_599_000),
      "exchange": "journey.actions",
      "routing-keys": .array(["email.x"]), "original-expiration": "500",
    ]
    let deadLetter = try read(
      Delivery(
        tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.dead", routingKey: "billing.x",
        isRedelivered: false,
        properties: MessageProperties(
          contentType: "application/cloudevents+json",
          headers: [
            "a": 1, "x-death": .array([.table(death)]), "x-first-death-reason": .string(reason), "x-delivery-count": 21,
          ]),
        body: Array(event().utf8)))
    #expect(deadLetter.code == reason)
    #expect(deadLetter.reason.contains("journey.ingest"))
    #expect(deadLetter.message.exchange == "journey.events")
    #expect(deadLetter.message.routingKey == "billing.x")
    #expect(deadLetter.failedAt == now)
    #expect(MessageEncoding.headers(deadLetter.message.headers) == ["a": 1])
    #expect(
      MessageEncoding.properties(deadLetter.message.properties, headers: deadLetter.message.headers)?.expiration
        == "500")
  }

  /// Dead letters are found by their code, through an index, which holds no text of any length.
  @Test func whatASenderGivesForAReasonIsCut() throws {
    let long = String(repeating: "e" + String(repeating: "\u{301}", count: 2000), count: 3)
    let deadLetter = try read(
      delivery(
        event(),
        headers: [
          "x-journey-reason-code": .string(long), "x-journey-reason": .string(long), "x-journey-field": .string(long),
          "x-journey-value": .string(long),
        ]))
    #expect((1...200).contains(deadLetter.code.utf8.count))
    for text in [deadLetter.reason, try #require(deadLetter.field), try #require(deadLetter.value)] {
      #expect((3900...4000).contains(text.utf8.count))
    }
    let table: FieldTable = ["reason": .string(long), "queue": .string(long)]
    let death = try read(delivery(event(), headers: ["x-death": .array([.table(table)])]))
    #expect(death.code.utf8.count <= 200 && death.reason.utf8.count <= 4000)
  }

  @Test func aSendersOwnReasonIsNotBelieved() throws {
    let deadLetter = try read(
      delivery(
        event(),
        headers: [
          "x-journey-reason-code": "refused_by_database", "x-journey-reason": "forged", "x-journey-field": "$.forged",
          "x-journey-value": "forged",
          "x-journey-exchange": "journey.actions", "x-journey-routing-key": "email.x", "x-journey-attempt": 9,
          "x-journey-replay": 7,
          "x-journey-caused-by": .string(UUID().uuidString),
          "x-journey-first-failure": "1999-01-01T00:00:00Z unknown_client",
          "x-journey-user-id": "another user",
          "x-death": .array([
            .table([
              "reason": "rejected", "queue": "journey.ingest", "exchange": "journey.actions",
              "routing-keys": .array(["email.x"]),
              "time": .timestamp(4_000_000_000),
            ]),
            .table(["reason": "expired", "queue": "journey.actions.email"]),
          ]),
        ]))
    #expect(deadLetter.code == "rejected" && deadLetter.reason.contains("rejected in journey.ingest"))
    #expect(!deadLetter.reason.contains("forged") && deadLetter.field == nil && deadLetter.value == nil)
    #expect(
      deadLetter.message.exchange == "journey.events" && deadLetter.message.routingKey == "billing.invoice_overdue")
    #expect(deadLetter.attempts == 1 && deadLetter.replayCount == 0 && deadLetter.causedBy == nil)
    #expect(deadLetter.firstFailedAt == now && deadLetter.failedAt == now)
    #expect(
      MessageEncoding.properties(deadLetter.message.properties, headers: deadLetter.message.headers)?.userID == nil)
  }

  @Test func aRetriedMessageThatTheBrokerGaveUpComesFromWhereItFirstCame() throws {
    let copy = own.signed(
      RetryPolicy().message(
        for: delivery(event()), reasons: [Rejection(.unknownClient, "x")], tier: "10s", names: MessagingNames(),
        at: Timestamp(seconds: 7)))
    var properties = copy.properties
    properties.headers["x-death"] = .array([
      .table([
        "reason": "delivery_limit", "queue": "journey.ingest", "exchange": "",
        "routing-keys": .array(["journey.ingest"]),
      ]),
      .table([
        "reason": "expired", "queue": "journey.retry.10s", "exchange": "",
        "routing-keys": .array(["journey.retry.10s"]),
      ]),
    ])
    let deadLetter = try read(
      Delivery(
        tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.dead", routingKey: "journey.ingest",
        isRedelivered: false,
        properties: properties,
        body: copy.body))
    #expect(deadLetter.code == "delivery_limit")
    #expect(deadLetter.message.exchange == "journey.events")
    #expect(deadLetter.message.routingKey == "billing.invoice_overdue")
    #expect(deadLetter.attempts == 2)
    #expect(deadLetter.firstFailedAt == Timestamp(seconds: 7))
  }

  @Test func whatNoTextColumnHoldsIsReplacedInTheColumnsAlone() throws {
    let deadLetter = try read(
      delivery(
        "\u{0}", contentType: "text/\u{0}", headers: ["x-source": "a\u{0}b", "x-journey-reason-code": "c\u{0}"],
        messageID: "m\u{0}"))
    for text in [deadLetter.source, deadLetter.code, deadLetter.message.messageID, deadLetter.message.contentType] {
      #expect(text?.utf8.contains(0) == false)
    }
    #expect(MessageEncoding.headers(deadLetter.message.headers)?["x-source"] == "a\u{0}b")
    #expect(deadLetter.message.body == [0])
  }

  @Test func vendorsAreKnownByTheirHeadersAndTheMappingsType() throws {
    let deadLetter = try read(
      delivery(
        #"{"type":"odd.thing"}"#, contentType: "application/json",
        headers: ["x-source": "stripe", "x-org-id": .string(org)]))
    #expect(deadLetter.source == "stripe")
    #expect(deadLetter.type == "odd.thing")
    #expect(deadLetter.orgID == UUID(uuidString: org))
    #expect(deadLetter.code == "unknown")
  }
}
