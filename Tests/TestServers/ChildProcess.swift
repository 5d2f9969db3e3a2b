import Dispatch
import Foundation
import Glibc
import Synchronization

/// A child process of the test: its output is collected, its end can be awaited, and it can receive signals. It is
/// killed when the test process exits.
///
/// Safe to use from any task.
public final class ChildProcess: Sendable {
  public enum Ending: Hashable, Sendable {
    case exited(Int32)
    /// Ended by a signal that it did not handle.
    case signalled(Int32)
  }

  public let id: Int32
  private let output = Mutex<[UInt8]>([])
  private let errors = Mutex<[UInt8]>([])
  private let state = Mutex(State())

  private struct State {
    var ending: Ending?
    var waiting: [Int: CheckedContinuation<Ending?, Never>] = [:]
    var asked = 0
  }

  /// Starts a program with no signal blocked.
  ///
  /// - Parameters:
  ///   - executable: a path.
  ///   - environment: the complete environment; nothing is inherited.
  ///   - directory: the working directory.
  ///   - input: the content of standard input.
  /// - Throws: `TestServersError` if it cannot be started.
  public static func start(
    _ executable: String, _ arguments: [String], environment: [String: String], directory: String, input: [UInt8] = []
  ) throws(TestServersError) -> ChildProcess {
    let process = Process()
    let outputPipe = Pipe()
    let errorPipe = Pipe()
    let inputPipe = Pipe()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.environment = environment
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    process.standardInput = inputPipe
    process.standardOutput = outputPipe
    process.standardError = errorPipe
    do {
      try withNoSignalBlocked { try process.run() }
    } catch {
      throw TestServersError(operation: "start \(executable)", status: -1, output: "\(error)")
    }
    let child = ChildProcess(id: process.processIdentifier)
    Running.add(child.id)
    child.follow(process, outputPipe.fileHandleForReading, errorPipe.fileHandleForReading)
    DispatchQueue.global().async {
      // A program that does not read its input closes the pipe. That is not a failure.
      try? inputPipe.fileHandleForWriting.write(contentsOf: input)
      try? inputPipe.fileHandleForWriting.close()
    }
    return child
  }

  private init(id: pid_t) { self.id = id }

  /// The standard output so far.
  public var standardOutput: String { output.withLock { String(decoding: $0, as: UTF8.self) } }
  /// The standard error so far.
  public var standardError: String { errors.withLock { String(decoding: $0, as: UTF8.self) } }
  /// nil while it runs.
  public var ending: Ending? { state.withLock { $0.ending } }

  /// Sends a signal, unless the process has ended.
  public func send(_ signal: Int32) {
    state.withLock { if $0.ending == nil { _ = Glibc.kill(id, signal) } }
  }

  /// Waits for the process's end. All its output is available then.
  /// - Returns: nil if it still runs after `duration`.
  public func ended(within duration: Duration) async -> Ending? {
    await withCheckedContinuation { continuation in
      let request: Int? = state.withLock { state in
        if let ending = state.ending {
          continuation.resume(returning: ending)
          return nil
        }
        state.asked += 1
        state.waiting[state.asked] = continuation
        return state.asked
      }
      guard let request else { return }
      let nanoseconds = Int(
        duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000)
      DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(nanoseconds)) { [self] in
        state.withLock { $0.waiting.removeValue(forKey: request) }?.resume(returning: nil)
      }
    }
  }

  private func follow(_ process: Process, _ outputHandle: FileHandle, _ errorHandle: FileHandle) {
    let readers = DispatchGroup()
    Thread.detachNewThread(in: readers) { Self.read(outputHandle) { bytes in self.output.withLock { $0 += bytes } } }
    Thread.detachNewThread(in: readers) { Self.read(errorHandle) { bytes in self.errors.withLock { $0 += bytes } } }
    let boxed = Unchecked(value: process)
    Thread.detachNewThread { [self] in
      // First until the pipes are closed: Foundation's waiting keeps a processor busy.
      readers.wait()
      boxed.value.waitUntilExit()
      let process = boxed.value
      Running.remove(id)
      let ending =
        process.terminationReason == .exit
        ? Ending.exited(process.terminationStatus) : .signalled(process.terminationStatus)
      let waiting = state.withLock { state in
        state.ending = ending
        defer { state.waiting = [:] }
        return state.waiting.values.map(\.self)
      }
      for continuation in waiting { continuation.resume(returning: ending) }
    }
  }

  private static func read(_ handle: FileHandle, _ take: ([UInt8]) -> Void) {
    while true {
      let data = handle.availableData
      if data.isEmpty { return }
      take(Array(data))
    }
  }

  /// Transfers a value to another thread, which is its only user from then on.
  private struct Unchecked<Value>: @unchecked Sendable {
    let value: Value
  }
}

extension Thread {
  /// Separate threads, because blocking work would exhaust a pool.
  fileprivate static func detachNewThread(in group: DispatchGroup, _ body: @escaping @Sendable () -> Void) {
    group.enter()
    detachNewThread {
      body()
      group.leave()
    }
  }
}

/// The processes to kill when the test process exits.
private enum Running {
  private static let ids = Mutex<Set<pid_t>>([])
  private static let killAtExit: Void = {
    atexit { for id in Running.ids.withLock({ $0 }) { kill(id, SIGKILL) } }
  }()

  static func add(_ id: pid_t) {
    _ = killAtExit
    ids.withLock { _ = $0.insert(id) }
  }
  static func remove(_ id: pid_t) { ids.withLock { _ = $0.remove(id) } }
}
