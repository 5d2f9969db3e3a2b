import TestSupport
import AMQPClient
import FoundationEssentials
import Journey
import Testing

@testable import JourneyAMQP

@Suite struct DeadLetterTests {
  @Test func deadLetterKeepsTheMessageAndSaysWhy() {
    let original = delivery(
      "not json",
      headers: [
        "x-source": "stripe", "x-death": .array([]), "x-delivery-count": 3, "x-first-death-reason": "rejected",
      ],
      messageID: "m1")
    let deadLetter = DeadLetterMessage.message(
      for: original, reasons: [Rejection(.malformed, field: "body", value: "not json", "the body is not valid JSON")],
      exchange: "dead",
      at: Timestamp(seconds: 0))
    #expect(deadLetter.body == original.body)
    #expect(deadLetter.exchange == "dead")
    #expect(deadLetter.routingKey == original.routingKey)
    #expect(deadLetter.properties.messageID == "m1")
    #expect(deadLetter.properties.headers["x-source"] == "stripe")
    #expect(deadLetter.properties.headers["x-death"] == nil)
    #expect(deadLetter.properties.headers["x-delivery-count"] == nil)
    #expect(deadLetter.properties.headers["x-journey-reason"] == "body: the body is not valid JSON (value: not json)")
    #expect(deadLetter.properties.headers["x-journey-reason-code"] == "malformed")
    #expect(deadLetter.properties.headers["x-journey-exchange"] == "journey.events")
    #expect(deadLetter.properties.headers["x-journey-failed-at"] == "1970-01-01T00:00:00Z")
    #expect(deadLetter.isMandatory)
  }

  @Test func manyReasonsAreCutToAFrame() {
    let reasons = (0..<1000).map {
      Rejection(.unknownType, field: "element \($0), $.type", value: "x", "no rule takes this event type")
    }
    let deadLetter = DeadLetterMessage.message(
      for: delivery("[]"), reasons: reasons, exchange: "dead", at: Timestamp(seconds: 0))
    #expect((deadLetter.properties.headers["x-journey-reason"]?.stringValue?.utf8.count ?? .max) <= 4000)
  }
}

@Suite struct ActionEventTests {
  private func message() throws -> (ActionMessage, JSONDocument) {
    let rules = DecisionRules()
    var random = SystemRandomNumberGenerator()
    let event = JourneyEvent(
      orgID: UUID(uuidString: org)!, source: "/billing", sourceEventID: "e1", client: ClientReference(externalID: "c"),
      type: "invoice_overdue", stage: .billing, occurredAt: Timestamp(seconds: 1_763_500_000),
      metadata: Array("{}".utf8))
    var signals = Signals()
    signals.invoice = .overdue(id: "in_1")
    let incoming = IncomingEvent(id: UUID(), event: event, signals: signals, traceparent: "00-a-b-01")
    var client = ClientSnapshot(
      id: UUID(), orgID: event.orgID, name: "A \"quoted\" name", email: nil, phone: nil, aiScore: 42.5,
      summary: ClientSummary(),
      actionHistory: ActionHistory(),
      lateInvoices: LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: event.occurredAt)]),
      now: Timestamp(seconds: 1_763_600_000))
    let evaluation = try #require(rules.evaluate(&client, taking: [incoming], random: &random).first)
    var risks = JSONWriter(), recommended = JSONWriter()
    evaluation.assessment.writeRisks(into: &risks)
    evaluation.assessment.writeRecommendedActions(into: &recommended)
    let action = try #require(
      rules.action(of: evaluation, for: client, risks: risks.bytes, recommended: recommended.bytes))
    let message = ActionEvent.message(action)
    return (message, try JSONDocument(parsing: message.body))
  }

  @Test func isACloudEventWithTheWholeDecision() throws {
    let (message, document) = try message()
    let root = document.root
    #expect(root["specversion"]?.string == "1.0")
    #expect(root["type"]?.string == "journey.action.recommended.v1")
    #expect(root["id"]?.string == message.id.uuidString.lowercased())
    #expect(root["orgid"]?.string == org)
    #expect(root["traceparent"]?.string == "00-a-b-01")
    let data = try #require(root["data"])
    #expect(data["action"]?.string == "send_voice_message")
    #expect(data["channel"]?.string == "voice")
    #expect(data["priority"]?.string == "medium")
    #expect(data["riskLevel"]?.string == "MEDIUM")
    #expect(data["score"]?.double == 47.5)
    #expect(data["stage"]?.string == "billing")
    #expect(
      data["recommendedActions"].map { $0.elements.compactMap(\.string) } == ["send_voice_message", "email_outreach"])
    #expect(data["risks"]?[1]?["evidence"]?.string?.contains("in_1") == true)
    #expect(data["client"]?["name"]?.string == "A \"quoted\" name")
    #expect(data["client"]?["email"] == nil)
    #expect(data["causationId"]?.string == "e1")
    #expect(data["ruleVersion"]?.string == "unversioned")
    #expect(message.routingKey == "voice.send_voice_message.medium")
    #expect(message.timeToLive == .hours(72) && message.decidedAt == Timestamp(seconds: 1_763_600_000))
  }
}

@Suite struct TopologyTests {
  @Test func everyQueueIsAQuorumQueueAndIngestDeadLettersAtLeastOnce() throws {
    let topology = MessagingNames().topology
    #expect(topology.queues.allSatisfy { $0.isDurable && $0.arguments["x-queue-type"] == "quorum" })
    let ingest = try #require(topology.queues.first { $0.name == "journey.ingest" })
    #expect(ingest.arguments["x-delivery-limit"] == 20)
    #expect(ingest.arguments["x-dead-letter-exchange"] == "journey.dead")
    #expect(ingest.arguments["x-dead-letter-strategy"] == "at-least-once")
    #expect(ingest.arguments["x-overflow"] == "reject-publish")
  }

  @Test func retriesReturnToTheIngestQueueAlone() {
    let tiers = MessagingNames().topology.queues.filter { $0.name.hasPrefix("journey.retry.") }
    #expect(tiers.map(\.name) == ["journey.retry.10s", "journey.retry.1m", "journey.retry.10m", "journey.retry.1h"])
    #expect(
      tiers.allSatisfy {
        $0.arguments["x-dead-letter-exchange"] == "journey.retry"
          && $0.arguments["x-dead-letter-routing-key"] == "journey.ingest"
      })
  }
}
