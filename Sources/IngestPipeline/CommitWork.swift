import FoundationEssentials
import Journey

/// What a lane has taken, cut into what is committed together. Pure.
///
/// What the database refuses for a reason of the data is found by halving. Where it says that a person has to act, it
/// is tried with single events first whether anything passes at all: a few, from all over the batch. What is refused
/// alone is left over, to be tried again once others were stored.
struct CommitWork {
  /// To be committed, the last one first.
  var parts: [[PendingEvent]]
  /// What is to be committed again, in its order: nothing of these clients may overtake it.
  var again: [PendingEvent] = []
  /// Clients that somebody else holds, and for how long they are set aside.
  var pauses: [Int: Duration] = [:]
  /// Whether any event of these was stored.
  var hasStored = false
  /// Single events that were refused, of which nobody knows yet whether they are at fault.
  private(set) var inDoubt: [PendingEvent] = []
  private var isSampled = false
  /// Why an event was refused that is among the suspects.
  var error: StoreError?

  /// How often in a row parts had to wait for locks.
  var contentions = 0

  /// As many single events in a row that are refused show that nothing passes.
  static let sampleSize = 8

  init(_ items: [PendingEvent]) { parts = [items] }

  /// All that is not decided.
  var left: [PendingEvent] { again + parts.flatMap(\.self) + inDoubt }

  /// What is to be committed next; nil where there is nothing more to do.
  /// - Parameter open: drops what cannot be settled any more.
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

  /// Looks for the clients whose rows had to be waited for, by halving: without pauses, since each attempt waits long
  /// enough.
  /// - Returns: false where there is nothing to look for: it is one client, or nothing passes, as where a whole table
  ///   is locked.
  mutating func contend(_ part: [PendingEvent]) -> Bool {
    contentions += 1
    guard contentions <= Self.maxContentions, part.contains(where: { $0.client != part[0].client }) else {
      return false
    }
    halve(part)
    return true
  }

  /// - Returns: what is not to be tried now: the part, and all that is left where nothing passes.
  mutating func giveUpContended(_ part: [PendingEvent]) -> [PendingEvent] {
    guard contentions > Self.maxContentions else { return part }
    defer { parts = [] }
    return part + parts.reversed().flatMap(\.self)
  }

  /// More than it takes to come down to one client.
  private static let maxContentions = 14

  /// The suspects whose data was refused.
  mutating func removeRefusedData() -> [PendingEvent] {
    defer { inDoubt.removeAll { $0.refusal?.isOfData == true } }
    return inDoubt.filter { $0.refusal?.isOfData == true }
  }

  /// Takes single events out of a part that was refused, the first time, of as many organisations as there are; halves
  /// it later.
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

  /// Notes that an event was refused alone.
  /// - Returns: whether there are so many that nothing may pass any more.
  mutating func suspect(_ item: PendingEvent) -> Bool {
    inDoubt.append(item)
    return !hasStored && inDoubt.count >= Self.sampleSize
  }
}
