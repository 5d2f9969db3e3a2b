import ConnectionThreads
import Glibc
import Synchronization

/// One thread of the process that notices what has taken too long.
///
/// Sends of the C library have no deadline of their own (rabbitmq-c#780 and #788), so somebody outside has to end them.
/// The thread looks every 100 ms while anything is registered and sleeps without a timeout otherwise.
final class Watchdog: Sendable {
  static let shared = Watchdog()

  /// Gets the current time; returns whether it wants to be asked again. Must not block.
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

/// Ends a library call that hangs, by shutting its socket down underneath it.
///
/// It holds a duplicate of the descriptor, since the library closes its own whenever it likes and the number may belong
/// to somebody else a moment later.
final class WriteTimeout: Sendable {
  private let deadline = Atomic<Int64>(.max)
  private let hasFired = Atomic<Bool>(false)
  private let descriptor: Mutex<Int32>

  /// - Returns: nil where the process has no file descriptor left: without one nothing would end a call that hangs.
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

  /// Whether a call was ended by it: the error that the library reports is then a consequence of ours.
  var fired: Bool { hasFired.load(ordering: .relaxed) }

  /// Closes the duplicate. Without this the peer would not see the end of the connection.
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
