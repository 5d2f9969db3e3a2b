import Glibc

/// Keeps a second run out of a directory until this process ends.
enum RunLock {
  /// - Throws: `DemoFailure` where another run holds it.
  static func acquire(_ path: String, for directory: String) throws {
    // Stays open: the kernel releases the lock at the end of the process, however that comes.
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw DemoFailure("\(path) cannot be opened: \(String(cString: strerror(errno)))") }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw DemoFailure("another run uses \(directory) at this moment")
    }
  }
}
