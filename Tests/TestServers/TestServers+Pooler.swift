import Foundation

/// A connection pooler before the database, as hosted databases have one.
extension TestServers {
  /// For how long PgBouncer lends a connection to the server to a client.
  public enum Pooling: String, Sendable, CaseIterable {
    /// As long as the client is connected.
    case session
    /// As long as a transaction takes: what a client sets for its session, another one may meet.
    case transaction
  }

  /// The same database through PgBouncer, which is started where it does not run yet. It runs until the database is
  /// stopped.
  ///
  /// - Parameter url: of one of these servers' databases; its role logs in as it would without the pooler.
  public func pooled(_ url: String, _ pooling: Pooling) async throws -> String {
    let port = try await Self.run(["pooler", directory, pooling.rawValue])
    guard let number = Int(port), var components = URLComponents(string: url) else {
      throw TestServersError(operation: "read the pooler's port", status: -1, output: port)
    }
    components.port = number
    return components.string ?? url
  }
}
