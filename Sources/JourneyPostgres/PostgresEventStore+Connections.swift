import PostgresClient

/// How the connections for commits are.
extension PostgresEventStore {
  /// How many commits wait for a connection.
  public var waiting: Int { commits.waiting }
  /// How many connections were lost since the start.
  public var connectionsLost: Int { commits.connectionsLost }
}
