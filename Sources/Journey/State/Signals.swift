/// What the decision needs from an event besides its stage.
///
/// Signals depend only on the canonical event type and the metadata, so they can be derived again from a stored event.
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
  /// The percentage of its plan that the client uses.
  public var usage: Double?
  /// The design document's test for a late invoice: an `invoice_overdue` in the stage `billing`, paid later or not.
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
  /// Types whose `metadata.usage` is a percentage, with the default if the metadata has none.
  public var usage: [String: Double?] = ["usage_reported": nil, "usage_low": 0, "usage_high": 100]

  public init() {}
}

/// Derives the signals of events from `SignalRules`. A class, because every event uses it and it never changes.
public final class SignalReader: Sendable {
  /// All signals of an event type, found with one lookup.
  private struct Kinds {
    var isTicketOpened = false
    var isOverdue = false
    var isSettled = false
    var progress: Signals.Progress?
    var usage: Double??
  }
  private let kinds: [String: Kinds]

  public init(_ rules: SignalRules) {
    var kinds: [String: Kinds] = [:]
    for type in rules.ticketOpened { kinds[type, default: Kinds()].isTicketOpened = true }
    for type in rules.invoiceSettled { kinds[type, default: Kinds()].isSettled = true }
    for type in rules.invoiceOverdue { kinds[type, default: Kinds()].isOverdue = true }
    for type in rules.progressAdvanced { kinds[type, default: Kinds()].progress = .advanced }
    for type in rules.progressDelayed { kinds[type, default: Kinds()].progress = .delayed }
    for (type, standIn) in rules.usage { kinds[type, default: Kinds()].usage = .some(standIn) }
    self.kinds = kinds
  }

  /// The signals of an event.
  ///
  /// An overdue notice without an invoice id is keyed by the event's id, and no payment can settle it.
  public func signals(type: String, stage: Stage?, sourceEventID: String, metadata: some SignalMetadata) -> Signals {
    var signals = Signals()
    signals.isNegative = metadata.member("sentiment")?.isString("negative") ?? false
    signals.isOverdueNotice = stage == .billing && type == "invoice_overdue"
    guard let kinds = kinds[type] else { return signals }
    signals.isTicketOpened = kinds.isTicketOpened
    if kinds.isOverdue {
      signals.invoice = .overdue(id: Self.invoiceID(metadata) ?? "event:" + sourceEventID)
    } else if kinds.isSettled, let id = Self.invoiceID(metadata) {
      signals.invoice = .settled(id: id)
    }
    signals.progress = kinds.progress
    if let standIn = kinds.usage { signals.usage = metadata.member("usage")?.double ?? standIn }
    return signals
  }

  /// In bytes. A longer id is ignored: it would not fit the index on invoices.
  public static let maxInvoiceIDLength = 512

  private static func invoiceID(_ metadata: some SignalMetadata) -> String? {
    guard let value = metadata.member("invoiceId") else { return nil }
    let id = value.string ?? value.numberText
    guard let id, (1...maxInvoiceIDLength).contains(id.utf8.count) else { return nil }
    return id
  }
}

/// Metadata that signals are read from.
public protocol SignalMetadata {
  /// The member of this name; nil if there is none.
  func member(_ name: StaticString) -> JSONValue?
}

extension JSONValue: SignalMetadata {
  public func member(_ name: StaticString) -> JSONValue? {
    let key = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    return document.member(of: index, key).map { JSONValue(document: document, index: $0) }
  }

  /// Whether the value is this string.
  func isString(_ text: StaticString) -> Bool {
    guard kind == .string else { return false }
    let node = document.nodes[index]
    let wanted = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    if node.isComplex { return document.string(at: index).utf8.elementsEqual(wanted) }
    return document.bytes[Int(node.start)..<Int(node.end)].elementsEqual(wanted)
  }
}
