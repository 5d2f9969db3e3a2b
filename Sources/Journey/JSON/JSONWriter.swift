public import FoundationEssentials

/// Writes one JSON text, without white space, into a byte array. Commas and colons are its own affair.
///
/// It does not check that containers are closed: what is written is fixed by the code that calls it.
public struct JSONWriter: Sendable {
  public private(set) var bytes: [UInt8]
  private var needsComma = false

  public init(reservingCapacity capacity: Int = 256) {
    bytes = []
    bytes.reserveCapacity(capacity)
  }

  /// Starts a new text in the same storage.
  public mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    needsComma = false
  }

  public mutating func beginObject() { open(ASCII.openBrace) }
  public mutating func endObject() { close(ASCII.closeBrace) }
  public mutating func beginArray() { open(ASCII.openBracket) }
  public mutating func endArray() { close(ASCII.closeBracket) }

  @_disfavoredOverload
  public mutating func key(_ name: String) {
    separate()
    appendQuoted(name)
    bytes.append(ASCII.colon)
    needsComma = false
  }

  /// A name that stands in the source, without a character to escape.
  public mutating func key(_ name: StaticString) {
    separate()
    bytes.append(ASCII.quote)
    bytes.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    bytes.append(ASCII.quote)
    bytes.append(ASCII.colon)
    needsComma = false
  }

  public mutating func string(_ text: String) {
    separate()
    appendQuoted(text)
  }

  public mutating func uuid(_ id: UUID) {
    separate()
    bytes.append(ASCII.quote)
    id.appendText(to: &bytes)
    bytes.append(ASCII.quote)
  }

  /// RFC 3339 in UTC, as `Timestamp.iso8601`.
  public mutating func time(_ time: Timestamp) {
    separate()
    bytes.append(ASCII.quote)
    time.appendISO8601(to: &bytes)
    bytes.append(ASCII.quote)
  }

  public mutating func int(_ number: some BinaryInteger) {
    separate()
    bytes.append(contentsOf: String(number).utf8)
  }

  /// The shortest decimal that reads back as `number`, laid out as JavaScript's `JSON.stringify` does: `12`, `0.1`,
  /// `1e+21`; null where the number is not finite. Source: ECMA-262, Number::toString.
  public mutating func double(_ number: Double) {
    separate()
    bytes.append(contentsOf: javaScriptText(number).utf8)
  }

  public mutating func bool(_ value: Bool) {
    separate()
    bytes.append(contentsOf: (value ? "true" : "false").utf8)
  }

  public mutating func null() {
    separate()
    bytes.append(contentsOf: "null".utf8)
  }

  /// Appends bytes that are one JSON value already.
  public mutating func raw(_ value: some Sequence<UInt8>) {
    separate()
    bytes.append(contentsOf: value)
  }

  /// A member whose value is there; nothing otherwise.
  @_disfavoredOverload
  public mutating func member(_ name: String, _ text: String?) {
    guard let text else { return }
    key(name)
    string(text)
  }
  public mutating func member(_ name: StaticString, _ text: String?) {
    guard let text else { return }
    key(name)
    string(text)
  }
  public mutating func member(_ name: StaticString, _ id: UUID) {
    key(name)
    uuid(id)
  }
  public mutating func member(_ name: StaticString, _ time: Timestamp?) {
    guard let time else { return }
    key(name)
    self.time(time)
  }

  // MARK: Parts

  private mutating func separate() {
    if needsComma { bytes.append(ASCII.comma) }
    needsComma = true
  }

  private mutating func open(_ bracket: UInt8) {
    separate()
    bytes.append(bracket)
    needsComma = false
  }

  private mutating func close(_ bracket: UInt8) {
    bytes.append(bracket)
    needsComma = true
  }

  private mutating func appendQuoted(_ text: String) {
    bytes.append(ASCII.quote)
    var text = text
    let isPlain = text.withUTF8 { source in
      for byte in source where byte < 0x20 || byte == ASCII.quote || byte == ASCII.backslash || byte == 0x7F { return false }
      bytes.append(contentsOf: source)
      return true
    }
    if !isPlain { text.withUTF8 { appendEscaped($0) } }
    bytes.append(ASCII.quote)
  }

  private mutating func appendEscaped(_ source: UnsafeBufferPointer<UInt8>) {
    for byte in source {
      if byte < 0x20 || byte == ASCII.quote || byte == ASCII.backslash || byte == 0x7F {
        appendEscape(byte)
      } else {
        bytes.append(byte)
      }
    }
  }

  private mutating func appendEscape(_ byte: UInt8) {
    bytes.append(ASCII.backslash)
    switch byte {
    case ASCII.quote, ASCII.backslash: bytes.append(byte)
    case 0x08: bytes.append(UInt8(ascii: "b"))
    case 0x09: bytes.append(UInt8(ascii: "t"))
    case 0x0A: bytes.append(UInt8(ascii: "n"))
    case 0x0C: bytes.append(UInt8(ascii: "f"))
    case 0x0D: bytes.append(UInt8(ascii: "r"))
    default:
      let digits = Array("0123456789abcdef".utf8)
      bytes.append(contentsOf: [UInt8(ascii: "u"), ASCII.zero, ASCII.zero, digits[Int(byte >> 4)], digits[Int(byte & 15)]])
    }
  }
}

/// Swift prints the shortest digits too, but with other rules for the point and the exponent.
func javaScriptText(_ number: Double) -> String {
  guard number.isFinite else { return "null" }
  if number == 0 { return "0" }
  if number.magnitude < 1e15, number == number.rounded() { return String(Int64(number)) }
  let printed = number.magnitude.description
  let parts = printed.split(separator: "e")
  let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
  let fraction = mantissa.count > 1 && mantissa[1] != "0" ? mantissa[1] : ""
  let all = mantissa[0] + fraction
  let significant = all.drop { $0 == "0" }
  let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
  // The value is 0.DIGITS times ten to the power of `point`.
  let point = mantissa[0].count + exponent - (all.count - significant.count)
  var digits = significant
  while digits.last == "0" { digits.removeLast() }
  let sign = number < 0 ? "-" : ""
  if point > 21 || point < -5 {
    let tail = digits.count > 1 ? ".\(digits.dropFirst())" : ""
    return "\(sign)\(digits.prefix(1))\(tail)e\(point > 0 ? "+" : "-")\(abs(point - 1))"
  }
  if point <= 0 { return "\(sign)0.\(String(repeating: "0", count: -point))\(digits)" }
  if digits.count <= point { return sign + digits + String(repeating: "0", count: point - digits.count) }
  return "\(sign)\(digits.prefix(point)).\(digits.dropFirst(point))"
}
