import FoundationEssentials
import Journey
import PostgresClient

/// The clients' states according to their stored events, computed from all of them.
struct StoredReference {
  private(set) var assessments: [UUID: Assessment] = [:]
  private(set) var invoices: [UUID: [String: InvoiceState]] = [:]

  private static let events = PostgresStatement(
    name: "reference_events",
    """
    SELECT client_id, COALESCE(source, ''), COALESCE(source_event_id, id::text), event_type, stage, sets_stage, occurred_at, metadata::text,
      min_stage, acted_by
    FROM client_journey_events
    """)
  private static let contacts = PostgresStatement(
    name: "reference_contacts", "SELECT id, ai_score::float8, clock_timestamp() FROM contacts")

  /// - Parameter offset: added to the current time.
  init(_ rules: DecisionRules, at offset: TimeSpan, on connection: PostgresConnection) throws {
    let events = try connection.execute(Self.events, PostgresParameters())
    var summaries: [UUID: ClientSummary] = [:]
    for row in 0..<events.rowCount {
      let client = try events.uuid(row, 0)
      let stamp = EventStamp(
        at: Timestamp(microseconds: try events.timestamp(row, 6)), id: try events.text(row, 2),
        source: try events.text(row, 1))
      let stage = try events.bool(row, 5) ? Stage(rawValue: events.text(row, 4)) : nil
      let document = try JSONDocument(parsing: Array(try events.text(row, 7).utf8))
      let minStage = try events.textIfPresent(row, 8).flatMap { Stage(rawValue: $0) }
      let actor = try events.textIfPresent(row, 9).flatMap { Actor(rawValue: $0) }
      let signals = SignalReader(rules.signals).signals(
        type: try events.text(row, 3), stage: stage ?? minStage, actor: actor, sourceEventID: stamp.id,
        metadata: document.root)
      summaries[client, default: ClientSummary()].insert(stamp, stage: stage, minStage: minStage, signals: signals)
      switch signals.invoice {
      case .overdue(let id):
        invoices[client, default: [:]][id, default: InvoiceState()].merge(InvoiceState(overdueAt: stamp.at))
      case .settled(let id):
        invoices[client, default: [:]][id, default: InvoiceState()].merge(InvoiceState(settledAt: stamp.at))
      case nil: break
      }
    }
    let contacts = try connection.execute(Self.contacts, PostgresParameters())
    for row in 0..<contacts.rowCount {
      let client = try contacts.uuid(row, 0)
      guard var summary = summaries[client] else { continue }
      let late = (invoices[client] ?? [:]).filter(\.value.isLate).map {
        LateInvoices.Item(id: $0.key, overdueAt: $0.value.overdueAt!)
      }
      let oldest = late.sorted { ($0.overdueAt, $0.id) < ($1.overdueAt, $1.id) }.prefix(LateInvoices.oldestLimit)
      summary.lateInvoices = LateInvoices(count: min(late.count, LateInvoices.countLimit), oldest: Array(oldest))
      let now = Timestamp(microseconds: try contacts.timestamp(row, 2)) + offset
      assessments[client] = rules.assess(summary, aiScore: try contacts.doubleIfPresent(row, 1), at: now)
    }
  }
}
