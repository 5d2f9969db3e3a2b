import Glibc

/// Runs `body`, which starts a program, with no signal blocked on this thread.
///
/// Dispatch threads block all signals, and a child process inherits that. It would never receive a signal to stop.
public func withNoSignalBlocked<Value>(_ body: () throws -> Value) rethrows -> Value {
  var none = sigset_t()
  var before = sigset_t()
  sigemptyset(&none)
  pthread_sigmask(SIG_SETMASK, &none, &before)
  defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
  return try body()
}
