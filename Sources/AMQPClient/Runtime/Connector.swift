/// Opens connections, going round the endpoints.
struct Connector {
  let settings: AMQPConnectionSettings
  let use: Connection.Use
  private var index = 0

  init(settings: AMQPConnectionSettings, use: Connection.Use) {
    self.settings = settings
    self.use = use
  }

  /// Tries the present endpoint; after a failure it is the next one's turn.
  mutating func connect() throws(AMQPError) -> Connection {
    let endpoint = settings.endpoints[index % settings.endpoints.count]
    do {
      return try Connection.open(endpoint, settings: settings, for: use)
    } catch {
      index += 1
      throw error
    }
  }
}
