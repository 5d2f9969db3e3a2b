import TestServers

/// A database of the shared servers with the adapter's tables, to copy.
struct DatabaseTemplate: Sendable {
  let name: String
  /// The owner of its tables.
  let logins: TestLogins

  private static let made = Task<DatabaseTemplate, any Error> {
    let servers = try await TestServers.shared()
    // With servers given, it is migrated by the command. Nobody is connected to it afterwards.
    let template = try await TestEnvironment.with(servers: servers) {
      DatabaseTemplate(name: $0.databaseURL.databaseName, logins: $0.logins)
    }
    // So that those who take over the tables of their copies do not all change the owner of this database too.
    try await servers.sql("ALTER DATABASE \(template.name) OWNER TO CURRENT_USER")
    return template
  }

  /// Made at the first call. The others wait for it.
  static func shared() async throws -> DatabaseTemplate { try await made.value }
}
