/// One value of a document: a view that reads on access.
public struct JSONValue: Sendable {
  public let document: JSONDocument
  let index: Int

  public var kind: JSONKind { document.nodes[index].kind }
  public var isNull: Bool { kind == .null }

  /// The unescaped text of a string; nil for any other kind.
  public var string: String? { kind == .string ? document.string(at: index) : nil }

  public var bool: Bool? {
    switch kind {
    case .true: true
    case .false: false
    default: nil
    }
  }

  /// A number in its source notation: `12.50` stays `12.50`.
  public var numberText: String? { kind == .number ? String(decoding: rawBytes, as: UTF8.self) : nil }

  /// An integer that fits; never rounded.
  public var int64: Int64? {
    kind == .number && !document.nodes[index].isComplex ? numberText.flatMap { Int64($0) } : nil
  }

  /// The double nearest to a number.
  public var double: Double? { numberText.flatMap { Double($0) } }

  /// The text of a string, a number in its source notation, `true` or `false`; nil for null and containers.
  public var text: String? {
    switch kind {
    case .string: document.string(at: index)
    case .number, .true, .false: String(decoding: rawBytes, as: UTF8.self)
    case .null, .object, .array: nil
    }
  }

  /// The value's source text.
  public var rawBytes: ArraySlice<UInt8> { document.raw(at: index) }

  /// A member of an object; for a repeated key the last one, as in `jsonb`.
  public subscript(key: String) -> JSONValue? {
    key.withBytes { document.member(of: index, $0) }.map { JSONValue(document: document, index: $0) }
  }

  /// An element of an array; a negative position counts from the end.
  public subscript(position: Int) -> JSONValue? {
    document.element(of: index, position).map { JSONValue(document: document, index: $0) }
  }

  /// The number of elements of an array or members of an object, including repeated keys; 0 for any other kind.
  public var count: Int {
    switch kind {
    case .array: document.childCount(of: index)
    case .object: document.childCount(of: index) / 2
    default: 0
    }
  }

  /// The elements of an array, in order; empty for any other kind.
  public var elements: some Sequence<JSONValue> {
    JSONChildren(document: document, container: kind == .array ? index : nil)
  }

  /// The members of an object, in order and including repeated keys; empty for any other kind.
  public var members: some Sequence<(key: String, value: JSONValue)> {
    JSONMembers(children: JSONChildren(document: document, container: kind == .object ? index : nil))
  }
}

private struct JSONChildren: Sequence, IteratorProtocol {
  let document: JSONDocument
  var at: Int
  let end: Int

  init(document: JSONDocument, container: Int?) {
    self.document = document
    at = container.map { $0 + 1 } ?? 0
    end = container.map { Int(document.nodes[$0].next) } ?? 0
  }

  mutating func next() -> JSONValue? {
    guard at < end else { return nil }
    defer { at = Int(document.nodes[at].next) }
    return JSONValue(document: document, index: at)
  }
}

private struct JSONMembers: Sequence, IteratorProtocol {
  var children: JSONChildren

  mutating func next() -> (key: String, value: JSONValue)? {
    guard let key = children.next(), let value = children.next() else { return nil }
    return (key.document.string(at: key.index), value)
  }
}
