import FoundationEssentials
import Journey

extension ClientSnapshot {
  static func test(
    aiScore: Double? = nil, summary: ClientSummary = ClientSummary(), outreach: Outreach = Outreach(),
    lateInvoices: LateInvoices? = nil,
    now: Timestamp = .present
  ) -> ClientSnapshot {
    ClientSnapshot(
      id: UUID(), orgID: UUID(), name: nil, email: nil, phone: nil, aiScore: aiScore, summary: summary,
      outreach: outreach,
      lateInvoices: lateInvoices, now: now)
  }
}

extension StagedEvent {
  static func test(_ event: HistoryEvent) -> StagedEvent {
    StagedEvent(
      id: UUID(),
      event: JourneyEvent(
        orgID: UUID(), source: event.stamp.source, sourceEventID: event.stamp.id,
        client: ClientReference(externalID: "c"), type: "test",
        stage: event.stage, occurredAt: event.stamp.at, metadata: Array("{}".utf8)),
      signals: event.signals)
  }
}

/// A client after its new events were taken in.
struct EvaluatedClient {
  var summary: ClientSummary
  var outreach: Outreach
  var evaluations: [Evaluation]
}

extension DecisionRules {
  func evaluated(_ client: ClientSnapshot, taking events: [StagedEvent], random: inout some RandomNumberGenerator)
    -> EvaluatedClient
  {
    var client = client
    let evaluations = evaluate(&client, taking: events, random: &random)
    return EvaluatedClient(summary: client.summary, outreach: client.outreach, evaluations: evaluations)
  }
}
