import Foundation
import Glibc
import Synchronization

/// The server directories that this process started, stopped when it exits. A process that is killed instead leaves the
/// work to the watchdog of `scripts/servers --owner`.
enum ServerDirectories {
  private static let started = Mutex<[String]>([])
  private static let counter = Atomic<Int>(0)
  private static let stopAtExit: Void = {
    atexit { ServerDirectories.stopAll() }
  }()

  /// The package's root, found from where this file really lies: a package may reach its tests through a symbolic link.
  static let packageRoot: String = {
    let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    return file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
  }()

  static let script = packageRoot + "/scripts/servers"

  /// A directory of this process's own that does not exist yet.
  static func next() -> String {
    let number = counter.add(1, ordering: .relaxed).newValue
    return "\(packageRoot)/.local/test-\(getpid())-\(number)"
  }

  static func register(_ directory: String) {
    _ = stopAtExit
    started.withLock { $0.append(directory) }
  }

  static func forget(_ directory: String) {
    started.withLock { $0.removeAll { $0 == directory } }
  }

  /// Side by side, since each is a wait for orderly shutdowns.
  private static func stopAll() {
    let directories = started.withLock { $0 }
    DispatchQueue.concurrentPerform(iterations: directories.count) { index in
      // The process is ending: nobody is left to be told, and the watchdog tries once more.
      _ = try? Command.runBlocking([script, "stop", directories[index], "--purge"], operation: "scripts/servers stop")
    }
  }
}
