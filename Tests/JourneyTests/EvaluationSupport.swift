import FoundationEssentials
import Journey

extension ClientSnapshot {
  static func test(
    aiScore: Double? = nil, summary: ClientSummary = ClientSummary(), actionHistory: ActionHistory = ActionHistory(),
    lateInvoices: LateInvoices? = nil,
    now: Timestamp = .present
  ) -> ClientSnapshot {
    ClientSnapshot(
      id: UUID(), orgID: UUID(), name: nil, email: nil, phone: nil, aiScore: aiScore, summary: summary,
      actionHistory: actionHistory,
      lateInvoices: lateInvoices, now: now)
  }
}

extension IncomingEvent {
  static func test(_ event: HistoryEvent) -> IncomingEvent {
    IncomingEvent(
      id: UUID(),
      event: JourneyEvent(
        orgID: UUID(), source: event.stamp.source, sourceEventID: event.stamp.id,
        client: ClientReference(externalID: "c"), type: "test",
        stage: event.stage, minStage: event.minStage, occurredAt: event.stamp.at, metadata: Array("{}".utf8)),
      signals: event.signals)
  }
}

/// A client after its new events were stored.
struct EvaluatedClient {
  var summary: ClientSummary
  var actionHistory: ActionHistory
  var evaluations: [Evaluation]
}

extension DecisionRules {
  func evaluated(_ client: ClientSnapshot, taking events: [IncomingEvent], random: inout some RandomNumberGenerator)
    -> EvaluatedClient
  {
    var client = client
    let evaluations = evaluate(&client, taking: events, random: &random)
    return EvaluatedClient(summary: client.summary, actionHistory: client.actionHistory, evaluations: evaluations)
  }
}

extension ActionHistory {
  /// The newest action of each kind.
  var last: [ActionKind: Entry] { Dictionary(entries.map { ($0.kind, $0) }) { $1 } }
}
