/// A value in an AMQP field table: a header, a queue argument, a client property.
///
/// Integers of every width are read as `int`. `int` is sent as a signed 64-bit integer ('l'), the one kind that all
/// broker versions and clients interpret alike.
public indirect enum FieldValue: Hashable, Sendable {
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case string(String)
  /// Raw bytes, or a string that is not valid UTF-8.
  case bytes([UInt8])
  /// Seconds since 1970-01-01T00:00:00Z.
  case timestamp(Int64)
  /// `value` x 10^-`scale`.
  case decimal(scale: UInt8, value: Int32)
  case array([FieldValue])
  case table(FieldTable)
  case void
}

extension FieldValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension FieldValue {
  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  public var intValue: Int64? { if case .int(let value) = self { value } else { nil } }
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var tableValue: FieldTable? { if case .table(let value) = self { value } else { nil } }
  public var arrayValue: [FieldValue]? { if case .array(let value) = self { value } else { nil } }
}

/// An AMQP field table. Keeps the order of its fields, so that its encoding is deterministic.
///
/// Lookup is linear: header tables are short, and an array costs less memory per message than a dictionary.
public struct FieldTable: Hashable, Sendable {
  public struct Field: Hashable, Sendable {
    public var name: String
    public var value: FieldValue

    public init(_ name: String, _ value: FieldValue) {
      self.name = name
      self.value = value
    }
  }

  /// In wire order. A peer may send a name twice; a lookup finds the first.
  public private(set) var fields: [Field]

  public init(_ fields: [Field] = []) { self.fields = fields }

  public var isEmpty: Bool { fields.isEmpty }
  public var count: Int { fields.count }

  /// The first value of that name. Setting replaces it in place or appends it; setting `nil` removes every field of
  /// that name.
  public subscript(name: String) -> FieldValue? {
    get { fields.first { $0.name == name }?.value }
    set {
      guard let newValue else {
        fields.removeAll { $0.name == name }
        return
      }
      if let index = fields.firstIndex(where: { $0.name == name }) {
        fields[index].value = newValue
      } else {
        fields.append(Field(name, newValue))
      }
    }
  }
}

extension FieldTable: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, FieldValue)...) {
    self.init(elements.map { Field($0.0, $0.1) })
  }
}

extension FieldTable: Sequence {
  public func makeIterator() -> IndexingIterator<[Field]> { fields.makeIterator() }
}
