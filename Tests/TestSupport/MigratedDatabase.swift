import Foundation
package import JourneyPostgres
package import PostgresClient
import TestServers
import Testing

/// The migrations of this repository.
package enum ShippedMigrations {
  package static let directory: String = {
    let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    let root = file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return root.appendingPathComponent("migrations").path
  }()

  package static func load() throws -> [Migration] { try Migration.load(directory: directory) }
}

/// Databases of the shared servers with the adapter's tables, which a superuser owns. The migrations run once.
package enum MigratedDatabase {
  private static let template = Task<String, any Error> {
    let url = try await TestServers.shared().makeDatabase()
    try await withDatabase(url) { try await $0.migrate() }
    return url.databaseName
  }

  /// - Returns: its URL, with a superuser's login.
  package static func make() async throws -> String {
    try await TestServers.shared().makeDatabase(template: try await template.value)
  }
}

/// Runs the body with a worker for the database, and closes it afterwards.
@discardableResult
package func withDatabase<Value>(
  _ url: String? = nil, role: String? = nil, _ body: (PostgresWorker) async throws -> Value
) async throws -> Value {
  let address = if let url { url } else { try await TestServers.shared().makeDatabase() }
  var settings = try PostgresSettings(conninfo: address, role: role)
  // Filling a database is slow on a busy machine.
  settings.deadline = .seconds(300)
  let worker = PostgresWorker(settings)
  do {
    let value = try await body(worker)
    await worker.close()
    return value
  } catch {
    await worker.close()
    throw error
  }
}

extension PostgresWorker {
  package func run(_ sql: String) async throws {
    try await perform { _ = try $0.execute(sql) }
  }

  /// The rows of a query as text, columns joined by `|`.
  package func rows(_ sql: String) async throws -> [String] {
    try await perform { connection in
      let result = try connection.execute(sql)
      return try (0..<result.rowCount).map { row in
        try (0..<result.columnCount).map { try result.textIfPresent(row, $0) ?? "" }.joined(separator: "|")
      }
    }
  }

  /// Applies all migrations of this repository.
  package func migrate() async throws {
    try await Migrator(self, files: ShippedMigrations.load()).apply()
  }
}

extension String {
  /// A connection string with another user.
  package func loggedIn(as user: String, password: String) throws -> String {
    let start = try #require(range(of: "://")).upperBound
    let at = try #require(self[start...].firstIndex(of: "@"))
    return self[..<start] + "\(user):\(password)" + self[at...]
  }
}
