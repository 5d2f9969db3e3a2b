import Hummingbird
import HummingbirdCore

/// How many connections the API takes: so many, and fewer while the process has few file descriptors left.
///
/// Accepting goes on as a connection ends, so one has always to be taken where there is none: nothing would ever end.
struct ConnectionLimit: AvailableConnectionsDelegate {
  let maximum: Int
  let isShort: @Sendable () -> Bool
  private var count = 0

  init(maximum: Int, isShort: @escaping @Sendable () -> Bool) {
    self.maximum = maximum
    self.isShort = isShort
  }

  mutating func connectionOpened() { count += 1 }
  mutating func connectionClosed() { count -= 1 }
  func isAcceptingNewConnections() -> Bool { count == 0 || count < maximum && !isShort() }
}
