import FoundationEssentials
public import PostgresClient

/// Whether session state (a lock, a prepared statement, LISTEN, a setting) survives from one transaction to the next.
/// Behind a pooler in transaction mode it does not: each transaction may run on another session, and clients see each
/// other's session state.
public enum SessionCheck {
  public static let advice =
    "use the pooler's session mode (port 5432 at Supabase instead of 6543), or connect to the database directly"

  /// - Parameter timeout: for each answer. A pooler in transaction mode that has no free session keeps a transaction
  ///   waiting.
  /// - Returns: the problem as text for the operator; nil if sessions are kept.
  /// - Throws: `PostgresError` if no session can be opened.
  public static func run(_ settings: PostgresSettings, timeout: Duration = .seconds(5)) async throws -> String? {
    var settings = settings
    settings.deadline = timeout
    let worker = PostgresWorker(settings, name: "pg-sessions")
    let result: Result<String?, any Error>
    do {
      result = .success(
        try await worker.perform { [settings] connection throws(PostgresError) in try check(connection, settings) })
    } catch {
      result = .failure(error)
    }
    await worker.close()
    return try result.get()
  }

  private static func check(_ connection: PostgresConnection, _ settings: PostgresSettings) throws(PostgresError)
    -> String?
  {
    let others = [try PostgresConnection.connect(settings), try PostgresConnection.connect(settings)]
    let value = UUID().uuidString
    do throws(PostgresError) {
      let before = try session(connection, "set_config('journey.session_check', '\(value)', false)")
      // These take the pooler's idle sessions, including the first connection's.
      for other in others {
        try other.begin()
        _ = try other.execute("SELECT 1")
      }
      let after = try session(connection, "current_setting('journey.session_check', true)")
      if after.process == before.process, after.value == value { return nil }
      return
        "the database does not keep a session beyond a transaction: a pooler in transaction mode shares it between clients"
    } catch {
      guard error.kind == .deadline || error.kind == .transient else { throw error }
      return
        "three sessions cannot be in transactions at the same time (\(error.message)): a pooler in transaction mode shares them"
    }
  }

  private static func session(_ connection: PostgresConnection, _ value: String) throws(PostgresError) -> (
    process: String?, value: String?
  ) {
    try connection.begin()
    let result = try connection.execute("SELECT pg_backend_pid(), \(value)")
    let found = (process: try result.textIfPresent(0, 0), value: try result.textIfPresent(0, 1))
    try connection.commit()
    return found
  }
}
