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
