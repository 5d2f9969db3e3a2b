public import FoundationEssentials

// One-dimensional arrays, each a column of a batch: `INSERT … SELECT unnest($1::uuid[]), unnest($2::text[]), …`.
//
// Each type accepts an array or a projection of rows: `p.texts(events) { $0.source }` encodes the column directly from
// the rows, without an intermediate array. NULL elements are nil.
extension PostgresParameters {
  public mutating func uuids(_ values: [UUID]) { uuids(values) { $0 } }
  public mutating func uuids(_ values: [UUID?]) { uuids(values) { $0 } }
  @inlinable
  public mutating func uuids<Row>(_ rows: [Row], _ value: (Row) -> UUID?) {
    array(OID.uuidArray, of: OID.uuid, rows, sizeHint: 16, value) { $0.appendElement($1) }
  }

  public mutating func texts(_ values: [String]) { texts(values) { $0 } }
  public mutating func texts(_ values: [String?]) { texts(values) { $0 } }
  @inlinable
  public mutating func texts<Row>(_ rows: [Row], _ value: (Row) -> String?) {
    array(OID.textArray, of: OID.text, rows, sizeHint: 24, value) { $0.appendElement($1) }
  }

  public mutating func int4s(_ values: [Int32]) { int4s(values) { $0 } }
  @inlinable
  public mutating func int4s<Row>(_ rows: [Row], _ value: (Row) -> Int32?) {
    array(OID.int4Array, of: OID.int4, rows, sizeHint: 4, value) { $0.appendElement($1) }
  }

  @inlinable
  public mutating func int8s<Row>(_ rows: [Row], _ value: (Row) -> Int64?) {
    array(OID.int8Array, of: OID.int8, rows, sizeHint: 8, value) { $0.appendElement($1) }
  }

  @inlinable
  public mutating func float8s<Row>(_ rows: [Row], _ value: (Row) -> Double?) {
    array(OID.float8Array, of: OID.float8, rows, sizeHint: 8, value) {
      $0.appendElement(Int64(bitPattern: $1.bitPattern))
    }
  }

  public mutating func bools(_ values: [Bool]) { bools(values) { $0 } }
  @inlinable
  public mutating func bools<Row>(_ rows: [Row], _ value: (Row) -> Bool?) {
    array(OID.boolArray, of: OID.bool, rows, sizeHint: 1, value) { $0.appendElement($1) }
  }

  /// Microseconds since 1970-01-01T00:00:00Z; `Int64.max` and `.min` are the infinities.
  public mutating func timestamptzs(_ values: [Int64]) { timestamptzs(values) { $0 } }
  @inlinable
  public mutating func timestamptzs<Row>(_ rows: [Row], _ value: (Row) -> Int64?) {
    array(OID.timestamptzArray, of: OID.timestamptz, rows, sizeHint: 8, value) {
      $0.appendElement(PostgresEpoch.toServer($1))
    }
  }

  public mutating func byteas(_ values: [[UInt8]]) { byteas(values) { $0 } }
  @inlinable
  public mutating func byteas<Row>(_ rows: [Row], _ value: (Row) -> [UInt8]?) {
    array(OID.byteaArray, of: OID.bytea, rows, sizeHint: 64, value) { $0.appendElement($1) }
  }

  @inlinable
  public mutating func jsonbs<Row>(_ rows: [Row], _ value: (Row) -> [UInt8]?) {
    array(OID.jsonbArray, of: OID.jsonb, rows, sizeHint: 128, value) { bytes, value in
      value.withUnsafeBytes { bytes.appendJSONBElement($0) }
    }
  }

  @inlinable
  public mutating func jsons<Row>(_ rows: [Row], _ value: (Row) -> [UInt8]?) {
    array(OID.jsonArray, of: OID.json, rows, sizeHint: 128, value) { $0.appendElement($1) }
  }

  @inlinable
  mutating func array<Row, Value>(
    _ oid: UInt32, of element: UInt32, _ rows: [Row], sizeHint: Int, _ value: (Row) -> Value?,
    _ append: (inout WireBytes, Value) -> Void
  ) {
    let start = bytes.count
    let needed = start + WireBytes.headerLength + rows.count * (4 + sizeHint)
    // At least doubled: growing to the exact size for each column would copy the buffer each time.
    if needed > bytes.memory.capacity { bytes.reserve(Swift.max(needed, 2 * bytes.memory.capacity)) }
    bytes.beginArray(of: element)
    var hasNull = false
    for row in rows {
      guard let value = value(row) else {
        bytes.appendNull()
        hasNull = true
        continue
      }
      append(&bytes, value)
    }
    if !rows.isEmpty { bytes.recordElements(rows.count, hasNull: hasNull, from: start) }
    addSlot(oid, from: start, length: bytes.arrayLength(from: start, elements: rows.count))
  }
}
