/// Opens connections to the endpoints in turn.
struct Connector {
  let settings: AMQPConnectionSettings
  let use: Connection.Use
  private(set) var index = 0

  /// Each call tries the next endpoint, also after a success: a lost connection is more likely to be restored on
  /// another host.
  mutating func connect() throws(AMQPError) -> Connection {
    defer { index = (index + 1) % settings.endpoints.count }
    return try Connection.open(settings.endpoints[index], settings: settings, for: use)
  }
}
