@testable import PostgresClient
import TestServers
import Testing

/// A fresh database's connection string, with a superuser's login.
func freshDatabase() async throws -> String {
  try await TestServers.shared().makeDatabase()
}

func settings(_ url: String, _ change: (inout PostgresSettings) -> Void = { _ in }) throws -> PostgresSettings {
  var settings = try PostgresSettings(conninfo: url)
  change(&settings)
  return settings
}

/// A connection to a fresh database, used on the test's own thread: its calls are short.
func withConnection(
  _ change: (inout PostgresSettings) -> Void = { _ in }, _ body: (PostgresConnection) throws -> Void
) async throws {
  let url = try await freshDatabase()
  let connection = try PostgresConnection.connect(settings(url, change))
  try body(connection)
}

/// The error that the body must throw.
func failure(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) throws -> PostgresError {
  try #require(throws: PostgresError.self, sourceLocation: sourceLocation) { try body() }
}

extension PostgresConnection {
  /// The first column of the first row.
  func number(_ sql: String) throws -> Int64 {
    try execute(PostgresStatement(name: sql, sql)).int64(0, 0)
  }
}

/// Arrays that only tests read.
extension PostgresResult {
  func int4s(_ row: Int, _ column: Int) throws(PostgresError) -> [Int32?] {
    try array(row, column, "int4[]", OID.int4Array) { $0.integer(Int32.self) }
  }
  func int8s(_ row: Int, _ column: Int) throws(PostgresError) -> [Int64?] {
    try array(row, column, "int8[]", OID.int8Array) { $0.integer(Int64.self) }
  }
  func doubles(_ row: Int, _ column: Int) throws(PostgresError) -> [Double?] {
    try array(row, column, "float8[]", OID.float8Array) { $0.integer(UInt64.self).map { Double(bitPattern: $0) } }
  }
  func bools(_ row: Int, _ column: Int) throws(PostgresError) -> [Bool?] {
    try array(row, column, "bool[]", OID.boolArray) { $0.first.map { $0 != 0 } }
  }
  func byteas(_ row: Int, _ column: Int) throws(PostgresError) -> [[UInt8]?] {
    try array(row, column, "bytea[]", OID.byteaArray) { [UInt8]($0) }
  }
  func jsonbs(_ row: Int, _ column: Int) throws(PostgresError) -> [[UInt8]?] {
    try array(row, column, "jsonb[]", OID.jsonbArray) { $0.first == 1 ? [UInt8]($0.dropFirst()) : nil }
  }
}
