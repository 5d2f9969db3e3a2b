import ConnectionThreads
import Glibc

extension NamedThread {
  /// The C library decodes nested tables recursively, and any publisher chooses their depth: a table that fills a frame
  /// needs several megabytes of stack. The kernel maps only the pages that are used.
  static func startForConnection(name: String, _ body: @escaping @Sendable () -> Void) {
    start(name: name, stackBytes: 16 << 20, body)
  }
}

extension AMQPConnectionSettings {
  func reconnectBackoff() -> Backoff {
    Backoff(base: minReconnectDelay, maximum: max(minReconnectDelay, maxReconnectDelay), hosts: endpoints.count)
  }
}

extension Duration {
  /// For the C library; at least a microsecond, since it takes zero as "do not wait".
  var timeval: timeval {
    let nanoseconds = max(wholeNanoseconds, 1000)
    return Glibc.timeval(tv_sec: Int(nanoseconds / 1_000_000_000), tv_usec: Int(nanoseconds % 1_000_000_000 / 1000))
  }
}

/// Opens connections to the endpoints in turn.
struct Connector {
  private(set) var settings: AMQPConnectionSettings
  let use: Connection.Use
  private var index = 0

  init(settings: AMQPConnectionSettings, use: Connection.Use) {
    self.settings = settings
    self.use = use
  }

  /// Each call tries the next endpoint, also after a success: a lost connection is more likely to be restored on
  /// another host.
  mutating func connect() throws(AMQPError) -> Connection {
    settings = settings.renewed()
    defer { index += 1 }
    do {
      return try open()
    } catch  where error.code == .authentication {
      // The password may have been changed this moment.
      let former = settings.password
      settings = settings.renewed()
      guard settings.password != former else { throw error }
      return try open()
    }
  }

  private func open() throws(AMQPError) -> Connection {
    let endpoint = settings.endpoints[index % settings.endpoints.count]
    return try Connection.open(endpoint, settings: settings, for: use)
  }
}
