import FoundationEssentials
import Journey
import PostgresClient

/// Rebuilds the summary of a client from its stored events: for a new client, whose events the host application may
/// have written, or if the stored summary has another version.
///
/// It reads only the newest events of each kind that a summary contains, through indexes. The cost does not grow with
/// the history.
struct SummaryRebuild {
  let signals: SignalReader
  /// The newest events of the clients $1.
  ///
  /// The event types are literals in its text, because only then can the planner use the partial index on the signals.
  let newest: PostgresStatement
  /// Makes the invoices of the clients $1 match their stored events. Writes only rows that differ.
  let invoices: PostgresStatement
  /// The late invoices of the clients $1 according to their stored events, in the format of `InvoiceUpdates.late`.
  /// Changes nothing.
  let late: PostgresStatement

  /// The channels that events of a type block.
  private let unsubscribes: [String: Channel]

  init(_ rules: DecisionRules) {
    self.init(signals: rules.signals, unsubscribes: rules.actions.contact?.unsubscribes ?? [:])
  }

  init(signals: SignalRules, unsubscribes: [String: Channel] = [:]) {
    self.unsubscribes = unsubscribes
    self.signals = SignalReader(signals)
    (invoices, late) = Self.invoices(signals)
    let branches =
      [
        Self.select("TRUE", limit: ClientSummary.recentLimit), Self.select("sets_stage", limit: 1), Self.own,
      ]
      // Of the events that raise to a stage the newest is enough. The index finds it, or that there is none.
      + Stage.allCases.map { Self.select("min_stage = '\($0.rawValue)'", limit: 1) }
      + Self.select(eachOf: signals.ticketOpened, limit: ClientSummary.keptTickets)
      + Self.select(eachOf: signals.usage.filter { $0.value != nil }.keys, limit: 1)
      // A report without a usage figure carries no signal, so the report before it counts.
      + Self.select(
        eachOf: signals.usage.filter { $0.value == nil }.keys, "jsonb_typeof(metadata->'usage') = 'number'", limit: 1)
      + Self.select(eachOf: signals.progressAdvanced.union(signals.progressDelayed), limit: 1)
      + Self.select(
        eachOf: ["invoice_overdue"],
        "(\(HostValues.text("stage")) = 'billing' AND sets_stage OR min_stage = 'billing')", limit: 1)
      + Self.select(eachOf: unsubscribes.keys, limit: 1)
    newest = PostgresStatement(
      name: "newest_events",
      """
      SELECT c.client_id, e.source, e.source_event_id, e.event_type, e.stage, e.sets_stage, e.occurred_at, e.metadata,
        e.min_stage, e.acted_by, e.id
      FROM unnest($1::uuid[]) AS c(client_id)
      CROSS JOIN LATERAL (
        \(branches.map { "(\($0))" }.joined(separator: "\n  UNION ALL "))
      ) e
      """)
  }

  private static let type = HostValues.text("event_type")

  private static let columns = """
    COALESCE(source, '') AS source, COALESCE(source_event_id, id::text) AS source_event_id, \(type) AS event_type,
      \(HostValues.text("stage")) AS stage, sets_stage, occurred_at, metadata, min_stage, acted_by, id
    """
  private static let ofClient =
    "h.client_id = c.client_id AND h.voided_at IS NULL AND h.occurred_at BETWEEN '0001-01-01' AND '9999-12-31'"

  /// With ties: `EventStamp` decides which of several events with the same time is the newest.
  private static func select(_ condition: String, limit: Int) -> String {
    """
    SELECT \(columns) FROM client_journey_events h
    WHERE \(ofClient) AND \(condition)
    ORDER BY h.occurred_at DESC FETCH FIRST \(limit) ROWS WITH TIES
    """
  }

  /// The newest events in which the client itself acted, among the 1,000 newest: a client of whom only automatic events
  /// come does not have its whole history read.
  private static let own = """
    SELECT * FROM (
      SELECT \(columns) FROM client_journey_events h WHERE \(ofClient) ORDER BY h.occurred_at DESC FETCH FIRST 1000 ROWS WITH TIES) h
    WHERE \(isOwn)
    ORDER BY h.occurred_at DESC FETCH FIRST \(ClientSummary.recentLimit) ROWS WITH TIES
    """

  /// Whether the client itself acted, as `SignalReader` decides it.
  private static let isOwn: String = {
    let others = EventTypes.types(by: .us) + EventTypes.types(by: .system)
    return "(acted_by = 'client' OR acted_by IS NULL AND NOT (\(isOne(of: others))))"
  }()

  /// One query per type. The index on the signals returns the newest events of one type first; for several types the
  /// server would read and sort all of them.
  private static func select(eachOf types: some Sequence<String>, _ condition: String = "TRUE", limit: Int) -> [String]
  {
    types.sorted().map { select("\(type) = \(literal($0)) AND \(condition)", limit: limit) }
  }

  private static func literal(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
  }

  private static func isOne(of types: some Sequence<String>) -> String {
    let list = types.sorted().map(literal)
    return list.isEmpty ? "FALSE" : "\(type) IN (\(list.joined(separator: ", ")))"
  }

  func summaries(_ result: PostgresResult) throws(PostgresError) -> [UUID: ClientSummary] {
    var summaries: [UUID: ClientSummary] = [:]
    for row in 0..<result.rowCount {
      let stage = try result.bool(row, 5) ? Stage(rawValue: result.text(row, 4)) : nil
      let type = try result.text(row, 3)
      let minStage = try result.textIfPresent(row, 8).flatMap { Stage(rawValue: $0) }
      let actor = try result.textIfPresent(row, 9).flatMap { Actor(rawValue: $0) }
      let stamp = EventStamp(
        at: Timestamp(microseconds: try result.timestamp(row, 6)), id: try result.text(row, 2),
        source: try result.text(row, 1))
      let found = try metadata(result.jsonIfPresent(row, 7)).map { metadata in
        signals.signals(
          type: type, stage: stage ?? minStage, actor: actor, sourceEventID: stamp.id, metadata: metadata)
      }
      summaries[try result.uuid(row, 0), default: ClientSummary()]
        .insert(stamp, stage: stage, minStage: minStage, signals: found ?? Signals())
    }
    return summaries
  }

  /// The channels that stored events block.
  func blocks(_ result: PostgresResult) throws(PostgresError) -> [UUID: [ActionHistory.Block]] {
    var blocks: [UUID: [ActionHistory.Block]] = [:]
    guard !unsubscribes.isEmpty else { return blocks }
    for row in 0..<result.rowCount {
      guard let channel = unsubscribes[try result.text(row, 3)] else { continue }
      blocks[try result.uuid(row, 0), default: []].append(
        ActionHistory.Block(
          channel: channel, cause: .event, id: try result.uuid(row, 10),
          at: Timestamp(microseconds: try result.timestamp(row, 6))))
    }
    return blocks
  }

  private func metadata(_ bytes: [UInt8]?) -> JSONValue? {
    (try? JSONDocument(parsing: bytes ?? Array("{}".utf8)))?.root
  }

  private static func invoices(_ signals: SignalRules) -> (recorded: PostgresStatement, late: PostgresStatement) {
    let overdue = isOne(of: signals.invoiceOverdue), settled = isOne(of: signals.invoiceSettled)
    let reported = """
      WITH reported AS MATERIALIZED (
        SELECT e.client_id, e.org_id, COALESCE(n.id, 'event:' || COALESCE(e.source_event_id, e.id::text)) COLLATE "C" AS invoice_id,
          min(e.occurred_at) FILTER (WHERE \(overdue)) AS overdue_at, min(e.occurred_at) FILTER (WHERE \(settled)) AS settled_at
        FROM client_journey_events e
        CROSS JOIN LATERAL (
          SELECT CASE WHEN jsonb_typeof(e.metadata->'invoiceId') IN ('string', 'number')
            AND octet_length(e.metadata->>'invoiceId') BETWEEN 1 AND \(SignalReader.maxInvoiceIDLength) THEN e.metadata->>'invoiceId' END AS id) n
        WHERE e.client_id = ANY($1::uuid[]) AND e.voided_at IS NULL AND e.occurred_at BETWEEN '0001-01-01' AND '9999-12-31'
          AND ((\(overdue)) OR (\(settled)) AND n.id IS NOT NULL)
        GROUP BY 1, 2, 3
      )
      """
    let recorded = PostgresStatement(
      name: "history_invoices",
      """
      \(reported), gone AS (
        DELETE FROM journey_invoices v
        WHERE v.client_id = ANY($1::uuid[])
          AND NOT EXISTS (SELECT FROM reported t WHERE t.client_id = v.client_id AND t.invoice_id = v.invoice_id)
      )
      INSERT INTO journey_invoices (client_id, org_id, invoice_id, overdue_at, settled_at)
      SELECT t.client_id, t.org_id, t.invoice_id, t.overdue_at, t.settled_at
      FROM reported t LEFT JOIN journey_invoices v ON v.client_id = t.client_id AND v.invoice_id = t.invoice_id
      WHERE v.client_id IS NULL OR (v.overdue_at, v.settled_at) IS DISTINCT FROM (t.overdue_at, t.settled_at)
      ORDER BY 1, 3
      ON CONFLICT (client_id, invoice_id) DO UPDATE SET overdue_at = EXCLUDED.overdue_at, settled_at = EXCLUDED.settled_at
      """)
    return (recorded, InvoiceUpdates.late("history_late_invoices", with: reported, in: "reported"))
  }
}
