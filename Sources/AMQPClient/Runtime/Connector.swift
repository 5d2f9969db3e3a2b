/// Opens connections, going round the endpoints.
struct Connector {
  let settings: AMQPConnectionSettings
  let use: Connection.Use
  private var index = 0

  init(settings: AMQPConnectionSettings, use: Connection.Use) {
    self.settings = settings
    self.use = use
  }

  /// Each call takes the next endpoint. Also after a success: what was lost since is more likely to be found elsewhere.
  mutating func connect() throws(AMQPError) -> Connection {
    defer { index = (index + 1) % settings.endpoints.count }
    return try Connection.open(settings.endpoints[index], settings: settings, for: use)
  }
}
