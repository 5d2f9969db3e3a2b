import Glibc

/// Runs `body`, which starts a program, with no signal blocked on this thread.
///
/// A dispatch thread blocks all signals and a child inherits that: a program started so would never hear that it should
/// end.
public func withNoSignalBlocked<Value>(_ body: () throws -> Value) rethrows -> Value {
  var none = sigset_t()
  var before = sigset_t()
  sigemptyset(&none)
  pthread_sigmask(SIG_SETMASK, &none, &before)
  defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
  return try body()
}
