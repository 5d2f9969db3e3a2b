public import FoundationEssentials
import Synchronization

/// How often an event type of a source came that no rule of its mapping names, since it was last stored.
public struct UnlistedType: Hashable, Sendable {
  public var source: String
  public var type: String
  public var count: Int
  public var lastSeen: Timestamp
  /// The organisation of the sample, if the message names one outside of its body.
  public var orgID: UUID?
  /// The first body with this type that this process saw, redacted by its mapping; nil: stored already, too large, or
  /// none is kept.
  public var sample: [UInt8]?
  /// Whether this process saw the type for the first time.
  public var isFirst: Bool

  public init(
    source: String, type: String, count: Int, lastSeen: Timestamp, orgID: UUID?, sample: [UInt8]?, isFirst: Bool = false
  ) {
    self.source = source
    self.type = type
    self.count = count
    self.lastSeen = lastSeen
    self.orgID = orgID
    self.sample = sample
    self.isFirst = isFirst
  }
}

/// Counts the event types that no rule names, until they are stored. Bounded; safe to use from any thread.
public final class UnlistedEvents: Sendable {
  private struct Key: Hashable {
    var source: String
    var type: String
  }
  private struct State {
    var types: [Key: UnlistedType] = [:]
    /// The types that were seen already.
    var seen: Set<Key> = []
    var total = 0
  }
  /// Types that are counted apart. Senders choose them, so their number has to end somewhere.
  private static let maxTypes = 1000
  /// What the types beyond that are counted under.
  public static let others = "(more types)"
  /// In bytes. A larger body is not kept as a sample.
  public static let maxSampleBytes = 64 << 10

  private let keepsSamples: Bool
  private let state = Mutex(State())

  /// - Parameter keepsSamples: false: it only counts.
  public init(keepsSamples: Bool) { self.keepsSamples = keepsSamples }

  /// All that were counted since the start.
  public var total: Int { state.withLock(\.total) }

  /// - Parameter sample: the body, redacted.
  public func record(source: String, type: String, orgID: UUID?, at time: Timestamp, sample: () -> [UInt8]) {
    state.withLock { state in
      state.total += 1
      var key = Key(source: source, type: type)
      if !state.seen.contains(key), state.seen.count >= Self.maxTypes { key.type = Self.others }
      let isNew = state.seen.insert(key).inserted
      var entry =
        state.types[key]
        ?? UnlistedType(
          source: source, type: key.type, count: 0, lastSeen: time, orgID: nil, sample: nil, isFirst: isNew)
      if isNew, keepsSamples {
        let sample = sample()
        if sample.count <= Self.maxSampleBytes { (entry.sample, entry.orgID) = (sample, orgID) }
      }
      entry.count += 1
      entry.lastSeen = max(entry.lastSeen, time)
      state.types[key] = entry
    }
  }

  /// - Returns: what was counted since the last call.
  public func removeAll() -> [UnlistedType] {
    state.withLock { state in
      defer { state.types = [:] }
      return Array(state.types.values)
    }
  }

  /// Counts again what could not be stored.
  public func restore(_ types: [UnlistedType]) {
    state.withLock { state in
      for type in types {
        let key = Key(source: type.source, type: type.type)
        guard var later = state.types[key] else {
          state.types[key] = type
          continue
        }
        later.count += type.count
        later.sample = type.sample ?? later.sample
        later.orgID = type.orgID ?? later.orgID
        later.isFirst = type.isFirst || later.isFirst
        state.types[key] = later
      }
    }
  }
}
