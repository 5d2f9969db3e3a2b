public import FoundationEssentials

// One-dimensional arrays. NULL elements are nil; more dimensions throw `decoding`.
extension PostgresResult {
  public func texts(_ row: Int, _ column: Int) throws(PostgresError) -> [String?] {
    try array(row, column, "text[]", OID.textArray) { String(decoding: $0, as: UTF8.self) }
  }
  public func uuids(_ row: Int, _ column: Int) throws(PostgresError) -> [UUID?] {
    try array(row, column, "uuid[]", OID.uuidArray) { $0.uuid }
  }
  public func int4s(_ row: Int, _ column: Int) throws(PostgresError) -> [Int32?] {
    try array(row, column, "int4[]", OID.int4Array) { $0.integer(Int32.self) }
  }
  public func int8s(_ row: Int, _ column: Int) throws(PostgresError) -> [Int64?] {
    try array(row, column, "int8[]", OID.int8Array) { $0.integer(Int64.self) }
  }
  /// Microseconds since 1970-01-01T00:00:00Z.
  public func timestamps(_ row: Int, _ column: Int) throws(PostgresError) -> [Int64?] {
    try array(row, column, "timestamptz[]", OID.timestamptzArray) {
      $0.integer(Int64.self).map(PostgresEpoch.fromServer)
    }
  }

  func array<Value>(
    _ row: Int, _ column: Int, _ wanted: String, _ type: UInt32, _ element: (UnsafeRawBufferPointer) -> Value?
  ) throws(PostgresError) -> [Value?] {
    let values = try decode(row, column, wanted, type) { bytes, _ in Self.elements(bytes, element) }
    return try required(values, column, wanted)
  }

  private static func elements<Value>(_ bytes: UnsafeRawBufferPointer, _ element: (UnsafeRawBufferPointer) -> Value?)
    -> [Value?]?
  {
    func integer(at offset: Int) -> Int32? {
      offset + 4 <= bytes.count ? UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + 4]).integer(Int32.self) : nil
    }
    guard let dimensions = integer(at: 0) else { return nil }
    if dimensions == 0 { return [] }
    guard dimensions == 1, let count = integer(at: 12) else { return nil }
    var values: [Value?] = []
    values.reserveCapacity(Int(count))
    var offset = 20
    for _ in 0..<count {
      guard let length = integer(at: offset).map({ Int($0) }) else { return nil }
      offset += 4
      if length < 0 {
        values.append(nil)
        continue
      }
      guard offset + length <= bytes.count,
        let value = element(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length]))
      else {
        return nil
      }
      values.append(value)
      offset += length
    }
    return values
  }
}
