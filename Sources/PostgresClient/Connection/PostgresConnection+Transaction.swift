extension PostgresConnection {
  public func begin(file: String = #fileID, line: Int = #line) throws(PostgresError) {
    let text = takeOnRole.map { "BEGIN; \($0.sql)" } ?? "BEGIN"
    _ = try simpleQuery(text, operation: PostgresStatement.begin.name, site: CallSite(file: file, line: line))
  }

  /// - Throws: `commitUnknown` when the connection was lost before the reply; `transient` when the server rolled back
  ///   instead, because a statement of the transaction had failed.
  public func commit(file: String = #fileID, line: Int = #line) throws(PostgresError) {
    let site = CallSite(file: file, line: line)
    let result = try simpleQuery("COMMIT", operation: PostgresStatement.commit.name, site: site)
    guard result.commandTag == "COMMIT" else { throw rolledBackInstead(site) }
  }

  public func rollback(file: String = #fileID, line: Int = #line) throws(PostgresError) {
    _ = try simpleQuery("ROLLBACK", operation: "ROLLBACK", site: CallSite(file: file, line: line))
  }

  /// Runs the body in a transaction. Commits when the body returns and rolls back when it throws.
  ///
  /// - Throws: the body's error, or that of BEGIN or COMMIT.
  public func transaction<Value>(
    file: String = #fileID, line: Int = #line, _ body: () throws -> Value
  ) throws -> Value {
    try begin(file: file, line: line)
    do {
      let value = try body()
      try commit(file: file, line: line)
      return value
    } catch {
      abandonTransaction()
      throw error
    }
  }

  /// Rolls an open transaction back. If that fails, gives the connection up, which ends the transaction.
  func abandonTransaction() {
    guard isUsable, isInTransaction else { return }
    do throws(PostgresError) { try rollback() } catch { libpq.markBroken() }
  }

  func rolledBackInstead(_ site: CallSite) -> PostgresError {
    PostgresError(
      .transient, operation: PostgresStatement.commit.name,
      "the server answered COMMIT with ROLLBACK: a statement of the transaction had failed", file: site.file,
      line: site.line)
  }
}
