import PostgresClient
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
