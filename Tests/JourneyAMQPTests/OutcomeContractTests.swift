import AMQPClient
import Foundation
import Journey
import Testing

@testable import JourneyAMQP
@testable import TestSupport

/// Outcomes as contracts/ describes them, and what the broker makes of actions that no worker runs.
@Suite struct OutcomeContractTests {
  private func example(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(filePath: "\(Repository.root)/contracts/examples/\(name).json")))
  }

  private func delivery(_ body: [UInt8], _ properties: MessageProperties) -> Delivery {
    Delivery(
      tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.outcomes", routingKey: "email.x",
      isRedelivered: false, properties: properties, body: body, problem: nil)
  }

  /// Of the day of the examples.
  private static let clock = {
    var clock = FixedClock()
    clock.time = Timestamp(seconds: 1_795_200_000)
    return clock
  }()

  private func decode(
    _ body: [UInt8], _ properties: MessageProperties
  ) throws -> (events: [IncomingEvent], rejections: [Rejection]) {
    try decoder(publishers: PublisherPolicy(ownUser: "journey"), clock: Self.clock).decode(delivery(body, properties))
  }

  private func decode(_ name: String) throws -> (events: [IncomingEvent], rejections: [Rejection]) {
    let properties = MessageProperties(contentType: "application/cloudevents+json", userID: "mailer")
    return try decode(try example(name), properties)
  }

  @Test func theExamplesAreTaken() throws {
    for outcome in ["delivered", "bounced", "snoozed"] {
      let decoded = try decode("outcome.\(outcome)")
      let report = try #require(decoded.events.first?.report, "\(decoded.rejections.map(\.description))")
      #expect(report.outcome.rawValue == outcome && report.reporter == "worker:mailer")
      #expect(report.actionID.text == "0193a6f2-1111-7000-8000-000000000001" && report.orgID != nil)
      #expect((report.until != nil) == (outcome == "snoozed") && (report.detail != nil) == (outcome == "bounced"))
    }
    for name in ["snoozed-without-until", "unknown"] {
      let decoded = try decode("invalid/outcome.\(name)")
      #expect(decoded.events.isEmpty && decoded.rejections.count == 1, "\(name)")
    }
  }

  @Test func aDeadLetteredActionFails() throws {
    let forwarding = OutcomeForwarding(
      names: MessagingNames(), own: OwnMessages(user: "journey"), clock: Self.clock)
    func forward(
      _ reason: String, _ body: [UInt8], type: String = ActionEvent.type, by user: String = "journey"
    ) -> OutboundMessage? {
      let death: FieldTable = ["queue": "journey.actions.email", "reason": .string(reason)]
      let properties = MessageProperties(
        headers: ["x-death": .array([.table(death)])], messageID: "m", type: type, userID: user)
      return forwarding.message(for: delivery(body, properties))
    }
    let action = try example("action.email")
    for reason in ["rejected", "delivery_limit"] {
      let message = try #require(forward(reason, action))
      #expect(message.exchange == "journey.retry" && message.routingKey == "journey.ingest")
      let decoded = try decode(message.body, message.properties)
      let report = try #require(decoded.events.first?.report, "\(decoded.rejections.map(\.description))")
      #expect(report.outcome == .failed && report.reporter == "journey" && report.detail?.contains(reason) == true)
    }
    #expect(forward("expired", action) == nil, "the adapter's timer says it")
    #expect(forward("rejected", try example("revoked.invoice-paid"), type: RevocationEvent.type) == nil)
    // Anybody who may write to the queue can claim that an action failed: that is no report of the adapter's own.
    let forged = try #require(forward("rejected", action, by: "mallory"))
    #expect(forged.body == action && forged.properties.type == ActionEvent.type)
    // What cannot be read is not lost: it becomes a dead letter.
    #expect(forward("rejected", Array("{".utf8))?.body == Array("{".utf8))
  }
}
