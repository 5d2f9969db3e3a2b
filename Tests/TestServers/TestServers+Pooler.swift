import Foundation

/// A connection pooler in front of the database, as hosted databases have one.
extension TestServers {
  /// How long a client keeps a server connection of PgBouncer.
  public enum Pooling: String, Sendable, CaseIterable {
    /// While the client is connected.
    case session
    /// During one transaction. Other clients see the client's session settings.
    case transaction
  }

  /// The same database through PgBouncer, which is started if it does not run. It runs until the database is stopped.
  ///
  /// - Parameter url: the URL of a database on these servers. Its role logs in as it would without the pooler.
  public func pooled(_ url: String, _ pooling: Pooling) async throws -> String {
    let port = try await Self.run(["pooler", directory, pooling.rawValue])
    guard let number = Int(port), var components = URLComponents(string: url) else {
      throw TestServersError(operation: "read the pooler's port", status: -1, output: port)
    }
    components.port = number
    return components.string ?? url
  }
}
