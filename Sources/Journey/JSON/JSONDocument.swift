/// A parsed JSON text: the unchanged text, and a tape with the position of each value.
///
/// Numbers keep their notation, strings are unescaped on access, and every value can be cut out byte by byte. Source:
/// RFC 8259, stricter where `JSONError.Code` says so.
public struct JSONDocument: Sendable {
  public let bytes: [UInt8]
  let nodes: [JSONNode]

  /// - Throws: `JSONError` if `bytes` is not exactly one JSON value in UTF-8 within `limits`.
  public init(parsing bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) {
    guard bytes.count <= limits.maxBytes else {
      throw JSONError(code: .tooLong, offset: limits.maxBytes, line: 1, column: limits.maxBytes + 1, path: "$")
    }
    let parsed: Result<[JSONNode], JSONError> = bytes.withUnsafeBufferPointer { text in
      guard let base = text.baseAddress, !text.isEmpty else {
        return .failure(JSONError(code: .unexpectedEnd, offset: 0, line: 1, column: 1, path: "$"))
      }
      var parser = JSONParser(text, base: base, limits: limits)
      do throws(JSONError.Code) {
        try parser.parseDocument()
        return .success(Array(parser.nodes))
      } catch {
        return .failure(Self.locate(error, at: parser.position, in: text, tape: parser.nodes))
      }
    }
    self.bytes = bytes
    nodes = try parsed.get()
  }

  /// - Throws: `JSONError` if `text` is not exactly one JSON value.
  public init(parsing text: String, limits: JSONLimits = JSONLimits()) throws(JSONError) {
    try self.init(parsing: Array(text.utf8), limits: limits)
  }

  public var root: JSONValue { JSONValue(document: self, index: 0) }

  // MARK: Nodes by index, for the hot path: an index needs no reference counting

  /// The value of the last member of `object` with this UTF-8 key; `jsonb` also keeps the last one.
  func member(of object: Int, _ key: UnsafeBufferPointer<UInt8>) -> Int? {
    nodes.withUnsafeBufferPointer { nodes in
      bytes.withUnsafeBufferPointer { bytes in
        guard nodes[object].kind == .object else { return nil }
        let end = Int(nodes[object].next)
        var found: Int?
        var at = object + 1
        while at < end {
          let node = nodes[at]
          // An escaped key is longer than its text.
          if Int(node.end &- node.start) >= key.count {
            let isKey =
              node.isComplex
              ? string(at: at).utf8.elementsEqual(key)
              : Int(node.end &- node.start) == key.count && Self.isSame(bytes, from: Int(node.start), key)
            if isKey { found = at + 1 }
          }
          at = Int(nodes[at + 1].next)
        }
        return found
      }
    }
  }

  /// Whether the bytes from `start` equal `key`. The caller has compared the lengths.
  @inline(__always)
  private static func isSame(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int, _ key: UnsafeBufferPointer<UInt8>)
    -> Bool
  {
    guard let bytes = bytes.baseAddress, let key = key.baseAddress.map({ ($0, key.count) }) else { return true }
    var at = 0
    while at < key.1 {
      if bytes[start &+ at] != key.0[at] { return false }
      at &+= 1
    }
    return true
  }

  /// The element at `position` of `array`; a negative position counts from the end.
  func element(of array: Int, _ position: Int) -> Int? {
    guard nodes[array].kind == .array else { return nil }
    var remaining = position < 0 ? childCount(of: array) + position : position
    guard remaining >= 0 else { return nil }
    let end = Int(nodes[array].next)
    var at = array + 1
    while at < end {
      if remaining == 0 { return at }
      remaining -= 1
      at = Int(nodes[at].next)
    }
    return nil
  }

  /// The elements of an array or the values of an object, in order.
  func children(of container: Int) -> [Int] {
    let kind = nodes[container].kind
    guard kind == .array || kind == .object else { return [] }
    let end = Int(nodes[container].next)
    var at = container + 1
    var found: [Int] = []
    while at < end {
      if kind == .object { at += 1 }
      found.append(at)
      at = Int(nodes[at].next)
    }
    return found
  }

  /// The number of elements of an array, or of keys and values of an object.
  func childCount(of container: Int) -> Int {
    let end = Int(nodes[container].next)
    var at = container + 1
    var count = 0
    while at < end {
      count += 1
      at = Int(nodes[at].next)
    }
    return count
  }

  func string(at index: Int) -> String {
    let node = nodes[index]
    let slice = bytes[Int(node.start)..<Int(node.end)]
    return node.isComplex ? unescaped(slice) : String(decoding: slice, as: UTF8.self)
  }

  /// The value's source text, a string with its quotes.
  func raw(at index: Int) -> ArraySlice<UInt8> {
    let node = nodes[index]
    return node.kind == .string
      ? bytes[(Int(node.start) - 1)..<(Int(node.end) + 1)] : bytes[Int(node.start)..<Int(node.end)]
  }

  // MARK: Faults

  private static func locate(
    _ code: JSONError.Code, at offset: Int, in text: UnsafeBufferPointer<UInt8>, tape: UnsafeBufferPointer<JSONNode>
  ) -> JSONError {
    let before = text[..<min(offset, text.count)]
    let line = before.count { $0 == 0x0A } + 1
    let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    return JSONError(
      code: code, offset: offset, line: line, column: offset - lineStart + 1, path: openPath(in: text, tape: tape))
  }

  /// Builds the path of the open containers: those without `next`.
  private static func openPath(in text: UnsafeBufferPointer<UInt8>, tape: UnsafeBufferPointer<JSONNode>) -> String {
    var path = "$"
    var at = 0
    while at < tape.count, tape[at].next == 0, tape[at].kind == .object || tape[at].kind == .array {
      let isObject = tape[at].kind == .object
      var child = at + 1
      var position = 0
      while true {
        let value = isObject ? child + 1 : child
        guard value < tape.count else { return path }
        if tape[value].next == 0 {
          path += isObject ? JSONPath.segment(key(at: child, in: text, tape: tape)) : "[\(position)]"
          at = value
          break
        }
        child = Int(tape[value].next)
        position += 1
      }
    }
    return path
  }

  private static func key(at index: Int, in text: UnsafeBufferPointer<UInt8>, tape: UnsafeBufferPointer<JSONNode>)
    -> String
  {
    let slice = text[Int(tape[index].start)..<Int(tape[index].end)]
    let name = tape[index].isComplex ? unescaped(ArraySlice(slice)) : String(decoding: slice, as: UTF8.self)
    return name.shortened(to: 64)
  }
}
