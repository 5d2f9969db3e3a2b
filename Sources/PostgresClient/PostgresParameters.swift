public import FoundationEssentials

/// The parameters of one execution, in PostgreSQL's binary format, in the order in which they are added.
///
/// All values share one growing buffer: neither a parameter nor an array's element costs an allocation of its own.
public struct PostgresParameters: Sendable {
  struct Slot: Sendable {
    var oid: UInt32
    var offset: Int
    /// -1 stands for NULL.
    var length: Int
  }

  private(set) var slots: [Slot] = []
  @usableFromInline var bytes: [UInt8] = []

  public init() {}

  /// Builds in place: `PostgresParameters { $0.uuid(id); $0.text(name) }`.
  public init(_ build: (inout PostgresParameters) -> Void) { build(&self) }

  public var count: Int { slots.count }

  public mutating func uuid(_ value: UUID?) { scalar(OID.uuid, value) { $0.appendUUID($1) } }
  /// The server refuses text with a NUL character (22021).
  public mutating func text(_ value: String?) { scalar(OID.text, value) { $0.append(contentsOf: $1.utf8) } }
  public mutating func int4(_ value: Int32?) { scalar(OID.int4, value) { $0.appendBigEndian($1) } }
  public mutating func int8(_ value: Int64?) { scalar(OID.int8, value) { $0.appendBigEndian($1) } }
  public mutating func float8(_ value: Double?) { scalar(OID.float8, value) { $0.appendBigEndian($1.bitPattern) } }
  public mutating func bool(_ value: Bool?) { scalar(OID.bool, value) { $0.append($1 ? 1 : 0) } }
  /// Microseconds since 1970-01-01T00:00:00Z; `Int64.max` and `.min` are the infinities.
  public mutating func timestamptz(_ value: Int64?) {
    scalar(OID.timestamptz, value) { $0.appendBigEndian(PostgresEpoch.toServer($1)) }
  }
  public mutating func bytea(_ value: [UInt8]?) { scalar(OID.bytea, value) { $0.append(contentsOf: $1) } }
  /// JSON text, UTF-8; the server parses it (22P02 where it is none, 22P05 where it holds `\u0000`).
  public mutating func jsonb(_ value: [UInt8]?) { scalar(OID.jsonb, value) { $0.appendJSONB($1) } }
  /// JSON text, UTF-8, kept by the server byte for byte.
  public mutating func json(_ value: [UInt8]?) { scalar(OID.json, value) { $0.append(contentsOf: $1) } }

  private mutating func scalar<Value>(_ oid: UInt32, _ value: Value?, _ append: (inout [UInt8], Value) -> Void) {
    let start = bytes.count
    guard let value else {
      addSlot(oid, from: start, isNull: true)
      return
    }
    append(&bytes, value)
    addSlot(oid, from: start, isNull: false)
  }

  @usableFromInline
  mutating func addSlot(_ oid: UInt32, from start: Int, isNull: Bool) {
    slots.append(Slot(oid: oid, offset: start, length: isNull ? -1 : bytes.count - start))
  }
}

extension [UInt8] {
  @inlinable
  mutating func appendBigEndian<Value: FixedWidthInteger>(_ value: Value) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }

  @inlinable
  mutating func appendUUID(_ value: UUID) {
    Swift.withUnsafeBytes(of: value.uuid) { append(contentsOf: $0) }
  }

  /// The binary form of jsonb is a version byte and the JSON text.
  @inlinable
  mutating func appendJSONB(_ value: [UInt8]) {
    append(1)
    append(contentsOf: value)
  }

  @inlinable
  mutating func overwriteBigEndian(_ value: Int32, at offset: Int) {
    Swift.withUnsafeBytes(of: value.bigEndian) { source in
      for index in 0..<4 { self[offset + index] = source[index] }
    }
  }
}
