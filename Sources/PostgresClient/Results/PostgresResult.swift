import CLibPQ

/// The result of one statement: rows in binary format, read by row and column from 0.
///
/// Each getter throws `decoding` when the column has another type or the value is NULL; the `IfPresent` getters return
/// nil for NULL. A row or column out of range traps.
public final class PostgresResult {
  private let handle: ResultHandle
  private let operation: String
  private let columnTypes: [UInt32]
  public let rowCount: Int

  init(_ handle: consuming ResultHandle, operation: String) {
    let pointer = handle.pointer
    self.handle = handle
    self.operation = operation
    rowCount = Int(PQntuples(pointer))
    columnTypes = (0..<PQnfields(pointer)).map { PQftype(pointer, $0) }
  }

  public var columnCount: Int { columnTypes.count }
  /// E.g. `INSERT 0 5`, `COMMIT`.
  var commandTag: String { PQcmdStatus(handle.pointer).map { String(cString: $0) } ?? "" }
  /// The number of rows that the statement inserted, updated, deleted or selected.
  public var affectedRows: Int { PQcmdTuples(handle.pointer).flatMap { Int(String(cString: $0)) } ?? 0 }
  func columnName(_ column: Int) -> String {
    PQfname(handle.pointer, Int32(column)).map { String(cString: $0) } ?? ""
  }

  public func isNull(_ row: Int, _ column: Int) -> Bool {
    check(row, column)
    return PQgetisnull(handle.pointer, Int32(row), Int32(column)) == 1
  }

  private func check(_ row: Int, _ column: Int) {
    precondition(
      row >= 0 && row < rowCount && column >= 0 && column < columnTypes.count, "no such row or column in the result")
  }

  /// The value's bytes in libpq's memory, or nil for NULL. They must not leave this module.
  /// - Throws: if there is no such row: one that a statement promises may be gone, because a person has emptied a table.
  func value(_ row: Int, _ column: Int) throws(PostgresError) -> UnsafeRawBufferPointer? {
    guard row < rowCount else {
      throw PostgresError(.decoding, operation: operation, "the result has no row \(row)", column: columnName(column))
    }
    check(row, column)
    let (r, c) = (Int32(row), Int32(column))
    guard PQgetisnull(handle.pointer, r, c) == 0, let start = PQgetvalue(handle.pointer, r, c) else { return nil }
    return UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(handle.pointer, r, c)))
  }

  /// The first column whose type has no getter.
  public var unreadableColumn: String? {
    (0..<columnCount).first { !OID.readable.contains(type($0)) }.map { columnName($0) }
  }

  func isText(_ column: Int) -> Bool { PQfformat(handle.pointer, Int32(column)) == 0 }
  func type(_ column: Int) -> UInt32 { columnTypes[column] }

  func mismatch(_ column: Int, _ wanted: String, _ problem: String? = nil) -> PostgresError {
    let actual = problem ?? "has type \(columnTypes[column])\(isText(column) ? " in text format" : "")"
    return PostgresError(
      .decoding, operation: operation, "column \(column) (\(columnName(column))) was read as \(wanted) but \(actual)",
      column: columnName(column))
  }

  /// Checks the type (0 matches none) and decodes the value; nil for NULL.
  func decode<Value>(
    _ row: Int, _ column: Int, _ wanted: String, _ type1: UInt32, _ type2: UInt32 = 0, _ type3: UInt32 = 0,
    _ type4: UInt32 = 0,
    body: (UnsafeRawBufferPointer, UInt32) -> Value?
  ) throws(PostgresError) -> Value? {
    guard let bytes = try value(row, column) else { return nil }
    let type = columnTypes[column]
    let isWanted = type == type1 || type == type2 || type == type3 || type == type4
    guard isWanted, !isText(column), let value = body(bytes, type) else { throw mismatch(column, wanted) }
    return value
  }

  func required<Value>(_ value: Value?, _ column: Int, _ wanted: String) throws(PostgresError) -> Value {
    guard let value else { throw mismatch(column, wanted, "is NULL") }
    return value
  }
}
