/// The proleptic Gregorian calendar in UTC, in days since 1970-01-01.
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
enum CivilTime {
  static func days(year: Int, month: Int, day: Int) -> Int {
    let year = month <= 2 ? year - 1 : year
    let era = (year >= 0 ? year : year - 399) / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  static func date(days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }
}

extension Timestamp {
  /// RFC 3339 in UTC: `2026-11-20T10:00:00.123456Z`. The fraction is omitted if it is 0, and has 3 digits if these are
  /// exact.
  public var iso8601: String { Self.text { writeISO8601(to: $0) } }

  /// The date in UTC: `2026-11-20`.
  public var iso8601Date: String { Self.text { writeISO8601Date(to: $0) } }

  /// A year has at most seven characters; the rest has a fixed length.
  static let maxTextLength = 40

  /// Writes `iso8601`.
  func writeISO8601(to buffer: UnsafeMutablePointer<UInt8>) -> Int {
    let (day, microseconds) = split()
    let second = Int(microseconds / 1_000_000), fraction = Int(microseconds % 1_000_000)
    var end = Self.writeDate(day, to: buffer)
    buffer[end] = UInt8(ascii: "T")
    Self.writePair(second / 3600, to: buffer + end + 1)
    buffer[end &+ 3] = ASCII.colon
    Self.writePair(second / 60 % 60, to: buffer + end + 4)
    buffer[end &+ 6] = ASCII.colon
    Self.writePair(second % 60, to: buffer + end + 7)
    end &+= 9
    if fraction != 0 {
      buffer[end] = ASCII.point
      let thousandths = fraction / 1000, rest = fraction % 1000
      Self.writeTriple(thousandths, to: buffer + end + 1)
      if rest != 0 { Self.writeTriple(rest, to: buffer + end + 4) }
      end &+= rest == 0 ? 4 : 7
    }
    buffer[end] = UInt8(ascii: "Z")
    return end &+ 1
  }

  /// Writes `iso8601Date`.
  func writeISO8601Date(to buffer: UnsafeMutablePointer<UInt8>) -> Int { Self.writeDate(split().day, to: buffer) }

  private func split() -> (day: Int, microsecondsOfDay: Int64) {
    let (day, rest) = microseconds.quotientAndRemainder(dividingBy: TimeSpan.days(1).microseconds)
    return rest < 0 ? (Int(day) - 1, rest + TimeSpan.days(1).microseconds) : (Int(day), rest)
  }

  private static func text(_ write: (UnsafeMutablePointer<UInt8>) -> Int) -> String {
    String(unsafeUninitializedCapacity: maxTextLength) { write($0.baseAddress.unsafelyUnwrapped) }
  }

  private static func writeDate(_ day: Int, to buffer: UnsafeMutablePointer<UInt8>) -> Int {
    let (year, month, day) = CivilTime.date(days: day)
    let end = writeYear(year, to: buffer)
    buffer[end] = ASCII.minus
    writePair(month, to: buffer + end + 1)
    buffer[end &+ 3] = ASCII.minus
    writePair(day, to: buffer + end + 4)
    return end &+ 6
  }

  /// Writes a year with at least four digits. Years outside 0 to 9999, which only a damaged row can hold, take the slow
  /// path.
  @inline(__always)
  private static func writeYear(_ year: Int, to buffer: UnsafeMutablePointer<UInt8>) -> Int {
    guard (0...9999).contains(year) else { return writeUnusual(year, width: 4, to: buffer) }
    writePair(year / 100, to: buffer)
    writePair(year % 100, to: buffer + 2)
    return 4
  }

  @inline(__always)
  private static func writePair(_ number: Int, to buffer: UnsafeMutablePointer<UInt8>) {
    buffer[0] = ASCII.zero &+ UInt8(truncatingIfNeeded: number / 10)
    buffer[1] = ASCII.zero &+ UInt8(truncatingIfNeeded: number % 10)
  }

  @inline(__always)
  private static func writeTriple(_ number: Int, to buffer: UnsafeMutablePointer<UInt8>) {
    buffer[0] = ASCII.zero &+ UInt8(truncatingIfNeeded: number / 100)
    writePair(number % 100, to: buffer + 1)
  }

  @inline(never)
  private static func writeUnusual(_ number: Int, width: Int, to buffer: UnsafeMutablePointer<UInt8>) -> Int {
    let digits = String(number)
    let text = String(repeating: "0", count: max(0, width - digits.count)) + digits
    for (index, digit) in text.utf8.enumerated() { buffer[index] = digit }
    return text.utf8.count
  }
}
