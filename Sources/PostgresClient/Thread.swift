import Glibc

/// Operating system threads with a stack of their own size.
enum Thread {
  /// Starts a detached thread that receives no signals, so that handlers run where the program expects them.
  ///
  /// - Returns: false where the system has no thread to give.
  static func detach(name: String, stackSize: Int, _ body: @escaping @Sendable () -> Void) -> Bool {
    var all = sigset_t()
    var former = sigset_t()
    sigfillset(&all)
    // A thread inherits the mask of its maker.
    pthread_sigmask(SIG_SETMASK, &all, &former)
    let isStarted = create(stackSize, Unmanaged.passRetained(ThreadBody(name: name, run: body)))
    pthread_sigmask(SIG_SETMASK, &former, nil)
    return isStarted
  }

  private static func create(_ stackSize: Int, _ body: Unmanaged<ThreadBody>) -> Bool {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, stackSize)
    var thread = pthread_t()
    let failure = pthread_create(&thread, &attributes, runThreadBody, body.toOpaque())
    pthread_attr_destroy(&attributes)
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

/// For `top -H` and debuggers; the kernel keeps 15 bytes. glibc's own call is a GNU extension that Swift does not
/// import.
private func nameCurrentThread(_ name: String) {
  let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
  guard file >= 0 else { return }
  _ = Array(name.utf8.prefix(15)).withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
  close(file)
}
