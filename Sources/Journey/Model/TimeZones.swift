import Synchronization

/// A time zone's offsets from UTC within a stretch of time.
public struct ZoneOffsets: Hashable, Sendable {
  /// From when on an offset holds.
  public struct Period: Hashable, Sendable {
    public var begin: Timestamp
    /// Added to UTC, it gives the local time.
    public var offset: TimeSpan

    public init(begin: Timestamp, offset: TimeSpan) {
      self.begin = begin
      self.offset = offset
    }
  }

  /// In order; each ends where the next one begins.
  public let periods: [Period]
  /// Where the last period is no longer known to hold.
  public let end: Timestamp

  /// - Parameter periods: in order, at least one.
  public init(periods: [Period], end: Timestamp) {
    precondition(!periods.isEmpty, "a time zone has an offset")
    self.periods = periods
    self.end = end
  }

  func covers(_ time: Timestamp) -> Bool { periods[0].begin <= time && time < end }

  /// The offset at a time, and when another one follows. Outside of what is known, the nearest one holds.
  func offset(at time: Timestamp) -> (offset: TimeSpan, change: Timestamp?) {
    let index = periods.lastIndex { $0.begin <= time } ?? 0
    return (periods[index].offset, periods.indices.contains(index + 1) ? periods[index + 1].begin : nil)
  }
}

/// Time zones by their IANA names, such as `Europe/Berlin`. Remembers what it has looked up. Safe to use from any task.
public final class TimeZones: Sendable {
  private let load: @Sendable (_ name: String, _ time: Timestamp) -> ZoneOffsets?
  private let known = Mutex<[String: ZoneOffsets?]>([:])
  /// More names than there are zones are no names of zones: they come from the host's rows, without a limit.
  private static let maxKnown = 1000

  /// - Parameter load: the offsets of a zone for a stretch of time that includes `time`; nil if there is no such zone.
  public init(_ load: @escaping @Sendable (_ name: String, _ time: Timestamp) -> ZoneOffsets?) { self.load = load }

  /// - Returns: nil if there is no such zone.
  public func offsets(_ name: String, at time: Timestamp) -> ZoneOffsets? {
    if let known = known.withLock({ $0[name] }), known?.covers(time) ?? true { return known }
    let found = load(name, time)
    known.withLock { if $0.count < Self.maxKnown || $0[name] != nil { $0[name] = .some(found) } }
    return found
  }
}
