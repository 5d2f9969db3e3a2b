public import PostgresClient

extension PostgresError {
  /// Why the database failed, safe to show to any caller. It never repeats the server's message, because a host's
  /// triggers may put personal data into it.
  public var reason: String {
    let words =
      switch sqlState {
      case "53100": "the database's disk is full"
      case _ where isOfReadOnlyServer: "the database is read-only"
      case "42501": "the database denies a privilege"
      case nil where kind == .deadline: "the database does not answer"
      case nil where isOfConnecting: "cannot connect to the database"
      case nil: "the connection to the database was lost"
      default: isOfConnecting ? "the database refuses sessions" : "the database refuses the work"
      }
    return words + (sqlState.map { " (SQLSTATE \($0))" } ?? "")
  }
}
