/// What the decision needs from an event besides its stage.
///
/// Signals depend only on what is stored of an event, so they can be derived again.
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
  /// The client itself acted: a sign of life.
  public var isOwn = true
  /// A hash of the event type, by which the same thing from several sources is recognized.
  public var kind: UInt32 = 0
  /// A hash of the key that several sources have for the same ticket; 0: none.
  public var naturalKey: UInt64 = 0
  /// The place among events of one instant that set the stage: the highest counts, before the order of ids.
  public var rank: UInt8 = 0
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
  public var invoiceSettled: Set<String> = [
    "invoice_paid", "invoice_voided", "invoice_written_off", "invoice_refunded",
  ]
  public var progressAdvanced: Set<String> = ["milestone_completed", "deliverable_sent"]
  public var progressDelayed: Set<String> = ["milestone_delayed"]
  /// Types whose `metadata.usage` is a percentage, with the default if the metadata has none.
  public var usage: [String: Double?] = ["usage_reported": nil, "usage_low": 0, "usage_high": 100]
  /// Which of several events of one instant sets the stage.
  public var sameInstant = SameInstant.furthestStage
  /// What a stage does that a mapping gives as a lower bound.
  public var lowerBounds = LowerBounds.raise

  public enum LowerBounds: String, CaseIterable, Hashable, Sendable {
    /// It raises a client that is before it.
    case raise
    /// It is set like any other, as every event of the design document sets its stage.
    case set
  }

  public enum SameInstant: String, CaseIterable, Hashable, Sendable {
    /// The one with the furthest stage. Sources that count in whole seconds tell several steps at once.
    case furthestStage = "stage"
    /// The one with the greatest id by bytes.
    case greatestID = "id"
  }

  public init() {}

  /// All event types that carry a signal.
  public var types: Set<String> {
    Set(usage.keys).union(ticketOpened).union(invoiceOverdue).union(invoiceSettled).union(progressAdvanced)
      .union(progressDelayed)
  }
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
    var actor = Actor.client
    let hash: UInt32

    init(_ type: String) {
      actor = EventTypes.actor(of: type) ?? .client
      hash = UInt32(truncatingIfNeeded: type.stableHash)
    }
  }
  private let kinds: [String: Kinds]
  private let ranksStages: Bool

  public init(_ rules: SignalRules) {
    var kinds: [String: Kinds] = [:]
    for type in EventTypes.all.map(\.type) { kinds[type] = Kinds(type) }
    for type in rules.ticketOpened { kinds[type, default: Kinds(type)].isTicketOpened = true }
    for type in rules.invoiceSettled { kinds[type, default: Kinds(type)].isSettled = true }
    for type in rules.invoiceOverdue { kinds[type, default: Kinds(type)].isOverdue = true }
    for type in rules.progressAdvanced { kinds[type, default: Kinds(type)].progress = .advanced }
    for type in rules.progressDelayed { kinds[type, default: Kinds(type)].progress = .delayed }
    for (type, standIn) in rules.usage { kinds[type, default: Kinds(type)].usage = .some(standIn) }
    self.kinds = kinds
    ranksStages = rules.sameInstant == .furthestStage
  }

  /// The signals of an event.
  ///
  /// An overdue notice without an invoice id is keyed by the event's id, and no payment can settle it.
  ///
  /// - Parameters:
  ///   - stage: the stage that the event sets or raises the client to.
  ///   - actor: who acted, if the mapping says so.
  public func signals(
    type: String, stage: Stage?, actor: Actor?, sourceEventID: String, metadata: some SignalMetadata
  ) -> Signals {
    var signals = Signals()
    if ranksStages, let stage { signals.rank = UInt8(stage.index) }
    signals.isNegative = metadata.member("sentiment")?.isString("negative") ?? false
    signals.isOverdueNotice = stage == .billing && type == "invoice_overdue"
    let kinds = kinds[type]
    signals.isOwn = (actor ?? kinds?.actor ?? .client) == .client
    guard let kinds else {
      signals.kind = UInt32(truncatingIfNeeded: type.stableHash)
      return signals
    }
    signals.kind = kinds.hash
    signals.isTicketOpened = kinds.isTicketOpened
    if kinds.isTicketOpened { signals.naturalKey = Self.naturalKey(metadata) }
    if kinds.isOverdue {
      signals.invoice = .overdue(id: Self.invoiceID(metadata) ?? "event:" + sourceEventID)
    } else if kinds.isSettled, let id = Self.invoiceID(metadata) {
      signals.invoice = .settled(id: id)
    }
    signals.progress = kinds.progress
    if let standIn = kinds.usage { signals.usage = metadata.member("usage")?.double ?? standIn }
    return signals
  }

  /// All members of the metadata that signals are read from.
  public static let metadataMembers = ["sentiment", "naturalKey", "usage", "invoiceId"]

  /// In bytes. A longer id is ignored: it would not fit the index on invoices.
  public static let maxInvoiceIDLength = 512

  private static func naturalKey(_ metadata: some SignalMetadata) -> UInt64 {
    guard let key = metadata.member("naturalKey")?.text, !key.isEmpty else { return 0 }
    return max(1, key.stableHash)
  }

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
  public func isString(_ text: StaticString) -> Bool {
    guard kind == .string else { return false }
    let node = document.nodes[index]
    let wanted = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    if node.isComplex { return document.string(at: index).utf8.elementsEqual(wanted) }
    return document.bytes[Int(node.start)..<Int(node.end)].elementsEqual(wanted)
  }
}
