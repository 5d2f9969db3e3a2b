import ConnectionThreads
import Synchronization

/// What a connection's thread and its owners know of each other.
final class ConnectionStatus: Sendable {
  private let hasBegun = Atomic<Bool>(false)
  private let up = Atomic<Bool>(false)
  private let blocked = Atomic<Bool>(false)
  private let latch = Latch()

  /// True for the first caller only.
  func begin() -> Bool {
    hasBegun.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
  }

  var isUp: Bool {
    get { up.load(ordering: .acquiring) }
    set { up.store(newValue, ordering: .releasing) }
  }

  /// Whether the broker takes no messages from the connection that is there.
  var isBlocked: Bool {
    get { blocked.load(ordering: .acquiring) }
    set { blocked.store(newValue, ordering: .releasing) }
  }

  func end() {
    isUp = false
    latch.open()
  }

  /// Returns when the thread is done, or at the deadline even if a call of the library still
  /// holds the thread: a name that does not resolve cannot be hurried.
  func ended(by deadline: MonotonicInstant) async {
    Watchdog.shared.at(deadline) { [latch] in latch.open() }
    await latch.wait()
  }
}
