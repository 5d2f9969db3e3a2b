import FoundationEssentials
import Journey
import PostgresClient

/// The invoices of clients, one row per invoice, because a payment may arrive before the overdue notice.
struct InvoiceUpdates {
  struct Key: Hashable {
    var clientID: UUID
    var invoiceID: String

    // Compared by bytes, as in the database.
    static func == (a: Key, b: Key) -> Bool { a.clientID == b.clientID && a.invoiceID.hasSameBytes(as: b.invoiceID) }
  }

  /// The changes of a batch, merged per invoice, because a statement must not update a row twice.
  private(set) var changes: [Key: (orgID: UUID, state: InvoiceState)] = [:]

  var isEmpty: Bool { changes.isEmpty }
  var clients: [UUID] { Array(Set(changes.keys.map(\.clientID))) }

  mutating func record(_ incoming: IncomingEvent, clientID: UUID) {
    let id: String
    let state: InvoiceState
    switch incoming.signals.invoice {
    case .overdue(let invoice): (id, state) = (invoice, InvoiceState(overdueAt: incoming.event.occurredAt))
    case .settled(let invoice): (id, state) = (invoice, InvoiceState(settledAt: incoming.event.occurredAt))
    case nil: return
    }
    changes[Key(clientID: clientID, invoiceID: id), default: (incoming.event.orgID, InvoiceState())].state.merge(state)
  }

  func parameters() -> PostgresParameters {
    let rows = changes.sorted { ($0.key.clientID, $0.key.invoiceID) < ($1.key.clientID, $1.key.invoiceID) }
    return PostgresParameters {
      $0.uuids(rows) { $0.key.clientID }
      $0.uuids(rows) { $0.value.orgID }
      $0.texts(rows) { $0.key.invoiceID }
      $0.timestamptzs(rows) { $0.value.state.overdueAt?.microseconds }
      $0.timestamptzs(rows) { $0.value.state.settledAt?.microseconds }
    }
  }

  /// Merges as `InvoiceState.merge` does. LEAST ignores NULL.
  static let merge = PostgresStatement(
    name: "merge_invoices",
    """
    INSERT INTO journey_invoices AS v (client_id, org_id, invoice_id, overdue_at, settled_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[])
    ON CONFLICT (client_id, invoice_id) DO UPDATE
    SET overdue_at = LEAST(v.overdue_at, EXCLUDED.overdue_at), settled_at = LEAST(v.settled_at, EXCLUDED.settled_at)
    """)

  static let late = late("late_invoices", in: "journey_invoices")

  /// The late invoices of clients: a count of up to $2, and the $3 longest overdue with id and time.
  /// - Parameter invoices: a relation with one row per invoice.
  static func late(_ name: String, with: String = "", in invoices: String) -> PostgresStatement {
    PostgresStatement(
      name: name,
      """
      \(with) SELECT c.client_id, n.count, o.ids, o.times
      FROM unnest($1::uuid[]) AS c(client_id)
      CROSS JOIN LATERAL (
        SELECT count(*) AS count FROM (
          SELECT 1 FROM \(invoices) v
          WHERE v.client_id = c.client_id AND v.overdue_at IS NOT NULL AND v.settled_at IS NULL LIMIT $2::int4) AS counted
      ) n
      CROSS JOIN LATERAL (
        SELECT array_agg(invoice_id) AS ids, array_agg(overdue_at) AS times FROM (
          SELECT v.invoice_id, v.overdue_at FROM \(invoices) v
          WHERE v.client_id = c.client_id AND v.overdue_at IS NOT NULL AND v.settled_at IS NULL
          ORDER BY v.overdue_at, v.invoice_id LIMIT $3::int4) AS oldest
      ) o
      """)
  }

  static func lateParameters(_ clients: [UUID]) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(clients)
      $0.int4(Int32(LateInvoices.countLimit))
      $0.int4(Int32(LateInvoices.oldestLimit))
    }
  }

  static func late(_ result: PostgresResult) throws(PostgresError) -> [UUID: LateInvoices] {
    var late: [UUID: LateInvoices] = [:]
    for row in 0..<result.rowCount {
      var items: [LateInvoices.Item] = []
      if !result.isNull(row, 2) {
        for (id, time) in zip(try result.texts(row, 2), try result.timestamps(row, 3)) {
          if let id, let time { items.append(LateInvoices.Item(id: id, overdueAt: Timestamp(microseconds: time))) }
        }
      }
      late[try result.uuid(row, 0)] = LateInvoices(count: Int(try result.int64(row, 1)), oldest: items)
    }
    return late
  }
}
