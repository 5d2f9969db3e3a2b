public import FoundationEssentials

/// Writes one JSON text without white space. Inserts separators.
///
/// It does not check that containers are closed.
public struct JSONWriter: ~Copyable, Sendable {
  private var out: ByteWriter
  private var needsComma = false

  public init(reservingCapacity capacity: Int = 256) { out = ByteWriter(capacity: capacity) }

  /// A copy of the text so far.
  public var bytes: [UInt8] { out.bytes }

  /// The text so far, without a copy.
  public func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result { out.withBytes(body) }

  /// Starts a new text in the same memory.
  public mutating func removeAll() {
    out.removeAll()
    needsComma = false
  }

  public mutating func beginObject() { open(ASCII.openBrace) }
  public mutating func endObject() { close(ASCII.closeBrace) }
  public mutating func beginArray() { open(ASCII.openBracket) }
  public mutating func endArray() { close(ASCII.closeBracket) }

  @_disfavoredOverload
  public mutating func key(_ name: String) {
    string(name)
    out.append(ASCII.colon)
    needsComma = false
  }

  /// A key that needs no escapes.
  @inline(__always)
  public mutating func key(_ name: StaticString) {
    unescaped(name)
    out.append(ASCII.colon)
    needsComma = false
  }

  @inline(__always)
  public mutating func string(_ text: String) {
    text.withBytes { source in
      guard let base = source.baseAddress, source.isPlainInJSON else {
        let escapes = source.count { ASCII.isEscaped($0) }
        return quoted(atMost: source.count + escapes * 5) { Self.escape(source, into: $0) }
      }
      quoted(atMost: source.count) { buffer in
        buffer.update(from: base, count: source.count)
        return source.count
      }
    }
  }

  /// A string that needs no escapes.
  @inline(__always)
  public mutating func unescaped(_ text: String) {
    text.withBytes { source in
      quoted(atMost: source.count) { buffer in
        if let base = source.baseAddress { buffer.update(from: base, count: source.count) }
        return source.count
      }
    }
  }
  @inline(__always)
  public mutating func unescaped(_ text: StaticString) {
    quoted(atMost: text.utf8CodeUnitCount) { buffer in
      buffer.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
      return text.utf8CodeUnitCount
    }
  }

  @inline(__always)
  public mutating func uuid(_ id: UUID) {
    quoted(atMost: UUID.textLength) { id.writeText(to: $0) }
  }

  /// RFC 3339 in UTC, like `Timestamp.iso8601`.
  @inline(__always)
  public mutating func time(_ time: Timestamp) {
    quoted(atMost: Timestamp.maxTextLength) { time.writeISO8601(to: $0) }
  }

  public mutating func int(_ number: some BinaryInteger) {
    separate()
    if let number = Int64(exactly: number) { out.append(decimal: number) } else { out.append(String(number)) }
  }

  /// The shortest decimal that reads back as `number`, in the format of JavaScript's `JSON.stringify`: `12`, `0.1`,
  /// `1e+21`. Null if the number is not finite. Source: ECMA-262, Number::toString.
  @inline(__always)
  public mutating func double(_ number: Double) {
    separate()
    if let whole = plainWhole(number) { out.append(decimal: whole) } else { out.append(javaScriptText(number)) }
  }

  public mutating func bool(_ value: Bool) {
    separate()
    out.append(value ? "true" : "false")
  }

  public mutating func null() {
    separate()
    out.append("null")
  }

  /// Appends bytes that already are one JSON value.
  public mutating func raw(_ value: [UInt8]) { raw(value[...]) }
  @inline(__always)
  public mutating func raw(_ value: ArraySlice<UInt8>) {
    separate()
    value.withUnsafeBufferPointer { out.append($0) }
  }

  /// Writes a member unless its value is nil.
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
  public mutating func member(_ name: StaticString, unescaped text: String) {
    key(name)
    unescaped(text)
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

  @inline(__always)
  private mutating func separate() {
    if needsComma { out.append(ASCII.comma) }
    needsComma = true
  }

  @inline(__always)
  private mutating func open(_ bracket: UInt8) {
    separate()
    out.append(bracket)
    needsComma = false
  }

  @inline(__always)
  private mutating func close(_ bracket: UInt8) {
    out.append(bracket)
    needsComma = true
  }

  /// Writes a separator and a quoted value. `write` fills in the text between the quotes and returns its length.
  @inline(__always)
  private mutating func quoted(atMost most: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Int) {
    let comma = needsComma ? 1 : 0
    out.append(atMost: most &+ 3) { buffer in
      // Without a comma, the quote overwrites it.
      buffer[0] = ASCII.comma
      buffer[comma] = ASCII.quote
      let end = comma &+ 1 &+ write(buffer + comma + 1)
      buffer[end] = ASCII.quote
      return end &+ 1
    }
    needsComma = true
  }

  /// - Parameter buffer: with a capacity of five more bytes per escaped byte.
  private static func escape(_ source: UnsafeBufferPointer<UInt8>, into buffer: UnsafeMutablePointer<UInt8>) -> Int {
    var end = 0
    func put(_ byte: UInt8) {
      buffer[end] = byte
      end &+= 1
    }
    for byte in source {
      guard ASCII.isEscaped(byte) else {
        put(byte)
        continue
      }
      put(ASCII.backslash)
      switch byte {
      case ASCII.quote, ASCII.backslash: put(byte)
      case 0x08: put(UInt8(ascii: "b"))
      case 0x09: put(UInt8(ascii: "t"))
      case 0x0A: put(UInt8(ascii: "n"))
      case 0x0C: put(UInt8(ascii: "f"))
      case 0x0D: put(UInt8(ascii: "r"))
      default:
        put(UInt8(ascii: "u"))
        put(ASCII.zero)
        put(ASCII.zero)
        put(ASCII.hexDigit(of: byte >> 4))
        put(ASCII.hexDigit(of: byte & 15))
      }
    }
    return end
  }
}

/// A number that is written as plain digits.
private func plainWhole(_ number: Double) -> Int64? {
  number.magnitude < 1e15 && number == number.rounded() ? Int64(number) : nil
}

/// Swift also prints the shortest digits, but formats point and exponent differently.
func javaScriptText(_ number: Double) -> String {
  guard number.isFinite else { return "null" }
  if let whole = plainWhole(number) { return String(whole) }
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
