import ConnectionThreads
import Glibc
import Synchronization

/// A thread of the process that detects expired deadlines.
///
/// Sends of the C library have no timeout (rabbitmq-c#780 and #788), so another thread has to end them. It checks every
/// 100 ms while anything is registered and sleeps otherwise.
final class Watchdog: Sendable {
  static let shared = Watchdog()

  /// Gets the current time and returns whether it stays registered. Must not block.
  typealias Check = @Sendable (MonotonicInstant) -> Bool

  private let checks = Mutex<[Check]>([])
  private let additions = Mailbox<Check>()

  private init() {
    NamedThread.startForConnection(name: "amqp-watchdog") { [additions, self] in
      while true {
        let isIdle = checks.withLock { $0.isEmpty }
        additions.wait(milliseconds: isIdle ? -1 : 100)
        let added = additions.drain()
        let current = checks.withLock { $0 + added }
        let now = MonotonicInstant.now()
        let kept = current.filter { $0(now) }
        checks.withLock { $0 = kept }
      }
    }
  }

  func add(_ check: @escaping Check) { additions.post(check) }

  /// Runs `action` once, at `deadline` or up to 100 ms later.
  func at(_ deadline: MonotonicInstant, _ action: @escaping @Sendable () -> Void) {
    add { now in
      guard now >= deadline else { return true }
      action()
      return false
    }
  }
}

/// Ends a library call that hangs by shutting down its socket.
///
/// Holds a duplicate of the descriptor, because the library may close its own at any time, and the number may then
/// belong to another file.
final class WriteTimeout: Sendable {
  private let deadline = Atomic<Int64>(.max)
  private let hasFired = Atomic<Bool>(false)
  private let descriptor: Mutex<Int32>

  /// - Returns: nil when the process has no file descriptor left.
  init?(socket: Int32) {
    let duplicate = fcntl(socket, F_DUPFD_CLOEXEC, 3)
    guard duplicate >= 0 else { return nil }
    descriptor = Mutex(duplicate)
    Watchdog.shared.add { [weak self] now in self?.check(now) ?? false }
  }

  deinit { release() }

  /// Shuts the socket down at the deadline, unless `arm` or `disarm` is called before.
  ///
  /// - Returns: the previous deadline, so that a step within a longer operation can restore it.
  @discardableResult
  func arm(until deadline: MonotonicInstant) -> MonotonicInstant {
    MonotonicInstant(nanoseconds: self.deadline.exchange(deadline.nanoseconds, ordering: .relaxed))
  }
  func disarm() { deadline.store(.max, ordering: .relaxed) }

  /// Whether it ended a call. The library's error is then a consequence of that.
  var fired: Bool { hasFired.load(ordering: .relaxed) }

  /// Closes the duplicate, which would keep the connection open.
  func release() {
    descriptor.withLock { descriptor in
      if descriptor >= 0 { Glibc.close(descriptor) }
      descriptor = -1
    }
  }

  private func check(_ now: MonotonicInstant) -> Bool {
    descriptor.withLock { descriptor in
      guard descriptor >= 0 else { return false }
      guard now.nanoseconds >= deadline.load(ordering: .relaxed) else { return true }
      hasFired.store(true, ordering: .relaxed)
      shutdown(descriptor, Int32(SHUT_RDWR))
      return false
    }
  }
}
