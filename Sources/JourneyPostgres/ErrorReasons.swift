public import PostgresClient

extension PostgresError {
  /// What anybody may be told: nothing of the server's words, since a host's triggers may put data into them.
  public var reason: String {
    let words =
      switch sqlState {
      case "53100": "the database's disk is full"
      case "25006": "the database is read-only"
      case "42501": "the database denies a privilege"
      // libpq says so itself, of a server that should take writes.
      case nil where message.contains("read-only"): "the database is read-only"
      case nil where kind == .deadline: "the database does not answer"
      case nil where isOfConnecting: "cannot connect to the database"
      case nil: "the connection to the database was lost"
      default: isOfConnecting ? "the database refuses sessions" : "the database refuses the work"
      }
    return words + (sqlState.map { " (SQLSTATE \($0))" } ?? "")
  }
}
