/// The bytes of JSON's grammar.
enum ASCII {
  static let quote = UInt8(ascii: "\"")
  static let backslash = UInt8(ascii: "\\")
  static let openBrace = UInt8(ascii: "{")
  static let closeBrace = UInt8(ascii: "}")
  static let openBracket = UInt8(ascii: "[")
  static let closeBracket = UInt8(ascii: "]")
  static let colon = UInt8(ascii: ":")
  static let comma = UInt8(ascii: ",")
  static let minus = UInt8(ascii: "-")
  static let plus = UInt8(ascii: "+")
  static let point = UInt8(ascii: ".")
  static let zero = UInt8(ascii: "0")
  static let nine = UInt8(ascii: "9")

  @inline(__always)
  static func isDigit(_ byte: UInt8) -> Bool { byte &- zero < 10 }

  /// The value of four hexadecimal digits.
  static func hexUnit(_ digits: UnsafePointer<UInt8>) -> UInt16? {
    var unit: UInt16 = 0
    for offset in 0..<4 {
      guard let digit = hexDigit(digits[offset]) else { return nil }
      unit = unit << 4 | UInt16(digit)
    }
    return unit
  }

  /// Whether the writer escapes the byte.
  @inline(__always)
  static func isEscaped(_ byte: UInt8) -> Bool { byte < 0x20 || byte == quote || byte == backslash || byte == 0x7F }

  /// The lower-case hexadecimal digit of a value below 16.
  @inline(__always)
  static func hexDigit(of value: UInt8) -> UInt8 { value < 10 ? zero + value : UInt8(ascii: "a") + value - 10 }

  static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case zero...nine: byte - zero
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}

extension UnsafeBufferPointer<UInt8> {
  var isASCII: Bool { allWords({ $0 & 0x8080_8080_8080_8080 == 0 }, otherwise: { $0 < 0x80 }) }

  /// Whether all bytes are ASCII and none is a control character or DEL.
  var isPrintableASCII: Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    return allWords(
      {
        let deletes = $0 ^ (ones &* 0x7F)
        return ($0 | (($0 &- ones &* 0x20) & ~$0) | ((deletes &- ones) & ~deletes)) & (ones &* 0x80) == 0
      }, otherwise: { (0x20...0x7E).contains($0) })
  }

  /// Whether no byte needs an escape in JSON: no control character, quote, backslash or DEL.
  var isPlainInJSON: Bool { allWords({ !Self.hasEscaped($0) }, otherwise: { !ASCII.isEscaped($0) }) }

  /// Tests eight bytes at a time. The last word overlaps the one before; fewer than eight bytes are tested one by one.
  @inline(__always)
  private func allWords(_ holds: (UInt64) -> Bool, otherwise holdsAlone: (UInt8) -> Bool) -> Bool {
    let raw = UnsafeRawBufferPointer(self)
    guard count >= 8 else {
      for byte in raw where !holdsAlone(byte) { return false }
      return true
    }
    var at = 0
    while at &+ 8 <= count {
      if !holds(raw.loadUnaligned(fromByteOffset: at, as: UInt64.self)) { return false }
      at &+= 8
    }
    return at == count || holds(raw.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self))
  }

  @inline(__always)
  private static func hasEscaped(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    // As in `JSONParser`, a borrow only adds marks after a true one. So there are no marks if and only if no byte
    // matches.
    let quotes = word ^ (ones &* UInt64(ASCII.quote)), slashes = word ^ (ones &* UInt64(ASCII.backslash)),
      deletes = word ^ (ones &* 0x7F)
    let marks =
      ((quotes &- ones) & ~quotes) | ((slashes &- ones) & ~slashes) | ((deletes &- ones) & ~deletes)
      | ((word &- (ones &* 0x20)) & ~word)
    return marks & highs != 0
  }
}

extension JSONParser {
  /// The length of the UTF-8 sequence at `p`, or 0 if it is invalid. Source: Unicode, table 3-7.
  static func utf8Length(_ p: UnsafePointer<UInt8>, _ available: Int) -> Int {
    func isTail(_ offset: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool { range.contains(p[offset]) }
    switch p[0] {
    case 0x00...0x7F: return 1
    case 0xC2...0xDF: return available >= 2 && isTail(1) ? 2 : 0
    case 0xE0: return available >= 3 && isTail(1, 0xA0...0xBF) && isTail(2) ? 3 : 0
    case 0xED: return available >= 3 && isTail(1, 0x80...0x9F) && isTail(2) ? 3 : 0
    case 0xE1...0xEF: return available >= 3 && isTail(1) && isTail(2) ? 3 : 0
    case 0xF0: return available >= 4 && isTail(1, 0x90...0xBF) && isTail(2) && isTail(3) ? 4 : 0
    case 0xF1...0xF3: return available >= 4 && isTail(1) && isTail(2) && isTail(3) ? 4 : 0
    case 0xF4: return available >= 4 && isTail(1, 0x80...0x8F) && isTail(2) && isTail(3) ? 4 : 0
    default: return 0
    }
  }

  static func isUTF8(_ p: UnsafePointer<UInt8>, _ available: Int) -> Bool { utf8Length(p, available) > 0 }
}

/// Unescapes a JSON string that the parser has checked.
///
/// - Parameter bytes: the string without its quotes.
func unescaped(_ bytes: ArraySlice<UInt8>) -> String {
  var text: [UInt8] = []
  text.reserveCapacity(bytes.count)
  bytes.withUnsafeBufferPointer { source in
    var p = 0
    while p < source.count {
      guard source[p] == ASCII.backslash else {
        text.append(source[p])
        p += 1
        continue
      }
      switch source[p + 1] {
      case UInt8(ascii: "b"): text.append(0x08)
      case UInt8(ascii: "f"): text.append(0x0C)
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "u"):
        p += appendEscapedScalar(source, at: p, to: &text)
        continue
      default: text.append(source[p + 1])
      }
      p += 2
    }
  }
  return String(decoding: text, as: UTF8.self)
}

/// Appends the scalar of `\uXXXX` or of a surrogate pair.
/// - Returns: the number of source bytes.
private func appendEscapedScalar(_ source: UnsafeBufferPointer<UInt8>, at backslash: Int, to text: inout [UInt8]) -> Int
{
  func unit(at offset: Int) -> UInt32 {
    source[(offset + 2)..<(offset + 6)].reduce(0) { $0 << 4 | UInt32(ASCII.hexDigit($1) ?? 0) }
  }
  var value = unit(at: backslash)
  var length = 6
  if value & 0xFC00 == 0xD800 {
    value = 0x10000 + (value & 0x3FF) << 10 + (unit(at: backslash + 6) & 0x3FF)
    length = 12
  }
  text.append(contentsOf: String(Unicode.Scalar(value) ?? "\u{FFFD}").utf8)
  return length
}
