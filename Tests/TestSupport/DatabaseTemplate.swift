import TestServers

/// A database of the shared servers with the adapter's tables, to copy.
struct DatabaseTemplate: Sendable {
  let name: String
  /// The owner of its tables.
  let logins: TestLogins

  private static let made = Task<DatabaseTemplate, any Error> {
    let servers = try await TestServers.shared()
    // With servers given, it is migrated by the command. Nobody is connected to it afterwards.
    return try await TestEnvironment.with(servers: servers) {
      DatabaseTemplate(name: $0.databaseURL.databaseName, logins: $0.logins)
    }
  }

  /// Made at the first call. The others wait for it.
  static func shared() async throws -> DatabaseTemplate { try await made.value }
}
