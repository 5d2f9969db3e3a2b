import Glibc

/// Starts operating system threads with a name and a stack size.
package enum NamedThread {
  /// Starts a detached thread. Traps when the system refuses one: the caller has nobody else to do the work.
  ///
  /// - Parameter name: for `top -H` and debuggers; the kernel keeps 15 bytes.
  package static func start(name: String, stackBytes: Int, _ body: @escaping @Sendable () -> Void) {
    let isStarted = startIfPossible(name: name, stackBytes: stackBytes, body)
    precondition(isStarted, "the operating system refused the thread \(name)")
  }

  /// Starts a thread that calls the closure once a second for as long as the process runs.
  package static func startEverySecond(name: String, _ body: @escaping @Sendable () -> Void) {
    start(name: name, stackBytes: 512 << 10) {
      while true {
        sleep(1)
        body()
      }
    }
  }

  /// Starts a detached thread that receives no signals, so that signal handlers run where the program expects them.
  ///
  /// - Returns: false when the system refuses the thread.
  package static func startIfPossible(
    name: String, stackBytes: Int, _ body: @escaping @Sendable () -> Void
  ) -> Bool {
    var all = sigset_t()
    var previous = sigset_t()
    sigfillset(&all)
    // A fault of the thread itself still reaches its handler, which prints a backtrace.
    for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] { sigdelset(&all, fault) }
    // A new thread inherits the signal mask of the thread that creates it.
    pthread_sigmask(SIG_SETMASK, &all, &previous)
    defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
    return create(stackBytes, Unmanaged.passRetained(ThreadBody(name: name, run: body)))
  }

  private static func create(_ stackBytes: Int, _ body: Unmanaged<ThreadBody>) -> Bool {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, stackBytes)
    var thread = pthread_t()
    let failure = pthread_create(&thread, &attributes, runThreadBody, body.toOpaque())
    if failure != 0 { body.release() }
    return failure == 0
  }
}

private final class ThreadBody: Sendable {
  let name: String
  let run: @Sendable () -> Void

  init(name: String, run: @escaping @Sendable () -> Void) {
    self.name = name
    self.run = run
  }
}

private func runThreadBody(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  let body = Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue()
  nameCurrentThread(body.name)
  body.run()
  return nil
}

/// `pthread_setname_np` is a GNU extension that Swift does not import.
private func nameCurrentThread(_ name: String) {
  let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
  guard file >= 0 else { return }
  _ = Array(name.utf8.prefix(15)).withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
  close(file)
}
