import FoundationEssentials
import Journey

/// A worker's batch, split into the parts that are committed together. Pure.
///
/// If the database refuses the data, the event at fault is found by halving. If it reports a permanent error, a sample
/// of single events is tried first to see whether anything passes. Events that are refused alone stay in doubt until
/// others are stored.
struct CommitWork {
  /// The parts to commit, the next one last.
  var parts: [[PendingEvent]]
  /// Events to commit again, in order. No later event of their clients may overtake them.
  var again: [PendingEvent] = []
  /// Clients that are locked elsewhere, and how long to set each aside.
  var pauses: [Int: Duration] = [:]
  /// Whether any event of the batch was stored.
  var hasStored = false
  /// Single events that were refused and may not be at fault.
  private(set) var inDoubt: [PendingEvent] = []
  private var isSampled = false
  /// The error of the last refusal.
  var error: StoreError?

  /// How many parts in a row timed out waiting for locks.
  var contentions = 0

  /// If so many single events in a row are refused, the database accepts nothing.
  static let sampleSize = 8

  init(_ items: [PendingEvent]) { parts = [items] }

  /// All events that are not decided.
  var left: [PendingEvent] { again + parts.flatMap(\.self) + inDoubt }

  /// The next part to commit; nil if there is none.
  /// - Parameter open: drops events that can no longer be settled.
  mutating func next(open: ([PendingEvent]) -> [PendingEvent]) -> [PendingEvent]? {
    while true {
      guard let next = parts.popLast() else { return nil }
      var part = open(next)
      let passedOver = Set(again.map(\.client))
      if !passedOver.isEmpty {
        again += part.filter { passedOver.contains($0.client) }
        part.removeAll { passedOver.contains($0.client) }
      }
      if !part.isEmpty { return part }
    }
  }

  mutating func halve(_ part: [PendingEvent]) {
    parts.append(Array(part[(part.count / 2)...]))
    parts.append(Array(part[..<(part.count / 2)]))
  }

  /// Finds the locked clients by halving. It needs no pauses, because each attempt already waits for the lock.
  /// - Returns: false if halving cannot help: the part has one client, or every part times out, as when a table is
  ///   locked.
  mutating func contend(_ part: [PendingEvent]) -> Bool {
    contentions += 1
    guard contentions <= Self.maxContentions, part.contains(where: { $0.client != part[0].client }) else {
      return false
    }
    halve(part)
    return true
  }

  /// - Returns: the events to defer: the part, or everything if every part times out.
  mutating func giveUpContended(_ part: [PendingEvent]) -> [PendingEvent] {
    guard contentions > Self.maxContentions else { return part }
    defer { parts = [] }
    return part + parts.reversed().flatMap(\.self)
  }

  /// More attempts than it takes to isolate one client.
  private static let maxContentions = 14

  /// Removes and returns the events in doubt whose data was refused.
  mutating func removeRefusedData() -> [PendingEvent] {
    defer { inDoubt.removeAll { $0.refusal?.isOfData == true } }
    return inDoubt.filter { $0.refusal?.isOfData == true }
  }

  /// On the first refusal splits single events off, from as many organisations as possible; later halves the part.
  mutating func sample(_ part: [PendingEvent]) {
    guard !isSampled, !hasStored, part.count > 2 else { return halve(part) }
    isSampled = true
    let count = min(Self.sampleSize, part.count)
    var organizations: Set<UUID> = []
    var indices = Set(
      part.indices.filter { organizations.insert(part[$0].incoming.event.orgID).inserted }.prefix(count))
    for index in (0..<count).map({ $0 * part.count / count }) where indices.count < count { indices.insert(index) }
    let rest = part.indices.filter { !indices.contains($0) }.map { part[$0] }
    if !rest.isEmpty { parts.append(rest) }
    for index in indices.sorted(by: >) { parts.append([part[index]]) }
  }

  /// Records that an event was refused alone.
  /// - Returns: whether so many are refused that the database may accept nothing.
  mutating func recordInDoubt(_ item: PendingEvent) -> Bool {
    inDoubt.append(item)
    return !hasStored && inDoubt.count >= Self.sampleSize
  }
}
