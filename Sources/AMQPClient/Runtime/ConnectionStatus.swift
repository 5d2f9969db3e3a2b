import ConnectionThreads
import Synchronization

/// State shared by a connection's thread and its owner.
final class ConnectionStatus: Sendable {
  private let hasBegun = Atomic<Bool>(false)
  private let up = Atomic<Bool>(false)
  private let blocked = Atomic<Bool>(false)
  private let idle = Atomic<Bool>(false)
  private let latch = Latch()

  /// Returns true to the first caller only, which starts the thread.
  func begin() -> Bool {
    hasBegun.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
  }

  var isUp: Bool {
    get { up.load(ordering: .acquiring) }
    set { up.store(newValue, ordering: .releasing) }
  }

  /// Whether the broker blocks publishers on the current connection.
  var isBlocked: Bool {
    get { blocked.load(ordering: .acquiring) }
    set { blocked.store(newValue, ordering: .releasing) }
  }

  /// Whether a consumer has no subscription because its owner wants none.
  var isIdle: Bool {
    get { idle.load(ordering: .acquiring) }
    set { idle.store(newValue, ordering: .releasing) }
  }

  func end() {
    isUp = false
    latch.open()
  }

  /// Returns when the thread has ended, or at the deadline while a call of the library still blocks it: a slow name
  /// resolution cannot be interrupted.
  func waitUntilEnded(by deadline: MonotonicInstant) async {
    Watchdog.shared.at(deadline) { [latch] in latch.open() }
    await latch.wait()
  }
}
