/// A strict RFC 8259 parser that writes a tape of nodes.
///
/// It recurses up to the depth limit, and reads through a pointer, because bounds checks would double its cost. On an
/// error `position` is at the offending byte.
struct JSONParser: ~Copyable {
  private let base: UnsafePointer<UInt8>
  private let end: Int
  private let limits: JSONLimits
  private(set) var position = 0
  private var tape: UnsafeMutablePointer<JSONNode>
  private var count = 0
  private var capacity: Int

  init(_ text: UnsafeBufferPointer<UInt8>, base: UnsafePointer<UInt8>, limits: JSONLimits) {
    self.base = base
    end = text.count
    self.limits = limits
    capacity = min(text.count / 8 + 16, limits.maxNodes)
    tape = .allocate(capacity: capacity)
  }

  deinit { tape.deallocate() }

  var nodes: UnsafeBufferPointer<JSONNode> { UnsafeBufferPointer(start: tape, count: count) }

  mutating func parseDocument() throws(JSONError.Code) {
    if end >= 3, base[0] == 0xEF, base[1] == 0xBB, base[2] == 0xBF { throw .byteOrderMark }
    skipSpace()
    try parseValue(depth: 0)
    skipSpace()
    if position < end { throw .trailingBytes }
  }

  // MARK: Values

  private mutating func parseValue(depth: Int) throws(JSONError.Code) {
    guard position < end else { throw .unexpectedEnd }
    switch base[position] {
    case ASCII.quote: try parseString()
    case ASCII.openBrace: try parseObject(depth: depth + 1)
    case ASCII.openBracket: try parseArray(depth: depth + 1)
    case ASCII.minus, ASCII.zero...ASCII.nine: try parseNumber()
    case UInt8(ascii: "t"): try parseLiteral("true", .true)
    case UInt8(ascii: "f"): try parseLiteral("false", .false)
    case UInt8(ascii: "n"): try parseLiteral("null", .null)
    case let byte where byte >= 0x80: throw Self.isUTF8(base + position, end - position) ? .expectedValue : .invalidUTF8
    default: throw .expectedValue
    }
  }

  private mutating func parseObject(depth: Int) throws(JSONError.Code) {
    if depth > limits.maxDepth { throw .tooDeep }
    let node = try append(.object, start: position)
    position += 1
    skipSpace()
    if position < end, base[position] == ASCII.closeBrace { return close(node) }
    while true {
      guard position < end else { throw .unexpectedEnd }
      guard base[position] == ASCII.quote else { throw .expectedKey }
      try parseString()
      skipSpace()
      guard position < end else { throw .unexpectedEnd }
      guard base[position] == ASCII.colon else { throw .expectedColon }
      position += 1
      skipSpace()
      try parseValue(depth: depth)
      skipSpace()
      guard position < end else { throw .unexpectedEnd }
      if base[position] == ASCII.closeBrace { return close(node) }
      guard base[position] == ASCII.comma else { throw .expectedCommaOrBrace }
      position += 1
      skipSpace()
    }
  }

  private mutating func parseArray(depth: Int) throws(JSONError.Code) {
    if depth > limits.maxDepth { throw .tooDeep }
    let node = try append(.array, start: position)
    position += 1
    skipSpace()
    if position < end, base[position] == ASCII.closeBracket { return close(node) }
    while true {
      try parseValue(depth: depth)
      skipSpace()
      guard position < end else { throw .unexpectedEnd }
      if base[position] == ASCII.closeBracket { return close(node) }
      guard base[position] == ASCII.comma else { throw .expectedCommaOrBracket }
      position += 1
      skipSpace()
    }
  }

  private mutating func parseLiteral(_ word: StaticString, _ kind: JSONKind) throws(JSONError.Code) {
    let length = word.utf8CodeUnitCount
    for offset in 0..<length {
      guard position + offset < end else { throw .unexpectedEnd }
      guard base[position + offset] == word.utf8Start[offset] else { throw .invalidLiteral }
    }
    let node = try append(kind, start: position)
    position += length
    finish(node, end: position)
  }

  private mutating func parseNumber() throws(JSONError.Code) {
    let start = position
    var isComplex = false
    if base[position] == ASCII.minus { position += 1 }
    guard position < end else { throw .unexpectedEnd }
    if base[position] == ASCII.zero {
      position += 1
    } else {
      try skipDigits()
    }
    if position < end, base[position] == ASCII.point {
      isComplex = true
      position += 1
      try skipDigits()
    }
    if position < end, base[position] | 0x20 == UInt8(ascii: "e") {
      isComplex = true
      position += 1
      if position < end, base[position] == ASCII.minus || base[position] == ASCII.plus { position += 1 }
      try skipDigits()
    }
    if position < end, ASCII.isDigit(base[position]) { throw .invalidNumber }
    let node = try append(.number, start: start)
    tape[node].isComplex = isComplex
    finish(node, end: position)
  }

  private mutating func skipDigits() throws(JSONError.Code) {
    guard position < end else { throw .unexpectedEnd }
    guard ASCII.isDigit(base[position]) else { throw .invalidNumber }
    repeat { position += 1 } while position < end && ASCII.isDigit(base[position])
  }

  @inline(__always)
  private mutating func skipSpace() {
    while position < end {
      let byte = base[position]
      guard byte <= 0x20, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      position += 1
    }
  }

  // MARK: Strings

  private mutating func parseString() throws(JSONError.Code) {
    position += 1
    let node = try append(.string, start: position)
    while true {
      position = firstSpecial(from: position)
      guard position < end else { throw .unexpectedEnd }
      let byte = base[position]
      if byte == ASCII.quote {
        finish(node, end: position)
        position += 1
        return
      }
      if byte == ASCII.backslash {
        tape[node].isComplex = true
        try skipEscape()
      } else if byte < 0x20 {
        throw .controlCharacter
      } else {
        let length = Self.utf8Length(base + position, end - position)
        if length == 0 { throw .invalidUTF8 }
        position += length
      }
    }
  }

  /// The next byte that is a quote, a backslash, a control character or not ASCII. Tests eight bytes at a time: a
  /// borrow can only mark bytes *after* a true mark, so the lowest mark is always true.
  @inline(__always)
  private func firstSpecial(from start: Int) -> Int {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    var p = start
    while p &+ 8 <= end {
      let word = UInt64(littleEndian: UnsafeRawPointer(base + p).loadUnaligned(as: UInt64.self))
      let quotes = word ^ (ones &* UInt64(ASCII.quote))
      let slashes = word ^ (ones &* UInt64(ASCII.backslash))
      let marks =
        (((quotes &- ones) & ~quotes) | ((slashes &- ones) & ~slashes) | ((word &- (ones &* 0x20)) & ~word) | word)
        & highs
      if marks != 0 { return p &+ marks.trailingZeroBitCount / 8 }
      p &+= 8
    }
    while p < end {
      let byte = base[p]
      if byte == ASCII.quote || byte == ASCII.backslash || byte < 0x20 || byte >= 0x80 { break }
      p &+= 1
    }
    return p
  }

  private mutating func skipEscape() throws(JSONError.Code) {
    guard position + 1 < end else { throw .unexpectedEnd }
    switch base[position + 1] {
    case ASCII.quote, ASCII.backslash, UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
      UInt8(ascii: "r"), UInt8(ascii: "t"):
      position += 2
    case UInt8(ascii: "u"):
      let unit = try escapedUnit(at: position)
      if unit == 0 { throw .nulCharacter }
      if unit & 0xFC00 == 0xDC00 { throw .loneSurrogate }
      if unit & 0xFC00 == 0xD800 {
        guard position + 7 < end, base[position + 6] == ASCII.backslash, base[position + 7] == UInt8(ascii: "u") else {
          throw .loneSurrogate
        }
        guard try escapedUnit(at: position + 6) & 0xFC00 == 0xDC00 else { throw .loneSurrogate }
        position += 6
      }
      position += 6
    default: throw .invalidEscape
    }
  }

  private func escapedUnit(at backslash: Int) throws(JSONError.Code) -> UInt16 {
    guard backslash + 6 <= end else { throw .unexpectedEnd }
    guard let unit = ASCII.hexUnit(base + backslash + 2) else { throw .invalidEscape }
    return unit
  }

  // MARK: The tape

  @inline(__always)
  private mutating func append(_ kind: JSONKind, start: Int) throws(JSONError.Code) -> Int {
    if count == capacity { try grow() }
    let node = count
    (tape + node).initialize(
      to: JSONNode(start: UInt32(truncatingIfNeeded: start), end: 0, next: 0, kind: kind, isComplex: false))
    count = node &+ 1
    return node
  }

  private mutating func grow() throws(JSONError.Code) {
    if count >= limits.maxNodes { throw .tooManyNodes }
    let wider = min(capacity * 2, limits.maxNodes)
    let moved = UnsafeMutablePointer<JSONNode>.allocate(capacity: wider)
    moved.moveInitialize(from: tape, count: count)
    tape.deallocate()
    tape = moved
    capacity = wider
  }

  @inline(__always)
  private mutating func finish(_ node: Int, end: Int) {
    tape[node].end = UInt32(truncatingIfNeeded: end)
    tape[node].next = UInt32(truncatingIfNeeded: count)
  }

  private mutating func close(_ node: Int) {
    position += 1
    finish(node, end: position)
  }
}
