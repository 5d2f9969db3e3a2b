import Glibc
import Synchronization

/// One thread of the process that notices what has taken too long.
///
/// Sends of the C library have no deadline of their own (rabbitmq-c#780 and #788), so somebody outside has to end them.
/// The thread looks every 100 ms while anything is registered and sleeps without a timeout otherwise.
final class Watchdog: Sendable {
  static let shared = Watchdog()

  /// Gets the monotonic time in nanoseconds; returns whether it wants to be asked again. Must not block.
  typealias Check = @Sendable (UInt64) -> Bool

  private let checks = Mutex<[Check]>([])
  private let additions = Mailbox<Check>()

  private init() {
    ConnectionThread.start(name: "amqp-watchdog") { [additions, self] in
      while true {
        let isIdle = checks.withLock { $0.isEmpty }
        additions.wait(milliseconds: isIdle ? -1 : 100)
        let added = additions.drain()
        let current = checks.withLock { $0 + added }
        let now = MonotonicTime.now()
        let kept = current.filter { $0(now) }
        checks.withLock { $0 = kept }
      }
    }
  }

  func add(_ check: @escaping Check) { additions.post(check) }

  /// Runs `action` once, at `deadline` (monotonic nanoseconds) or up to 100 ms later.
  func at(_ deadline: UInt64, _ action: @escaping @Sendable () -> Void) {
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
  private let deadline = Atomic<UInt64>(.max)
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

  /// From now on the socket is shut down when the deadline (monotonic nanoseconds) passes before the next call of `arm`
  /// or `disarm`.
  ///
  /// Returns the deadline before, so that a step within a longer operation can put it back.
  @discardableResult
  func arm(until deadline: UInt64) -> UInt64 { self.deadline.exchange(deadline, ordering: .relaxed) }
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

  private func check(_ now: UInt64) -> Bool {
    descriptor.withLock { descriptor in
      guard descriptor >= 0 else { return false }
      guard now >= deadline.load(ordering: .relaxed) else { return true }
      hasFired.store(true, ordering: .relaxed)
      shutdown(descriptor, Int32(SHUT_RDWR))
      return false
    }
  }
}

/// Something that happens once and may be awaited by many.
final class Latch: Sendable {
  private struct State {
    var isOpen = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  func open() {
    let waiters = state.withLock { state in
      state.isOpen = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiters.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }
}
