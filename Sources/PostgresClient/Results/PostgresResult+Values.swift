public import FoundationEssentials

extension PostgresResult {
  public func uuidIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> UUID? {
    try decode(row, column, "uuid", OID.uuid) { bytes, _ in bytes.uuid }
  }
  public func uuid(_ row: Int, _ column: Int) throws(PostgresError) -> UUID {
    try required(uuidIfPresent(row, column), column, "uuid")
  }

  /// Text types, and every value of the simple query protocol, which returns text only.
  public func textIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
    guard let bytes = try value(row, column) else { return nil }
    switch type(column) {
    case OID.text, OID.varchar, OID.bpchar, OID.name: break
    default: guard isText(column) else { throw mismatch(column, "text") }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
  public func text(_ row: Int, _ column: Int) throws(PostgresError) -> String {
    try required(textIfPresent(row, column), column, "text")
  }

  /// `int4` or `int2`.
  public func int32IfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int32? {
    try decode(row, column, "int4", OID.int4, OID.int2) { bytes, type in
      type == OID.int4 ? bytes.integer(Int32.self) : bytes.integer(Int16.self).map { Int32($0) }
    }
  }
  public func int32(_ row: Int, _ column: Int) throws(PostgresError) -> Int32 {
    try required(int32IfPresent(row, column), column, "int4")
  }

  /// `int8`, `int4`, `int2` or `oid`.
  public func int64IfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
    try decode(row, column, "int8", OID.int8, OID.int4, OID.int2, OID.oid) { bytes, type in
      switch type {
      case OID.int8: bytes.integer(Int64.self)
      case OID.int4: bytes.integer(Int32.self).map { Int64($0) }
      case OID.oid: bytes.integer(UInt32.self).map { Int64($0) }
      default: bytes.integer(Int16.self).map { Int64($0) }
      }
    }
  }
  public func int64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
    try required(int64IfPresent(row, column), column, "int8")
  }

  /// `float8` or `float4`; cast `numeric` in the statement.
  public func doubleIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Double? {
    try decode(row, column, "float8", OID.float8, OID.float4) { bytes, type in
      type == OID.float8
        ? bytes.integer(UInt64.self).map { Double(bitPattern: $0) }
        : bytes.integer(UInt32.self).map { Double(Float(bitPattern: $0)) }
    }
  }
  public func double(_ row: Int, _ column: Int) throws(PostgresError) -> Double {
    try required(doubleIfPresent(row, column), column, "float8")
  }

  public func boolIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Bool? {
    try decode(row, column, "bool", OID.bool) { bytes, _ in bytes.first.map { $0 != 0 } }
  }
  public func bool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool {
    try required(boolIfPresent(row, column), column, "bool")
  }

  /// `timestamptz` in microseconds since 1970-01-01T00:00:00Z; the infinities are `Int64.max` and `.min`.
  public func timestampIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
    try decode(row, column, "timestamptz", OID.timestamptz) { bytes, _ in
      bytes.integer(Int64.self).map(PostgresEpoch.fromServer)
    }
  }
  public func timestamp(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
    try required(timestampIfPresent(row, column), column, "timestamptz")
  }

  public func bytesIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8]? {
    try decode(row, column, "bytea", OID.bytea) { bytes, _ in [UInt8](bytes) }
  }
  public func bytes(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8] {
    try required(bytesIfPresent(row, column), column, "bytea")
  }

  /// JSON text of a `jsonb` or `json` column, UTF-8.
  public func jsonIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8]? {
    try decode(row, column, "jsonb", OID.jsonb, OID.json) { bytes, type in
      // jsonb has a version byte before the text.
      if type == OID.json { return [UInt8](bytes) }
      return bytes.first == 1 ? [UInt8](bytes.dropFirst()) : nil
    }
  }
  public func json(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8] {
    try required(jsonIfPresent(row, column), column, "jsonb")
  }
}

extension UnsafeRawBufferPointer {
  /// Nil when the width differs.
  func integer<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
    guard count == MemoryLayout<Value>.size else { return nil }
    return Value(bigEndian: loadUnaligned(as: Value.self))
  }

  var uuid: UUID? {
    guard count == 16 else { return nil }
    return UUID(uuid: loadUnaligned(as: uuid_t.self))
  }
}
