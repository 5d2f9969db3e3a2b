public import FoundationEssentials

/// A column of a batch as a one-dimensional array for `unnest`, filled value by value. For columns that grow side by
/// side; `PostgresParameters` encodes columns of rows that already exist. Each value is written once, in binary form.
public struct PostgresColumn: Sendable {
  let oid: UInt32
  private let element: UInt32
  public private(set) var count = 0
  private var hasNull = false
  private(set) var bytes: WireBytes

  /// - Parameters:
  ///   - count: the expected number of values.
  ///   - size: the expected size of a value in bytes.
  private init(_ oid: UInt32, of element: UInt32, _ count: Int, size: Int) {
    self.oid = oid
    self.element = element
    bytes = WireBytes(capacity: WireBytes.headerLength + count * (4 + size))
    bytes.beginArray(of: element)
  }

  public static func uuids(_ count: Int = 0) -> PostgresColumn {
    PostgresColumn(OID.uuidArray, of: OID.uuid, count, size: 16)
  }
  public static func texts(_ count: Int = 0, size: Int = 12) -> PostgresColumn {
    PostgresColumn(OID.textArray, of: OID.text, count, size: size)
  }
  public static func bools(_ count: Int = 0) -> PostgresColumn {
    PostgresColumn(OID.boolArray, of: OID.bool, count, size: 1)
  }
  public static func timestamptzs(_ count: Int = 0) -> PostgresColumn {
    PostgresColumn(OID.timestamptzArray, of: OID.timestamptz, count, size: 8)
  }
  public static func float8s(_ count: Int = 0) -> PostgresColumn {
    PostgresColumn(OID.float8Array, of: OID.float8, count, size: 8)
  }
  public static func byteas(_ count: Int = 0, size: Int = 64) -> PostgresColumn {
    PostgresColumn(OID.byteaArray, of: OID.bytea, count, size: size)
  }
  public static func jsons(_ count: Int = 0, size: Int = 128) -> PostgresColumn {
    PostgresColumn(OID.jsonArray, of: OID.json, count, size: size)
  }
  public static func jsonbs(_ count: Int = 0, size: Int = 64) -> PostgresColumn {
    PostgresColumn(OID.jsonbArray, of: OID.jsonb, count, size: size)
  }

  public mutating func append(_ value: UUID?) { add(value) { $0.appendElement($1) } }
  public mutating func append(_ value: String?) { add(value) { $0.appendElement($1) } }
  public mutating func append(_ value: Double?) { add(value) { $0.appendElement(Int64(bitPattern: $1.bitPattern)) } }
  public mutating func append(_ value: Bool?) { add(value) { $0.appendElement($1) } }
  /// Microseconds since 1970-01-01T00:00:00Z.
  public mutating func append(microseconds value: Int64?) {
    add(value) { $0.appendElement(PostgresEpoch.toServer($1)) }
  }
  /// The bytes of a `bytea`, or the text of a `json` or `jsonb`.
  public mutating func append(_ value: [UInt8]?) {
    guard let value else { return append(nil as UUID?) }
    value.withUnsafeBufferPointer { append($0) }
  }
  public mutating func append(_ value: UnsafeBufferPointer<UInt8>) {
    let isJSONB = element == OID.jsonb
    add(UnsafeRawBufferPointer(value)) { isJSONB ? $0.appendJSONBElement($1) : $0.appendElement($1) }
  }

  @inline(__always)
  private mutating func add<Value>(_ value: Value?, _ append: (inout WireBytes, Value) -> Void) {
    count &+= 1
    if let value {
      append(&bytes, value)
    } else {
      hasNull = true
      bytes.appendNull()
    }
    bytes.recordElements(count, hasNull: hasNull, from: 0)
  }
}

extension PostgresParameters {
  public mutating func column(_ column: PostgresColumn) {
    addSlot(column.oid, from: 0, length: column.bytes.arrayLength(from: 0, elements: column.count), in: column.bytes)
  }
}
