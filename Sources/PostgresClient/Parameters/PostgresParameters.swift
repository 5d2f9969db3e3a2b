public import FoundationEssentials

/// The parameters of one execution in PostgreSQL's binary format, in the order of the calls that add them.
///
/// All values share one growing buffer, except for columns, which have their own. So neither a parameter nor an array
/// element needs an allocation.
public struct PostgresParameters: Sendable {
  struct Slot: Sendable {
    var oid: UInt32
    /// The column that contains the value; nil: the shared buffer.
    var column: WireBytes?
    var offset: Int
    /// In bytes; -1 means NULL.
    var length: Int
  }

  private(set) var slots: [Slot] = []
  @usableFromInline var bytes = WireBytes()

  public init() {}

  /// Builds in place: `PostgresParameters { $0.uuid(id); $0.text(name) }`.
  public init(_ build: (inout PostgresParameters) -> Void) { build(&self) }

  public var count: Int { slots.count }

  public mutating func uuid(_ value: UUID?) {
    scalar(OID.uuid, value) { bytes, value in withUnsafeBytes(of: value.uuid) { bytes.append($0) } }
  }
  /// The server refuses text with a NUL character (22021).
  public mutating func text(_ value: String?) {
    scalar(OID.text, value) { bytes, value in
      var value = value
      value.withUTF8 { bytes.append(UnsafeRawBufferPointer($0)) }
    }
  }
  public mutating func int4(_ value: Int32?) { scalar(OID.int4, value) { $0.appendBigEndian($1) } }
  public mutating func int8(_ value: Int64?) { scalar(OID.int8, value) { $0.appendBigEndian($1) } }
  public mutating func float8(_ value: Double?) { scalar(OID.float8, value) { $0.appendBigEndian($1.bitPattern) } }
  public mutating func bool(_ value: Bool?) { scalar(OID.bool, value) { $0.appendBigEndian($1 ? 1 as UInt8 : 0) } }
  /// Microseconds since 1970-01-01T00:00:00Z; `Int64.max` and `.min` are the infinities.
  public mutating func timestamptz(_ value: Int64?) {
    scalar(OID.timestamptz, value) { $0.appendBigEndian(PostgresEpoch.toServer($1)) }
  }
  public mutating func bytea(_ value: [UInt8]?) {
    scalar(OID.bytea, value) { bytes, value in value.withUnsafeBytes { bytes.append($0) } }
  }
  /// JSON text in UTF-8. The server parses it: 22P02 for invalid JSON, 22P05 for `\u0000`.
  public mutating func jsonb(_ value: [UInt8]?) {
    scalar(OID.jsonb, value) { bytes, value in
      bytes.appendBigEndian(1 as UInt8)
      value.withUnsafeBytes { bytes.append($0) }
    }
  }
  /// JSON text in UTF-8, which the server stores unchanged.
  public mutating func json(_ value: [UInt8]?) {
    scalar(OID.json, value) { bytes, value in value.withUnsafeBytes { bytes.append($0) } }
  }

  private mutating func scalar<Value>(_ oid: UInt32, _ value: Value?, _ append: (inout WireBytes, Value) -> Void) {
    let start = bytes.count
    guard let value else { return addSlot(oid, from: start, length: -1) }
    append(&bytes, value)
    addSlot(oid, from: start, length: bytes.count - start)
  }

  @usableFromInline
  mutating func addSlot(_ oid: UInt32, from start: Int, length: Int, in column: WireBytes? = nil) {
    slots.append(Slot(oid: oid, column: column, offset: start, length: length))
  }
}
