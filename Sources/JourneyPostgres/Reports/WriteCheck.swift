public import PostgresClient

/// Whether a database accepts writes.
public enum WriteCheck {
  /// - Returns: why it does not, as text for the operator; nil if it does.
  /// - Throws: `PostgresError` if the database does not answer, `CancellationError`.
  public static func problem(_ worker: PostgresWorker) async throws -> String? {
    try await worker.perform { connection in
      // Not a prepared statement: in a session that a pooler shares, its name may exist already.
      let answer = try connection.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")
      if try answer.textIfPresent(0, 0) == "t" { return "the database is a standby, which takes no writes" }
      return try answer.textIfPresent(0, 1) == "t" ? "the database is read-only" : nil
    }
  }
}
