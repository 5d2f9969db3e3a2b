/// The proleptic Gregorian calendar in UTC, by days since 1970-01-01.
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
  /// RFC 3339 in UTC: `2026-11-20T10:00:00.123456Z`; the fraction is left out where it is 0, and is 3 digits where that is exact.
  public var iso8601: String { Self.text(capacity: 40) { appendISO8601(to: &$0) } }

  /// The date in UTC: `2026-11-20`.
  public var iso8601Date: String { Self.text(capacity: 16) { Self.appendDate(split().day, to: &$0) } }

  /// Appends `iso8601` without a string in between.
  func appendISO8601(to bytes: inout [UInt8]) {
    let (day, microseconds) = split()
    let second = Int(microseconds / 1_000_000), fraction = Int(microseconds % 1_000_000)
    Self.appendDate(day, to: &bytes)
    bytes.append(UInt8(ascii: "T"))
    Self.append(second / 3600, width: 2, to: &bytes)
    bytes.append(ASCII.colon)
    Self.append(second / 60 % 60, width: 2, to: &bytes)
    bytes.append(ASCII.colon)
    Self.append(second % 60, width: 2, to: &bytes)
    if fraction != 0 {
      bytes.append(ASCII.point)
      if fraction % 1000 == 0 { Self.append(fraction / 1000, width: 3, to: &bytes) } else { Self.append(fraction, width: 6, to: &bytes) }
    }
    bytes.append(UInt8(ascii: "Z"))
  }

  private func split() -> (day: Int, microsecondsOfDay: Int64) {
    let (day, rest) = microseconds.quotientAndRemainder(dividingBy: TimeSpan.days(1).microseconds)
    return rest < 0 ? (Int(day) - 1, rest + TimeSpan.days(1).microseconds) : (Int(day), rest)
  }

  private static func text(capacity: Int, _ append: (inout [UInt8]) -> Void) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(capacity)
    append(&bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func appendDate(_ day: Int, to bytes: inout [UInt8]) {
    let (year, month, day) = CivilTime.date(days: day)
    append(year, width: 4, to: &bytes)
    bytes.append(ASCII.minus)
    append(month, width: 2, to: &bytes)
    bytes.append(ASCII.minus)
    append(day, width: 2, to: &bytes)
  }

  /// A number with zeros in front up to `width`. Years outside 0 to 9999, which only a damaged row can hold, take the slow way.
  private static func append(_ number: Int, width: Int, to bytes: inout [UInt8]) {
    var divisor = 1
    for _ in 1..<width { divisor *= 10 }
    guard number >= 0, number < divisor * 10 else {
      let digits = String(number)
      bytes.append(contentsOf: String(repeating: "0", count: max(0, width - digits.count)).utf8)
      bytes.append(contentsOf: digits.utf8)
      return
    }
    var rest = number
    while divisor > 0 {
      bytes.append(ASCII.zero + UInt8(rest / divisor))
      rest %= divisor
      divisor /= 10
    }
  }
}
