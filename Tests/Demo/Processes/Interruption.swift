import Glibc
import Synchronization
import UnixSignals

/// What SIGINT, SIGTERM and SIGHUP do.
enum Interruption {
  /// Runs `body`; the first of these signals cancels it. Further ones do not disturb its clean-up.
  /// - Returns: the exit status: that of `body`, or 128 and the number of the signal.
  static func cancelling(_ body: @escaping @Sendable () async -> Int32) async -> Int32 {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    // A reader of our output that ends must not end us at once.
    signal(SIGPIPE, SIG_IGN)
    let work = Task { await body() }
    let first = FirstSignal()
    let listener = Task {
      for await signal in signals {
        first.value.withLock { $0 = $0 ?? signal.rawValue }
        work.cancel()
      }
    }
    let status = await work.value
    listener.cancel()
    return first.value.withLock { $0 }.map { 128 + $0 } ?? status
  }

  private final class FirstSignal: Sendable {
    let value = Mutex<Int32?>(nil)
  }
}
