/// Parses timestamps. Source: RFC 3339, and the variants of ISO 8601 that vendors write.
extension Timestamp {
  /// How to read a time without a time zone.
  public enum MissingZone: Sendable {
    case refused
    case isUTC
  }

  /// Parses `2026-11-20T10:00:00.123Z` and its common variants: a space or `t` for the `T`, a fraction of any length
  /// (truncated to six digits) or none, `Z`, `UTC`, `+01:00`, `+0100` or `+01`, a space before the zone. A date alone
  /// is midnight if the zone may be missing.
  ///
  /// - Returns: nil if the text is not such a time, a field is out of range (second 60 is allowed), or the year is not
  ///   in 0001...9999.
  public init?(iso8601 text: some StringProtocol, zone: MissingZone = .refused) {
    self.init(iso8601: ArraySlice(text.utf8), zone: zone)
  }

  /// Like `init(iso8601:zone:)`, from UTF-8.
  public init?(iso8601 text: ArraySlice<UInt8>, zone: MissingZone) {
    var reader = TimestampReader(text)
    guard let microseconds = reader.read(zone: zone) else { return nil }
    self.init(microseconds: microseconds)
  }
}

private struct TimestampReader {
  private let text: ArraySlice<UInt8>
  private var at: Int

  init(_ text: ArraySlice<UInt8>) {
    self.text = text
    at = text.startIndex
  }

  mutating func read(zone: Timestamp.MissingZone) -> Int64? {
    guard let year = number(4), year >= 1, consume("-"), let month = number(2), (1...12).contains(month), consume("-"),
      let day = number(2), day >= 1, day <= Self.length(of: month, in: year)
    else { return nil }
    let midnight = Int64(CivilTime.days(year: Int(year), month: Int(month), day: Int(day))) * 86_400
    if at == text.endIndex { return zone == .isUTC ? midnight * 1_000_000 : nil }
    guard consume("T") || consume("t") || consume(" "), let hour = number(2), hour < 24, consume(":"),
      let minute = number(2),
      minute < 60
    else { return nil }
    var second: Int64 = 0
    var fraction: Int64 = 0
    if consume(":") {
      guard let value = number(2), value <= 60 else { return nil }
      second = value
      if consume(".") || consume(",") {
        guard let value = microseconds() else { return nil }
        fraction = value
      }
    }
    guard let offset = offset(zone: zone), at == text.endIndex else { return nil }
    return (midnight + hour * 3600 + minute * 60 + second - offset) * 1_000_000 + fraction
  }

  /// Seconds east of UTC.
  private mutating func offset(zone: Timestamp.MissingZone) -> Int64? {
    if at == text.endIndex { return zone == .isUTC ? 0 : nil }
    _ = consume(" ")
    if consume("Z") || consume("z") { return 0 }
    if text[at...].elementsEqual("UTC".utf8) || text[at...].elementsEqual("GMT".utf8) {
      at = text.endIndex
      return 0
    }
    let isWest = consume("-")
    guard isWest || consume("+"), let hours = number(2), hours < 24 else { return nil }
    var minutes: Int64 = 0
    if at < text.endIndex {
      _ = consume(":")
      guard let value = number(2), value < 60 else { return nil }
      minutes = value
    }
    return (hours * 3600 + minutes * 60) * (isWest ? -1 : 1)
  }

  private mutating func microseconds() -> Int64? {
    var value: Int64 = 0
    var digits = 0
    while at < text.endIndex, ASCII.isDigit(text[at]) {
      if digits < 6 { value = value * 10 + Int64(text[at] - ASCII.zero) }
      digits += 1
      at += 1
    }
    guard digits > 0 else { return nil }
    for _ in 0..<max(0, 6 - digits) { value *= 10 }
    return value
  }

  private mutating func number(_ digits: Int) -> Int64? {
    guard text.endIndex - at >= digits else { return nil }
    var value: Int64 = 0
    for _ in 0..<digits {
      guard ASCII.isDigit(text[at]) else { return nil }
      value = value * 10 + Int64(text[at] - ASCII.zero)
      at += 1
    }
    return value
  }

  private mutating func consume(_ scalar: Unicode.Scalar) -> Bool {
    guard at < text.endIndex, text[at] == UInt8(ascii: scalar) else { return false }
    at += 1
    return true
  }

  private static func length(of month: Int64, in year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }
}
