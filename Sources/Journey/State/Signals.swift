/// What an event says beyond its stage, in the few kinds that the decision knows.
///
/// Signals are a function of the canonical event type and its metadata alone, so they can always be derived again
/// from a stored event.
public struct Signals: Hashable, Sendable {
  public enum Invoice: Hashable, Sendable {
    case overdue(id: String)
    case settled(id: String)
  }
  public enum Progress: UInt8, Hashable, Sendable {
    case advanced = 0
    case delayed = 1
  }

  /// The client's mood was negative.
  public var isNegative = false
  public var isTicketOpened = false
  public var invoice: Invoice?
  public var progress: Progress?
  /// How much of what it pays for the client uses, in percent.
  public var usage: Double?
  /// The seed's own test for a late invoice: an `invoice_overdue` in the stage `billing`, whatever follows it.
  public var isOverdueNotice = false

  public init() {}
}

/// Which canonical event types carry which signal. Source: `signals` in `config/decisions.yaml`.
public struct SignalRules: Hashable, Sendable {
  public var ticketOpened: Set<String> = ["ticket_opened"]
  public var invoiceOverdue: Set<String> = ["invoice_overdue"]
  public var invoiceSettled: Set<String> = ["invoice_paid", "invoice_voided"]
  public var progressAdvanced: Set<String> = ["milestone_completed", "deliverable_sent"]
  public var progressDelayed: Set<String> = ["milestone_delayed"]
  /// Types whose `metadata.usage` is a percentage; the value here stands in where the metadata names none.
  public var usage: [String: Double?] = ["usage_reported": nil, "usage_low": 0, "usage_high": 100]

  public init() {}

  /// Every event type that carries a signal, sentiment aside: what a client's history is searched for when its
  /// summary has to be made from stored events.
  public var types: Set<String> {
    ticketOpened.union(invoiceOverdue).union(invoiceSettled).union(progressAdvanced).union(progressDelayed).union(
      usage.keys)
  }

  /// The signals of an event.
  ///
  /// An overdue notice that names no invoice stands for itself (its key is the event's id): no payment can settle it.
  public func signals(type: String, stage: Stage?, sourceEventID: String, metadata: JSONValue) -> Signals {
    var signals = Signals()
    signals.isNegative = metadata["sentiment"]?.string == "negative"
    signals.isTicketOpened = ticketOpened.contains(type)
    signals.isOverdueNotice = stage == .billing && type == "invoice_overdue"
    if invoiceOverdue.contains(type) {
      signals.invoice = .overdue(id: Self.invoiceID(metadata) ?? "event:" + sourceEventID)
    } else if invoiceSettled.contains(type), let id = Self.invoiceID(metadata) {
      signals.invoice = .settled(id: id)
    }
    if progressAdvanced.contains(type) { signals.progress = .advanced }
    if progressDelayed.contains(type) { signals.progress = .delayed }
    if let standIn = usage[type] { signals.usage = metadata["usage"]?.double ?? standIn }
    return signals
  }

  /// Bytes. A longer id is no id: it would not fit the index on invoices.
  public static let maxInvoiceIDLength = 512

  private static func invoiceID(_ metadata: JSONValue) -> String? {
    guard let value = metadata["invoiceId"] else { return nil }
    let id = value.string ?? value.numberText
    guard let id, (1...maxInvoiceIDLength).contains(id.utf8.count) else { return nil }
    return id
  }
}
