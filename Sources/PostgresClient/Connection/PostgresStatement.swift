/// A named statement. Each connection prepares it in the round trip of its first use, and again when the server reports
/// that its copy is gone or outdated.
public struct PostgresStatement: Hashable, Sendable {
  /// Unique among the statements of a connection, at most 63 bytes. Errors report it as the operation.
  public let name: String
  /// One SQL statement with parameters `$1`, `$2`, …
  public let sql: String

  public init(name: String, _ sql: String) {
    self.name = name
    self.sql = sql
  }

  /// Opens a transaction. At the start of a pipeline it costs no round trip of its own.
  public static let begin = PostgresStatement(name: "BEGIN", "BEGIN")
  /// Commits, at the end of a pipeline. The pipeline fails unless the server's reply is `COMMIT`.
  public static let commit = PostgresStatement(name: "COMMIT", "COMMIT")
  public static let rollback = PostgresStatement(name: "ROLLBACK", "ROLLBACK")
}
