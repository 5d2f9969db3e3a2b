public import PostgresClient

/// Whether a database takes writes.
public enum WriteCheck {
  /// - Returns: why not, for a person; nil where it does.
  /// - Throws: `PostgresError` where it does not answer, `CancellationError`.
  public static func problem(_ worker: PostgresWorker) async throws -> String? {
    try await worker.perform { connection in
      let answer = try connection.execute(state)
      if try answer.bool(0, 0) { return "the database is a standby, which takes no writes" }
      return try answer.bool(0, 1) ? "the database is read-only" : nil
    }
  }

  private static let state = PostgresStatement(
    name: "write_check", "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool")
}
