import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestSupport

@testable import TestSupport

/// Tests of events that name groups.
protocol GroupTesting: CommitTesting {}

extension GroupTesting {
  static var kept: String { "SELECT source_event_id FROM journey_group_events ORDER BY 1" }
  static var events: String { "SELECT source_event_id, client_id FROM client_journey_events ORDER BY 1" }

  func event(
    _ id: String, _ client: ClientReference, org: UUID = CommitFixture.org, type: String = "invoice_overdue",
    stage: Stage? = .billing, daysAgo: Int64 = 0, isBackfill: Bool = false
  ) -> IncomingEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let metadata = Array(#"{"invoiceId":"i1"}"#.utf8)
    let event = JourneyEvent(
      orgID: org, source: "crm", sourceEventID: id, client: client, type: type, stage: stage,
      occurredAt: now + .days(-daysAgo), metadata: metadata)
    let signals = SignalReader(SignalRules()).signals(
      type: type, stage: stage, actor: nil, sourceEventID: id, metadata: (try? JSONDocument(parsing: metadata))!.root)
    return IncomingEvent(
      id: UUID.v7(at: now, using: &random), event: event, signals: signals, isBackfill: isBackfill)
  }

  func ofGroup(_ id: String, _ group: String = "acme", daysAgo: Int64 = 0) -> IncomingEvent {
    event(id, ClientReference(group: group, linked: ["deal:\(group)"]), daysAgo: daysAgo)
  }

  func member(_ id: String, _ client: Int, of group: String = "acme") -> IncomingEvent {
    event(id, ClientReference(id: Self.clients[client], group: group), type: "note_added", stage: nil)
  }

  func own(_ group: String, _ client: Int?, _ other: PostgresWorker) async throws -> OwnerOutcome {
    try await GroupRepository(worker: other, actor: "test").setOwner(
      of: GroupKey(orgID: Self.org, source: "crm", groupID: group), to: client.map { Self.clients[$0].text },
      why: "test",
      isRehearsal: false)
  }
}
