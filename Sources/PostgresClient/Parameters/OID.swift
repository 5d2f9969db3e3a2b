/// Type identifiers, which PostgreSQL's `pg_type.dat` fixes.
@usableFromInline
enum OID {
  @usableFromInline static let bool: UInt32 = 16
  @usableFromInline static let bytea: UInt32 = 17
  @usableFromInline static let name: UInt32 = 19
  @usableFromInline static let int8: UInt32 = 20
  @usableFromInline static let int2: UInt32 = 21
  @usableFromInline static let int4: UInt32 = 23
  @usableFromInline static let text: UInt32 = 25
  @usableFromInline static let oid: UInt32 = 26
  @usableFromInline static let json: UInt32 = 114
  @usableFromInline static let float4: UInt32 = 700
  @usableFromInline static let float8: UInt32 = 701
  @usableFromInline static let bpchar: UInt32 = 1042
  @usableFromInline static let varchar: UInt32 = 1043
  @usableFromInline static let timestamptz: UInt32 = 1184
  @usableFromInline static let uuid: UInt32 = 2950
  @usableFromInline static let jsonb: UInt32 = 3802

  @usableFromInline static let boolArray: UInt32 = 1000
  @usableFromInline static let byteaArray: UInt32 = 1001
  @usableFromInline static let int4Array: UInt32 = 1007
  @usableFromInline static let textArray: UInt32 = 1009
  @usableFromInline static let int8Array: UInt32 = 1016
  @usableFromInline static let float8Array: UInt32 = 1022
  @usableFromInline static let timestamptzArray: UInt32 = 1185
  @usableFromInline static let jsonArray: UInt32 = 199
  @usableFromInline static let uuidArray: UInt32 = 2951
  @usableFromInline static let jsonbArray: UInt32 = 3807

  /// 2278 is `void`, which has no value to read.
  static let readable: Set<UInt32> = [
    bool, bytea, name, int8, int2, int4, text, oid, json, float4, float8, bpchar, varchar, timestamptz, uuid, jsonb,
    boolArray, byteaArray, int4Array,
    textArray, int8Array, float8Array, timestamptzArray, jsonArray, uuidArray, jsonbArray, 2278,
  ]
}

/// The binary form of `timestamptz` counts microseconds from 2000-01-01; its extremes are the infinities.
@usableFromInline
enum PostgresEpoch {
  @usableFromInline static let offset: Int64 = 946_684_800_000_000

  @inlinable
  static func toServer(_ microsecondsSince1970: Int64) -> Int64 {
    if microsecondsSince1970 == .max || microsecondsSince1970 == .min { return microsecondsSince1970 }
    let (value, overflow) = microsecondsSince1970.subtractingReportingOverflow(offset)
    // Not an infinity, but a value that the server refuses (22008).
    return overflow ? .min + 1 : value
  }

  static func fromServer(_ microsecondsSince2000: Int64) -> Int64 {
    if microsecondsSince2000 == .max || microsecondsSince2000 == .min { return microsecondsSince2000 }
    let (value, overflow) = microsecondsSince2000.addingReportingOverflow(offset)
    // From the year 294247 on: the last instant that is not an infinity.
    return overflow ? .max - 1 : value
  }
}
