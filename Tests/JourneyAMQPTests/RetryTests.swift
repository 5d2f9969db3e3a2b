import TestSupport
import AMQPClient
import FoundationEssentials
import Journey
import Testing

@testable import JourneyAMQP

private let unknownClient = Rejection(.unknownClient, field: "client", value: "c-1", "no such client")
private let malformed = Rejection(.malformed, field: "body", "not valid JSON")

@Suite struct RetryPolicyTests {
  @Test func goesThroughTheTiersInOrderAndThenGivesUp() {
    let policy = RetryPolicy()
    #expect((0...5).map { policy.tier(for: [unknownClient], attempts: $0) } == ["10s", "1m", "10m", "1h", nil, nil])
    let twice = RetryPolicy(tiers: ["1m", "1h"], attemptsPerTier: 2)
    #expect((0...4).map { twice.tier(for: [unknownClient], attempts: $0) } == ["1m", "1m", "1h", "1h", nil])
  }

  @Test func onlyWhatMayHealIsTriedAgain() {
    #expect(RetryPolicy().tier(for: [malformed], attempts: 0) == nil)
    #expect(RetryPolicy().tier(for: [malformed, unknownClient], attempts: 0) == "10s")
    #expect(RetryPolicy.never.tier(for: [unknownClient], attempts: 0) == nil)
    #expect(RetryPolicy(tiers: []).tier(for: [unknownClient], attempts: 0) == nil)
  }

  @Test func theCopyWaitsInItsTierAndTellsHowItWent() {
    let first = RetryPolicy().message(
      for: delivery("{}"), reasons: [malformed, unknownClient], tier: "10s", names: MessagingNames(),
      at: Timestamp(seconds: 0))
    #expect(first.exchange == "journey.retry")
    #expect(first.routingKey == "10s")
    #expect(first.isMandatory)
    #expect(first.properties.headers["x-journey-attempt"] == 1)
    #expect(first.properties.headers["x-journey-first-failure"] == "1970-01-01T00:00:00Z unknown_client")
    let second = RetryPolicy().message(
      for: returned(first), reasons: [unknownClient], tier: "1m", names: MessagingNames(), at: Timestamp(seconds: 60))
    #expect(second.properties.headers["x-journey-attempt"] == 2)
    #expect(second.properties.headers["x-journey-first-failure"] == "1970-01-01T00:00:00Z unknown_client")
    #expect(second.properties.headers["x-journey-last-failure"] == "1970-01-01T00:01:00Z unknown_client")
    #expect(second.properties.headers["x-journey-exchange"] == "journey.events")
  }

  /// As the broker gives a copy back after its time, and the ingest queue takes it in.
  private func returned(_ message: OutboundMessage, through exchange: String = "journey.retry") -> Delivery {
    var properties = message.properties
    properties.headers["x-death"] = .array([.table(["queue": "journey.retry.10s", "reason": "expired", "count": 1])])
    properties.headers["x-first-death-queue"] = "journey.retry.10s"
    properties.headers["x-last-death-reason"] = "expired"
    let delivery = Delivery(
      tag: DeliveryTag(generation: 1, value: 2), exchange: exchange, routingKey: "journey.ingest", isRedelivered: false,
      properties: properties,
      body: message.body)
    return MessageCopy.restored(delivery, own: OwnMessages(user: "adapter"))
  }

  @Test func whatComesBackLooksAsItFirstCame() {
    let properties = MessageProperties(
      contentType: "application/json",
      headers: ["x-source": "stripe", "CC": .array(["journey.actions.email"]), "n": 1],
      isPersistent: false, priority: 3,
      expiration: "60000", messageID: "m", timestamp: 5, userID: "upstream")
    let original = delivery("{}").with(exchange: "journey.events", routingKey: "a.b", properties: properties)
    let copy = RetryPolicy().message(
      for: original, reasons: [unknownClient], tier: "10s", names: MessagingNames(), at: Timestamp(seconds: 0))
    // What would route it elsewhere, let it die early, have it refused or lose it on a restart is set aside.
    #expect(copy.properties.headers["CC"] == nil)
    #expect(copy.properties.expiration == nil)
    #expect(copy.properties.userID == nil)
    #expect(copy.properties.isPersistent)
    let back = returned(copy)
    #expect(back.exchange == "journey.events")
    #expect(back.routingKey == "a.b")
    var restored = back.properties
    let own = restored.headers.fields.filter { $0.name.hasPrefix("x-journey-") }.map(\.name)
    #expect(own == ["x-journey-attempt", "x-journey-first-failure", "x-journey-last-failure"])
    for name in own { restored.headers[name] = nil }
    #expect(restored.headers.sorted { $0.name < $1.name } == properties.headers.sorted { $0.name < $1.name })
    restored.headers = properties.headers
    #expect(restored == properties)
  }

  /// Retry queues of earlier versions return unsigned copies through the default exchange: their attempts count, so
  /// that none goes round for ever, but nobody vouches for the publisher that they name.
  @Test func unsignedCopiesOfOldRetryQueuesKeepTheirAttempts() {
    let original = delivery("{}").with(
      exchange: "journey.events", routingKey: "a.b",
      properties: MessageProperties(headers: ["x-source": "stripe"], userID: "upstream"))
    let copy = RetryPolicy().message(
      for: original, reasons: [unknownClient], tier: "10s", names: MessagingNames(), at: Timestamp(seconds: 0))
    let back = returned(copy, through: "")
    #expect(back.exchange == "journey.events" && back.routingKey == "a.b")
    #expect(AttemptRecord(back.properties.headers).attempts == 1)
    #expect(back.properties.userID == nil)
    #expect(returned(copy).properties.userID == "upstream")
  }

  /// Instances may log in as different users, and a login is exchanged now and then.
  @Test func otherUsersOfTheAdapterAreItsOwn() {
    let own = OwnMessages(user: "new", others: ["old"])
    for (user, isOwn) in [("new", true), ("old", true), ("upstream", false)] {
      let message = delivery("{}").with(
        exchange: "", routingKey: "journey.ingest", properties: MessageProperties(userID: user))
      #expect((own.isReturned(message) == .own) == isOwn)
      #expect(PublisherPolicy(ownUser: "new", otherOwnUsers: ["old"]).isOwn(user) == isOwn)
    }
  }

  @Test func strangersCannotSpeakForTheAdapter() {
    let forged: FieldTable = [
      "x-journey-attempt": 99, "x-journey-exchange": "journey.actions", "x-journey-routing-key": "email.x",
      "x-journey-reason-code": "x",
      "x-death": .array([]),
      "x-journey-replay": 2, "x-journey-caused-by": "y", "x-source": "stripe",
    ]
    // A publisher may choose the routing key; and where it may write to the default exchange, the way back of old retry
    // queues.
    for (exchange, key) in [
      ("journey.events", "billing.x"), ("journey.events", "journey.ingest"), ("", "journey.ingest"),
    ] {
      let arrived = delivery("{}", headers: forged).with(
        exchange: exchange, routingKey: key, properties: MessageProperties(headers: forged, userID: "upstream"))
      let taken = MessageCopy.restored(arrived, own: OwnMessages(user: "adapter"))
      #expect(taken.exchange == exchange && taken.routingKey == key)
      #expect(taken.properties.headers.fields.map(\.name).sorted() == ["x-source"])
      #expect(
        RetryPolicy().tier(for: [unknownClient], attempts: AttemptRecord(taken.properties.headers).attempts) == "10s")
    }
  }
}
