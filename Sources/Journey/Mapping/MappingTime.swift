/// Where a mapping finds the time of an event, and its unit.
public struct MappingTime: Hashable, Sendable {
  public var expression: MappingExpression
  public var unit: TimeUnit

  public init(_ expression: MappingExpression, unit: TimeUnit) {
    self.expression = expression
    self.unit = unit
  }

  /// The message's timestamp counts as the source's if the mapping tries it first.
  func origin(isFirst: Bool) -> TimeOrigin {
    switch expression {
    case .reference(.property(.received)): .received
    case .reference(.property(.timestamp)): isFirst ? .source : .message
    default: .source
    }
  }

  /// - Returns: nil if the value is absent; `.some(nil)` if it is not a time in this unit.
  func read(in context: borrowing MappingContext) -> Timestamp?? {
    let value = expression.evaluate(in: context)
    switch value {
    case .nothing: return nil
    case .time(let time): return .some(time)
    case .node(let index):
      let node = context.input.document.nodes[index]
      guard node.kind == .number || node.kind == .string, !(node.kind == .string && node.isComplex) else {
        return .some(nil)
      }
      return .some(
        unit.read(context.input.document.bytes[Int(node.start)..<Int(node.end)], isNumber: node.kind == .number))
    case .text, .constant, .embedded:
      let text = value.text(in: context.input.document) ?? ""
      return .some(unit.read(ArraySlice(text.utf8), isNumber: false))
    }
  }
}

/// How a source writes times.
public enum TimeUnit: String, CaseIterable, Hashable, Sendable {
  /// Seconds since 1970, with or without a fraction.
  case seconds = "s"
  case milliseconds = "ms"
  case microseconds = "us"
  case nanoseconds = "ns"
  /// RFC 3339, with a time zone.
  case rfc3339
  /// ISO 8601 in its common variants; UTC if there is no time zone.
  case iso
  /// Text as in `iso`; a number by its magnitude: below 10¹¹ seconds (until the year 5138), below 10¹⁴ milliseconds,
  /// below 10¹⁷ microseconds, otherwise nanoseconds.
  case auto

  /// Reads a text in this unit; nil if it is not a time in it.
  public func timestamp(_ text: String) -> Timestamp? { read(ArraySlice(text.utf8), isNumber: false) }

  func read(_ text: ArraySlice<UInt8>, isNumber: Bool) -> Timestamp? {
    switch self {
    case .seconds: Self.scaled(text, digits: 6)
    case .milliseconds: Self.scaled(text, digits: 3)
    case .microseconds: Self.scaled(text, digits: 0)
    case .nanoseconds: Self.scaled(text, digits: -3)
    case .rfc3339: isNumber ? nil : Timestamp(iso8601: text, zone: .refused)
    case .iso: isNumber ? nil : Timestamp(iso8601: text, zone: .isUTC)
    case .auto: (isNumber ? nil : Timestamp(iso8601: text, zone: .isUTC)) ?? Self.bySize(text)
    }
  }

  private static func bySize(_ text: ArraySlice<UInt8>) -> Timestamp? {
    let whole = text.prefix { $0 != ASCII.point }.count { ASCII.isDigit($0) }
    switch whole {
    case 0...11: return scaled(text, digits: 6)
    case 12...14: return scaled(text, digits: 3)
    case 15...17: return scaled(text, digits: 0)
    default: return scaled(text, digits: -3)
    }
  }

  /// A decimal number times ten to the power of `digits`, truncated to an integer; nil if it does not fit.
  private static func scaled(_ text: ArraySlice<UInt8>, digits: Int) -> Timestamp? {
    if text.contains(where: { $0 | 0x20 == UInt8(ascii: "e") }) { return scaledByExponent(text, digits: digits) }
    var value: Int64 = 0
    var fractionDigits: Int?
    var isNegative = false
    var sawDigit = false
    for (offset, byte) in text.enumerated() {
      if byte == ASCII.minus, offset == 0 {
        isNegative = true
      } else if byte == ASCII.point, fractionDigits == nil, sawDigit {
        fractionDigits = 0
      } else if ASCII.isDigit(byte) {
        sawDigit = true
        if let count = fractionDigits {
          if count >= max(0, digits) { continue }
          fractionDigits = count + 1
        }
        let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) = tens.addingReportingOverflow(Int64(byte - ASCII.zero))
        if overflow || carry { return nil }
        value = sum
      } else {
        return nil
      }
    }
    guard sawDigit else { return nil }
    for _ in 0..<max(0, digits - (fractionDigits ?? 0)) {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      if overflow { return nil }
      value = tens
    }
    for _ in 0..<max(0, -digits) { value /= 10 }
    return inCalendar(isNegative ? -value : value)
  }

  private static func scaledByExponent(_ text: ArraySlice<UInt8>, digits: Int) -> Timestamp? {
    guard let number = Double(String(decoding: text, as: UTF8.self)) else { return nil }
    var scaled = number
    for _ in 0..<abs(digits) { scaled = digits > 0 ? scaled * 10 : scaled / 10 }
    guard scaled.magnitude < 9e18 else { return nil }
    return inCalendar(Int64(scaled))
  }

  /// Accepts the years 1 to 9999: arithmetic near the ends of Int64 would trap.
  private static func inCalendar(_ microseconds: Int64) -> Timestamp? {
    (-62_135_596_800_000_000..<253_402_300_800_000_000).contains(microseconds)
      ? Timestamp(microseconds: microseconds) : nil
  }
}
