public import Journey

/// A JSON value that can be changed. Numbers and literals keep the text they were written with, objects the order of
/// their members.
public indirect enum JSONTree: Hashable, Sendable, Encodable {
  case object([Member])
  case array([JSONTree])
  case string(String)
  /// A number, `true`, `false` or `null`, as it was written.
  case literal(String)

  public struct Member: Hashable, Sendable {
    public var key: String
    public var value: JSONTree
  }

  public init(_ value: JSONValue) {
    switch value.kind {
    case .object: self = .object(value.members.map { Member(key: $0.key, value: JSONTree($0.value)) })
    case .array: self = .array(value.elements.map { JSONTree($0) })
    case .string: self = .string(value.string ?? "")
    case .number, .true, .false, .null: self = .literal(String(decoding: value.rawBytes, as: UTF8.self))
    }
  }

  /// The value as JSON, without white space, or indented for people.
  public func bytes(indented: Bool = false) -> [UInt8] {
    indented ? Array(pretty(indent: "").utf8) : encodeJSON(self)
  }

  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .object(let members): try JSONObject(members.map { ($0.key, $0.value) }).encode(to: encoder)
    case .array(let elements): try elements.encode(to: encoder)
    case .string(let text): try text.encode(to: encoder)
    case .literal(let text):
      var container = encoder.singleValueContainer()
      try container.encode(RawJSON(Array(text.utf8)))
    }
  }

  private func pretty(indent: String) -> String {
    let inner = indent + "  "
    switch self {
    case .object(let members) where !members.isEmpty:
      let lines = members.map {
        "\(inner)\(JSONTree.string($0.key).pretty(indent: "")): \($0.value.pretty(indent: inner))"
      }
      return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
    case .array(let elements) where !elements.isEmpty:
      return "[\n" + elements.map { inner + $0.pretty(indent: inner) }.joined(separator: ",\n") + "\n\(indent)]"
    default: return String(decoding: encodeJSON(self), as: UTF8.self)
    }
  }

  /// Equality as RFC 6902, section 4.6, defines it: numbers by their value, members in any order.
  func isEqual(_ other: JSONTree) -> Bool {
    switch (self, other) {
    case (.object(let a), .object(let b)):
      return a.count == b.count
        && a.allSatisfy { member in
          b.contains { $0.key.utf8.elementsEqual(member.key.utf8) && $0.value.isEqual(member.value) }
        }
    case (.array(let a), .array(let b)): return a.count == b.count && zip(a, b).allSatisfy { $0.isEqual($1) }
    case (.string(let a), .string(let b)): return a.utf8.elementsEqual(b.utf8)
    case (.literal(let a), .literal(let b)):
      if a == b { return true }
      guard let x = Double(a), let y = Double(b) else { return false }
      // Integers beyond a double's precision differ by their digits alone.
      if let i = Int64(a), let j = Int64(b) { return i == j }
      return x == y
    default: return false
    }
  }
}
