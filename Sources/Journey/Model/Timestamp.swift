/// A point in time in microseconds since 1970-01-01T00:00:00Z, the resolution of PostgreSQL's `timestamptz`.
public struct Timestamp: Hashable, Comparable, Sendable {
  public var microseconds: Int64

  public init(microseconds: Int64) { self.microseconds = microseconds }
  public init(seconds: Int64) { self.microseconds = seconds * 1_000_000 }

  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }
  // Saturating: the database may hold `infinity`, and arithmetic with it must not trap.
  public static func + (a: Timestamp, b: TimeSpan) -> Timestamp {
    Timestamp(microseconds: a.microseconds.addingSaturated(b.microseconds))
  }
  public static func - (a: Timestamp, b: TimeSpan) -> Timestamp {
    Timestamp(microseconds: a.microseconds.subtractingSaturated(b.microseconds))
  }
  public static func - (a: Timestamp, b: Timestamp) -> TimeSpan {
    TimeSpan(microseconds: a.microseconds.subtractingSaturated(b.microseconds))
  }
}

/// A duration in microseconds.
public struct TimeSpan: Hashable, Comparable, Sendable {
  public var microseconds: Int64

  public init(microseconds: Int64) { self.microseconds = microseconds }
  public static func seconds(_ n: Int64) -> TimeSpan { TimeSpan(microseconds: n * 1_000_000) }
  public static func hours(_ n: Int64) -> TimeSpan { .seconds(n * 3600) }
  public static func days(_ n: Int64) -> TimeSpan { .hours(n * 24) }

  public static func < (a: TimeSpan, b: TimeSpan) -> Bool { a.microseconds < b.microseconds }
}

extension TimeSpan {
  /// Reads a number with a unit: `14d`, `36h`, `90m`, `30s`; nil for anything else, and beyond a million of a unit.
  public init?(text: String) {
    let units: [Character: TimeSpan] = ["d": .days(1), "h": .hours(1), "m": .seconds(60), "s": .seconds(1)]
    guard let unit = text.last.flatMap({ units[$0] }), let number = Int64(text.dropLast()),
      (0...1_000_000).contains(number)
    else { return nil }
    self.init(microseconds: number * unit.microseconds)
  }

  /// As the configuration writes it: `14d`, `36h`, `90s`.
  public var text: String {
    for (unit, length) in [("d", TimeSpan.days(1)), ("h", .hours(1)), ("m", .seconds(60))]
    where microseconds > 0 && microseconds % length.microseconds == 0 {
      return "\(microseconds / length.microseconds)\(unit)"
    }
    return "\(microseconds / 1_000_000)s"
  }
}

extension Int64 {
  fileprivate func addingSaturated(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : sum
  }

  fileprivate func subtractingSaturated(_ other: Int64) -> Int64 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other > 0 ? .min : .max) : difference
  }
}
