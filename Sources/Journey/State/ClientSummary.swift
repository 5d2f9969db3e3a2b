/// Everything that the decision needs from a client's events, in bounded space.
///
/// `insert` is commutative, associative and idempotent: the order, batching and repetition of events do not change the
/// summary. It can be stored, merged and rebuilt from the events.
public struct ClientSummary: Hashable, Sendable {
  /// One of the newest events, as the counts of risks need it. It holds as little text as possible, because every
  /// evaluation of the client reads and writes dozens of these.
  public struct Entry: Hashable, Comparable, Sendable {
    public let at: Timestamp
    /// The first 16 bytes of the event's id.
    let idStart: UInt128
    /// The event's id, if it is longer than that.
    let longID: String
    /// A hash of the source.
    let source: UInt64
    /// See `Signals.kind`.
    public let kind: UInt32
    public var isNegative = false
    /// Whether the client itself acted.
    public var isOwn = false
    /// See `Signals.naturalKey`. Only tickets have one.
    public var naturalKey: UInt64 = 0

    public init(_ stamp: EventStamp, kind: UInt32) {
      self.init(
        at: stamp.at, idStart: stamp.id.start, longID: stamp.id.utf8.count > 16 ? stamp.id : "",
        source: stamp.source.stableHash, kind: kind)
    }

    init(at: Timestamp, idStart: UInt128, longID: String, source: UInt64, kind: UInt32) {
      self.at = at
      self.idStart = idStart
      self.longID = longID
      self.source = source
      self.kind = kind
    }

    public static func < (a: Entry, b: Entry) -> Bool {
      if a.at != b.at { return a.at < b.at }
      if a.idStart != b.idStart { return a.idStart < b.idStart }
      return a.longID.hasSameBytes(as: b.longID) ? a.source < b.source : a.longID.precedesByBytes(b.longID)
    }

    func isSameEvent(as other: Entry) -> Bool { !(self < other) && !(other < self) }
  }
  public struct Usage: Hashable, Sendable {
    public var stamp: EventStamp
    public var percent: Double
  }
  public struct Progress: Hashable, Sendable {
    public var stamp: EventStamp
    public var kind: Signals.Progress
  }
  /// An event that set the stage or raised the client to it.
  public struct StageMark: Hashable, Sendable {
    public var stamp: EventStamp
    public var stage: Stage
    /// See `Signals.rank`.
    public var rank: UInt8

    public init(stamp: EventStamp, stage: Stage, rank: UInt8 = 0) {
      self.stamp = stamp
      self.stage = stage
      self.rank = rank
    }

    /// By time, then by rank, then in the order of ids.
    public func precedes(_ other: StageMark) -> Bool {
      if stamp.at != other.stamp.at || rank == other.rank { return stamp < other.stamp }
      return rank < other.rank
    }
  }

  /// The number of newest events that are kept: the design document looks at so many for sentiment.
  public static let recentLimit = 10
  /// The maximum threshold of `high_support_tickets`.
  public static let ticketLimit = 10
  /// The number of newest tickets that are kept: up to three sources may report the same ones.
  public static let keptTickets = 30

  /// The newest event that set the stage.
  public internal(set) var setStage: StageMark?
  /// The events after it that raised the client to a stage: for each stage the newest, without those that a newer one
  /// for a later stage makes irrelevant. Newest first, so from an earlier to a later stage.
  public internal(set) var raises: [StageMark] = []
  /// The newest events of any type, newest first.
  public internal(set) var recent: [Entry] = []
  /// The newest events in which the client itself acted, newest first, as far as they are not among the recent ones.
  public internal(set) var olderOwn: [Entry] = []
  /// The newest `ticket_opened` events, newest first.
  public internal(set) var tickets: [Entry] = []
  public internal(set) var usage: Usage?
  public internal(set) var progress: Progress?
  /// The newest overdue notice as the design document defines it, paid or not.
  public internal(set) var overdueNotice: EventStamp?
  /// The late invoices: a bounded view of the client's invoices, which are merged one by one.
  public var lateInvoices = LateInvoices()

  public init() {}

  /// The event to which the client owes its stage; nil if there is none.
  public var stage: StageMark? {
    guard let raise = raises.last else { return setStage }
    guard let setStage else { return raise }
    return setStage.stage.index < raise.stage.index ? raise : setStage
  }

  /// The newest events in which the client itself acted, newest first, at most `recentLimit`.
  public var own: [Entry] {
    olderOwn.isEmpty && recent.allSatisfy(\.isOwn) ? recent : recent.filter(\.isOwn) + olderOwn
  }

  /// Adds an event. Adding it again changes nothing.
  ///
  /// - Parameters:
  ///   - newStage: the stage that the event sets.
  ///   - minStage: the stage to which it raises the client.
  public mutating func insert(
    _ stamp: EventStamp, stage newStage: Stage?, minStage: Stage? = nil, signals: Signals
  ) {
    if let newStage {
      let mark = StageMark(stamp: stamp, stage: newStage, rank: signals.rank)
      if setStage?.precedes(mark) ?? true {
        setStage = mark
        raises.removeAll { !mark.precedes($0) }
      }
    } else if let minStage {
      raise(StageMark(stamp: stamp, stage: minStage, rank: signals.rank))
    }
    var entry = Entry(stamp, kind: signals.kind)
    if signals.isTicketOpened {
      entry.naturalKey = signals.naturalKey
      insertNewest(entry, into: &tickets, limit: Self.keptTickets)
      entry.naturalKey = 0
    }
    entry.isNegative = signals.isNegative
    entry.isOwn = signals.isOwn
    insert(entry)
    if let percent = signals.usage, isNewer(stamp, than: usage?.stamp) { usage = Usage(stamp: stamp, percent: percent) }
    if let kind = signals.progress, isNewer(stamp, than: progress?.stamp) {
      progress = Progress(stamp: stamp, kind: kind)
    }
    if signals.isOverdueNotice, isNewer(stamp, than: overdueNotice) { overdueNotice = stamp }
  }

  /// Adds an event to the recent ones. One in which the client acted stays among its own when it is pushed out.
  private mutating func insert(_ entry: Entry) {
    let pushedOut = insertNewest(entry, into: &recent, limit: Self.recentLimit)
    if let pushedOut, pushedOut.isOwn {
      insertNewest(pushedOut, into: &olderOwn, limit: Self.recentLimit)
    }
    if olderOwn.isEmpty { return }
    let kept = Self.recentLimit - recent.count(where: \.isOwn)
    if olderOwn.count > kept { olderOwn.removeLast(olderOwn.count - kept) }
  }

  private mutating func raise(_ mark: StageMark) {
    if let setStage, !setStage.precedes(mark) { return }
    // A newer raise to the same or a later stage makes this one irrelevant.
    if raises.contains(where: { $0.stage.index >= mark.stage.index && !$0.precedes(mark) }) { return }
    raises.removeAll { $0.stage.index <= mark.stage.index && $0.precedes(mark) }
    let index = raises.firstIndex { $0.precedes(mark) } ?? raises.count
    raises.insert(mark, at: index)
  }

  /// The time of the newest event; nil if there is none.
  public var lastEventAt: Timestamp? { recent.first?.at }
}

private func isNewer(_ stamp: EventStamp, than other: EventStamp?) -> Bool {
  other.map { $0 < stamp } ?? true
}

/// Inserts an entry into a list without duplicates, newest first, and keeps the newest `limit`.
/// - Returns: the entry that the list has no space for, which may be the new one.
@discardableResult
private func insertNewest(_ entry: ClientSummary.Entry, into list: inout [ClientSummary.Entry], limit: Int)
  -> ClientSummary.Entry?
{
  if list.count == limit, entry < list[limit - 1] { return entry }
  var index = list.count
  while index > 0, list[index - 1] < entry { index -= 1 }
  if index > 0, list[index - 1].isSameEvent(as: entry) { return nil }
  // First, so that a full list needs no more space.
  let pushedOut = list.count == limit ? list.removeLast() : nil
  list.insert(entry, at: index)
  return pushedOut
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
