public import FoundationEssentials

/// A column of a batch, filled value by value: a one-dimensional array for `unnest`, like those that `PostgresParameters` makes of rows, for columns that
/// grow side by side. The values are written once, in the server's binary form.
public struct PostgresColumn: Sendable {
  let oid: UInt32
  let element: UInt32
  public private(set) var count: Int32 = 0
  private(set) var hasNull = false
  private(set) var bytes: [UInt8] = []

  private init(_ oid: UInt32, of element: UInt32) {
    self.oid = oid
    self.element = element
  }

  public static var uuids: PostgresColumn { PostgresColumn(OID.uuidArray, of: OID.uuid) }
  public static var texts: PostgresColumn { PostgresColumn(OID.textArray, of: OID.text) }
  public static var timestamptzs: PostgresColumn { PostgresColumn(OID.timestamptzArray, of: OID.timestamptz) }
  public static var float8s: PostgresColumn { PostgresColumn(OID.float8Array, of: OID.float8) }
  public static var byteas: PostgresColumn { PostgresColumn(OID.byteaArray, of: OID.bytea) }
  public static var jsons: PostgresColumn { PostgresColumn(OID.jsonArray, of: OID.json) }
  public static var jsonbs: PostgresColumn { PostgresColumn(OID.jsonbArray, of: OID.jsonb) }

  public mutating func append(_ value: UUID?) { add(value) { $0.appendElement($1) } }
  public mutating func append(_ value: String?) { add(value) { $0.appendElement($1) } }
  public mutating func append(_ value: Double?) { add(value) { $0.appendElement(Int64(bitPattern: $1.bitPattern)) } }
  /// Microseconds since 1970-01-01T00:00:00Z.
  public mutating func append(microseconds value: Int64?) { add(value) { $0.appendElement(PostgresEpoch.toServer($1)) } }
  /// The bytes of a `bytea`, or the text of a `json` or `jsonb`.
  public mutating func append(_ value: [UInt8]?) {
    let isJSONB = element == OID.jsonb
    add(value) { isJSONB ? $0.appendJSONBElement($1) : $0.appendElement($1) }
  }

  @inline(__always)
  private mutating func add<Value>(_ value: Value?, _ append: (inout [UInt8], Value) -> Void) {
    count += 1
    guard let value else {
      hasNull = true
      return bytes.appendBigEndian(Int32(-1))
    }
    append(&bytes, value)
  }
}

extension PostgresParameters {
  public mutating func column(_ column: PostgresColumn) {
    let start = bytes.count
    bytes.appendBigEndian(Int32(column.count == 0 ? 0 : 1))
    bytes.appendBigEndian(Int32(column.hasNull ? 1 : 0))
    bytes.appendBigEndian(column.element)
    if column.count > 0 {
      bytes.appendBigEndian(column.count)
      bytes.appendBigEndian(Int32(1))
      bytes.append(contentsOf: column.bytes)
    }
    addSlot(column.oid, from: start, isNull: false)
  }
}
