/// Everything that the decision needs from a client's events, in bounded space.
///
/// `insert` is commutative, associative and idempotent: the order, batching and repetition of events do not change the
/// summary. It can be stored, merged and rebuilt from the events.
public struct ClientSummary: Hashable, Sendable {
  public struct Recent: Hashable, Sendable {
    public var stamp: EventStamp
    public var isNegative: Bool
  }
  public struct Usage: Hashable, Sendable {
    public var stamp: EventStamp
    public var percent: Double
  }
  public struct Progress: Hashable, Sendable {
    public var stamp: EventStamp
    public var kind: Signals.Progress
  }
  public struct StageMark: Hashable, Sendable {
    public var stamp: EventStamp
    public var stage: Stage

    public init(stamp: EventStamp, stage: Stage) {
      self.stamp = stamp
      self.stage = stage
    }
  }

  /// The number of newest events that are kept: the design document looks at so many for sentiment.
  public static let recentLimit = 10
  /// The number of newest tickets that are kept, and the maximum threshold of `high_support_tickets`.
  public static let ticketLimit = 10

  /// The newest event that set the stage.
  public internal(set) var stage: StageMark?
  /// The newest events of any type, newest first.
  public internal(set) var recent: [Recent] = []
  /// The newest `ticket_opened` events, newest first.
  public internal(set) var tickets: [EventStamp] = []
  public internal(set) var usage: Usage?
  public internal(set) var progress: Progress?
  /// The newest overdue notice as the design document defines it, paid or not.
  public internal(set) var overdueNotice: EventStamp?
  /// The late invoices: a bounded view of the client's invoices, which are merged one by one.
  public var lateInvoices = LateInvoices()

  public init() {}

  /// Adds an event. Adding it again changes nothing.
  public mutating func insert(_ stamp: EventStamp, stage newStage: Stage?, signals: Signals) {
    if let newStage, isNewer(stamp, than: stage?.stamp) { stage = StageMark(stamp: stamp, stage: newStage) }
    insertNewest(
      Recent(stamp: stamp, isNegative: signals.isNegative), into: &recent, limit: Self.recentLimit, by: \.stamp)
    if signals.isTicketOpened { insertNewest(stamp, into: &tickets, limit: Self.ticketLimit, by: \.self) }
    if let percent = signals.usage, isNewer(stamp, than: usage?.stamp) { usage = Usage(stamp: stamp, percent: percent) }
    if let kind = signals.progress, isNewer(stamp, than: progress?.stamp) {
      progress = Progress(stamp: stamp, kind: kind)
    }
    if signals.isOverdueNotice, isNewer(stamp, than: overdueNotice) { overdueNotice = stamp }
  }

  /// The time of the newest event; nil if there is none.
  public var lastEventAt: Timestamp? { recent.first?.stamp.at }
}

private func isNewer(_ stamp: EventStamp, than other: EventStamp?) -> Bool {
  other.map { $0 < stamp } ?? true
}

/// Inserts an element into a list without duplicates, newest first, and keeps the newest `limit`.
private func insertNewest<T>(_ element: T, into list: inout [T], limit: Int, by stamp: (T) -> EventStamp) {
  let own = stamp(element)
  if list.count == limit, own < stamp(list[limit - 1]) { return }
  var index = list.count
  while index > 0, stamp(list[index - 1]) < own { index -= 1 }
  if index > 0, stamp(list[index - 1]) == own { return }
  list.insert(element, at: index)
  if list.count > limit { list.removeLast() }
}

/// The known state of one invoice. Merging keeps the earliest time of each kind, so a payment settles the invoice even
/// if it arrives before the overdue notice.
public struct InvoiceState: Hashable, Sendable {
  public var overdueAt: Timestamp?
  public var settledAt: Timestamp?

  public init(overdueAt: Timestamp? = nil, settledAt: Timestamp? = nil) {
    self.overdueAt = overdueAt
    self.settledAt = settledAt
  }

  public var isLate: Bool { overdueAt != nil && settledAt == nil }

  public mutating func merge(_ other: InvoiceState) {
    overdueAt = earliest(overdueAt, other.overdueAt)
    settledAt = earliest(settledAt, other.settledAt)
  }

  private func earliest(_ a: Timestamp?, _ b: Timestamp?) -> Timestamp? {
    guard let a, let b else { return a ?? b }
    return min(a, b)
  }
}

/// A client's late invoices: their number, up to `countLimit`, and those that are overdue longest.
public struct LateInvoices: Hashable, Sendable {
  public struct Item: Hashable, Sendable {
    public var id: String
    public var overdueAt: Timestamp

    public init(id: String, overdueAt: Timestamp) {
      self.id = id
      self.overdueAt = overdueAt
    }
  }

  public static let countLimit = 100
  public static let oldestLimit = 3

  public var count: Int
  /// Longest overdue first, ties by id; at most `oldestLimit`.
  public var oldest: [Item]

  public init(count: Int = 0, oldest: [Item] = []) {
    self.count = count
    self.oldest = oldest
  }
}
