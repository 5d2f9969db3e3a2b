import Dispatch
import ServiceLifecycle
import Synchronization
import Glibc

/// Where the handler of signals writes their numbers to. All that a handler may do is to write.
nonisolated(unsafe) private var caught: Int32 = -1

/// The signals to a program that runs until it is stopped, heard from its first line on.
///
/// Until work begins, SIGTERM and SIGINT end the process at once with status 0: nothing has been taken from a queue
/// yet.
final class ProcessSignals: Sendable {
  private struct State {
    var isWorking = false
    var isStopped = false
  }
  private let state = Mutex(State())
  private let stops = AsyncStream<Void>.makeStream()
  private let reloads = AsyncStream<Void>.makeStream()
  private let descriptor: Int32

  private init(descriptor: Int32) { self.descriptor = descriptor }

  /// Keeps signals from ending the process by themselves, from here on, until somebody listens.
  static func install() -> ProcessSignals {
    var ends: [Int32] = [-1, -1]
    precondition(pipe(&ends) == 0, "the process has no descriptor left")
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    caught = ends[1]
    for signal in [SIGTERM, SIGINT, SIGHUP] {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { signal in
        let before = errno
        var byte = UInt8(truncatingIfNeeded: signal)
        _ = write(caught, &byte, 1)
        errno = before
      }
      action.sa_flags = SA_RESTART
      sigaction(signal, &action, nil)
    }
    return ProcessSignals(descriptor: ends[0])
  }

  /// Takes the signals from now on, and those that came since `install`.
  func listen() {
    DispatchQueue(label: "signals").async { [self] in
      var byte: UInt8 = 0
      while true {
        switch read(descriptor, &byte, 1) {
        case 1: handle(Int32(byte))
        case -1 where errno == EINTR: continue
        default: return
        }
      }
    }
  }

  private func handle(_ signal: Int32) {
    if signal == SIGHUP {
      reloads.continuation.yield()
      return
    }
    let isWorking = state.withLock { state in
      state.isStopped = true
      return state.isWorking
    }
    guard isWorking else {
      Output.error("journey: stopped before any event was taken")
      // Without what runs at an ordinary exit: other threads are at work, e.g. connecting.
      _exit(0)
    }
    stops.continuation.yield()
  }

  /// From here on a signal does not end the process, but `stop`.
  func beginWork() {
    let isStopped = state.withLock { state in
      state.isWorking = true
      return state.isStopped
    }
    if isStopped { stops.continuation.yield() }
  }

  /// Returns when the process is to stop, or the group of services stops for another reason.
  func stop() async {
    for await _ in stops.stream.cancelOnGracefulShutdown() { return }
  }

  /// A value each time SIGHUP comes. For one reader.
  var reloadRequests: AsyncStream<Void> { reloads.stream }
}

/// Stops all services when a signal says so: its own end has to be the end of the group.
struct StopOnSignal: Service {
  let signals: ProcessSignals

  func run() async { await signals.stop() }
}
