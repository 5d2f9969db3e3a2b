/// One value of a document: a view that costs nothing until something is asked of it.
public struct JSONValue: Sendable {
  public let document: JSONDocument
  let index: Int

  public var kind: JSONKind { document.nodes[index].kind }
  public var isNull: Bool { kind == .null }

  /// The text of a string, unescaped; nil for anything else.
  public var string: String? { kind == .string ? document.string(at: index) : nil }

  public var bool: Bool? {
    switch kind {
    case .true: true
    case .false: false
    default: nil
    }
  }

  /// A number as it was written: `12.50` stays `12.50`.
  public var numberText: String? { kind == .number ? String(decoding: rawBytes, as: UTF8.self) : nil }

  /// A number that is written as an integer and fits; never a rounded one.
  public var int64: Int64? {
    kind == .number && !document.nodes[index].isComplex ? numberText.flatMap { Int64($0) } : nil
  }

  /// The nearest double to a number.
  public var double: Double? { numberText.flatMap { Double($0) } }

  /// A string's text, a number as it was written, `true` or `false`; nil for null and containers.
  public var text: String? {
    switch kind {
    case .string: document.string(at: index)
    case .number, .true, .false: String(decoding: rawBytes, as: UTF8.self)
    case .null, .object, .array: nil
    }
  }

  /// The value exactly as it stands in the text.
  public var rawBytes: ArraySlice<UInt8> { document.raw(at: index) }

  /// An object's member; where a key occurs twice, the last one, as in `jsonb`.
  public subscript(key: String) -> JSONValue? {
    key.withBytes { document.member(of: index, $0) }.map { JSONValue(document: document, index: $0) }
  }

  /// An array's element; a negative position counts from the end.
  public subscript(position: Int) -> JSONValue? {
    document.element(of: index, position).map { JSONValue(document: document, index: $0) }
  }

  /// Elements of an array or members of an object, a repeated key counted each time; 0 for anything else.
  public var count: Int {
    switch kind {
    case .array: document.childCount(of: index)
    case .object: document.childCount(of: index) / 2
    default: 0
    }
  }

  /// The elements of an array, in order; empty for anything else.
  public var elements: some Sequence<JSONValue> {
    JSONChildren(document: document, container: kind == .array ? index : nil)
  }

  /// The members of an object, in order, a repeated key each time; empty for anything else.
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
