import Foundation
import Glibc
import Synchronization

/// The server directories that this process started. They are stopped when it exits. If the process is killed, the
/// watchdog of `scripts/servers --owner` stops them.
enum ServerDirectories {
  private static let started = Mutex<[String]>([])
  private static let counter = Atomic<Int>(0)
  private static let stopAtExit: Void = {
    atexit { ServerDirectories.stopAll() }
  }()

  /// The package's root, from the resolved path of this file, because the path may contain a symbolic link.
  static let packageRoot: String = {
    let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    return file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
  }()

  static let script = packageRoot + "/scripts/servers"

  /// A directory for this process that does not exist yet.
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

  /// In parallel, because each stop waits for a clean shutdown.
  private static func stopAll() {
    let directories = started.withLock { $0 }
    DispatchQueue.concurrentPerform(iterations: directories.count) { index in
      // Ignored, because the process is exiting. The watchdog tries again.
      _ = try? Command.runBlocking([script, "stop", directories[index], "--purge"], operation: "scripts/servers stop")
    }
  }
}
