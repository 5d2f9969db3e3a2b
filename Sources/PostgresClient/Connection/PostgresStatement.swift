/// A statement with a name. Each connection prepares it once, on first use, together with that use, and again when the
/// server says that its copy is gone or outdated.
public struct PostgresStatement: Hashable, Sendable {
  /// Unique among the statements of a connection, at most 63 bytes; also the operation named in errors.
  public let name: String
  /// One SQL statement with parameters `$1`, `$2`, …
  public let sql: String

  public init(name: String, _ sql: String) {
    self.name = name
    self.sql = sql
  }

  /// Opens a transaction; for the head of a pipeline, so that it costs no round trip of its own.
  public static let begin = PostgresStatement(name: "BEGIN", "BEGIN")
  /// Commits; for the tail of a pipeline. The pipeline fails unless the server's answer is really `COMMIT`.
  public static let commit = PostgresStatement(name: "COMMIT", "COMMIT")
}
