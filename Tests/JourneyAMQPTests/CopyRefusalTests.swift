import TestSupport
import AMQPClient
import Journey
import Testing

@testable import JourneyAMQP

@Suite("Copies that are not taken") struct CopyRefusalTests {
  private static let delivery = Delivery(
    tag: DeliveryTag(generation: 1, value: 7), exchange: "journey.events", routingKey: "a.b", isRedelivered: false,
    properties: MessageProperties(), body: [])
  private static let lost = AMQPError(.connectionLost, operation: "publish", message: "10.0.0.1:5672")
  private static let refused = AMQPError(.accessRefused, operation: "publish", message: "refused for user 'u'")
  private static let large = AMQPError(.tooLarge, operation: "publish", message: "too large")

  @Test(arguments: [
    PublishOutcome.nacked, .returned(code: 312, text: "NO_ROUTE"), .failed(refused), .failed(large), .failed(lost),
    .unknown(lost),
  ])
  func whatIsPutOffIsKeptHoweverManyWait(_ outcome: PublishOutcome) {
    let item = RejectedDelivery(delivery: Self.delivery, reasons: [], tier: "10s")
    #expect(item.next(after: outcome, isCrowded: true) == .again)
    #expect(item.next(after: outcome, isCrowded: false) == .again)
  }

  @Test func aRetryWhoseQueueIsFullBecomesADeadLetterWhereManyWait() {
    var item = RejectedDelivery(
      delivery: Self.delivery, reasons: [Rejection(.unknownClient, "no such client")], tier: "10s")
    #expect(item.next(after: .nacked, isCrowded: false) == .again)
    #expect(item.next(after: .nacked, isCrowded: true) == .deadLetter)
    item.tier = nil
    #expect(item.next(after: .nacked, isCrowded: true) == .settle(.reject(Self.delivery.tag, requeue: false)))
  }

  @Test func aLostConnectionSaysNothingAboutTheExchange() {
    var refusals = CopyRefusals()
    for outcome in [PublishOutcome.unknown(Self.lost), .failed(Self.lost), .failed(Self.large), .unknown(Self.refused)]
    {
      #expect(refusals.record(outcome, by: "journey.retry", now: .now) == nil)
    }
    #expect(refusals.isEmpty)
  }

  @Test func aRefusalIsForgottenWhereNoneFollowsIt() {
    var refusals = CopyRefusals()
    let start = ContinuousClock.now
    let logged = refusals.record(.failed(Self.refused), by: "journey.retry", now: start)
    #expect(logged?.contains("user 'u'") == true)
    #expect(refusals.problem?.contains("journey.retry") == true && refusals.problem?.contains("user") == false)
    let later = start + .seconds(300)
    #expect(refusals.record(.nacked, by: "journey.retry", now: later) == nil)
    refusals.forget(now: start + CopyRefusals.memory)
    #expect(!refusals.isEmpty && refusals.nextForgotten == later + CopyRefusals.memory)
    refusals.forget(now: later + CopyRefusals.memory)
    #expect(refusals.isEmpty && refusals.problem == nil)
  }

  @Test func aCopyThatIsTakenEndsTheProblem() {
    var refusals = CopyRefusals()
    _ = refusals.record(.nacked, by: "journey.retry", now: .now)
    _ = refusals.record(.confirmed, by: "journey.dead", now: .now)
    #expect(!refusals.isEmpty)
    _ = refusals.record(.confirmed, by: "journey.retry", now: .now)
    #expect(refusals.isEmpty)
  }
}
