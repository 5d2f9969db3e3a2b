import FoundationEssentials

/// Encodes a value as JSON: members in the order in which the value encodes them, ids in lower case, times as RFC 3339
/// in UTC, and numbers as `JSONWriter` writes them.
///
/// Foundation's encoder keeps no order of members and cannot embed a text that is JSON already. A value may ask for
/// several containers of the same kind: they add to one object.
/// - Precondition: the value's own `encode(to:)` does not throw.
public func encodeJSON(_ value: some Encodable, reservingCapacity capacity: Int = 1024) -> [UInt8] {
  let output = Output(capacity)
  do { try output.write(value) } catch { preconditionFailure("\(type(of: value)) cannot be encoded: \(error)") }
  return output.json.bytes
}

/// A text that is one JSON value already, embedded byte for byte.
public struct RawJSON: Encodable, Hashable, Sendable {
  public var bytes: [UInt8]

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Only `encodeJSON` embeds it.
  public func encode(to encoder: any Encoder) throws {
    throw EncodingError.invalidValue(
      self, EncodingError.Context(codingPath: encoder.codingPath, debugDescription: "only encodeJSON embeds JSON"))
  }
}

/// An object with the members of a dictionary literal, in their order. Members that are nil are omitted.
public struct JSONObject: Encodable, ExpressibleByDictionaryLiteral {
  private struct MemberName: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private let members: [(name: String, value: (any Encodable)?)]

  public init(dictionaryLiteral members: (String, (any Encodable)?)...) { self.init(members) }
  public init(_ members: [(String, (any Encodable)?)]) { self.members = members.map { ($0, $1) } }

  /// Adds to the encoder's object, if it has one.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: MemberName.self)
    for member in members {
      if let value = member.value { try container.encode(value, forKey: MemberName(stringValue: member.name)) }
    }
  }
}

/// A member that is null rather than omitted.
public struct JSONNull: Encodable {
  public init() {}

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encodeNil()
  }
}

extension Timestamp: Encodable {
  public func encode(to encoder: any Encoder) throws { try iso8601.encode(to: encoder) }
}

private final class Output {
  var json: JSONWriter

  init(_ capacity: Int) { json = JSONWriter(reservingCapacity: capacity) }

  func write(_ value: some Encodable) throws {
    switch value {
    case let text as String: json.string(text)
    case let flag as Bool: json.bool(flag)
    case let number as any BinaryInteger: json.int(number)
    case let number as Double: json.double(number)
    case let id as UUID: json.uuid(id)
    case let time as Timestamp: json.time(time)
    case let raw as RawJSON: json.raw(raw.bytes)
    default:
      let encoder = ValueEncoder(self)
      try value.encode(to: encoder)
      encoder.close()
    }
  }
}

/// Encodes one value; what it has opened is closed after the value has encoded itself.
private final class ValueEncoder: Encoder {
  private enum Container { case object, array }

  let codingPath: [any CodingKey] = []
  let userInfo: [CodingUserInfoKey: Any] = [:]
  private let output: Output
  private var open: Container?

  init(_ output: Output) { self.output = output }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    if open == nil { output.json.beginObject() }
    open = .object
    return KeyedEncodingContainer(Members(output: output))
  }
  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    if open == nil { output.json.beginArray() }
    open = .array
    return Elements(output: output)
  }
  func singleValueContainer() -> any SingleValueEncodingContainer { SingleValue(output: output) }

  func close() {
    switch open {
    case .object: output.json.endObject()
    case .array: output.json.endArray()
    case nil: break
    }
  }
}

private struct Members<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let output: Output
  let codingPath: [any CodingKey] = []

  mutating func encodeNil(forKey key: Key) {
    output.json.key(key.stringValue)
    output.json.null()
  }
  mutating func encode(_ value: some Encodable, forKey key: Key) throws {
    output.json.key(key.stringValue)
    try output.write(value)
  }
  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key)
    -> KeyedEncodingContainer<Nested>
  { unsupported() }
  mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { unsupported() }
  mutating func superEncoder() -> any Encoder { unsupported() }
  mutating func superEncoder(forKey key: Key) -> any Encoder { unsupported() }
}

private struct Elements: UnkeyedEncodingContainer {
  let output: Output
  let codingPath: [any CodingKey] = []
  private(set) var count = 0

  init(output: Output) { self.output = output }

  mutating func encodeNil() { output.json.null() }
  mutating func encode(_ value: some Encodable) throws {
    try output.write(value)
    count += 1
  }
  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    unsupported()
  }
  mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { unsupported() }
  mutating func superEncoder() -> any Encoder { unsupported() }
}

private struct SingleValue: SingleValueEncodingContainer {
  let output: Output
  let codingPath: [any CodingKey] = []

  mutating func encodeNil() { output.json.null() }
  mutating func encode(_ value: some Encodable) throws { try output.write(value) }
}

/// Nobody would close a nested container: a member that is an object of its own is a type of its own.
private func unsupported() -> Never { preconditionFailure("encodeJSON supports no nested containers") }
