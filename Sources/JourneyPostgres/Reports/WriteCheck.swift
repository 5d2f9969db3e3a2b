public import PostgresClient

/// Whether a database takes writes.
public enum WriteCheck {
  /// - Returns: why not, for a person; nil where it does.
  /// - Throws: `PostgresError` where it does not answer, `CancellationError`.
  public static func problem(_ worker: PostgresWorker) async throws -> String? {
    try await worker.perform { connection in
      // Not prepared: a pooler that lends sessions out might know it already.
      let answer = try connection.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")
      if try answer.textIfPresent(0, 0) == "t" { return "the database is a standby, which takes no writes" }
      return try answer.textIfPresent(0, 1) == "t" ? "the database is read-only" : nil
    }
  }
}
