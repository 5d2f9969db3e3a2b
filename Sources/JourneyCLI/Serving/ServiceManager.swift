import FoundationEssentials
import Journey
import JourneyAPI
import Logging
import ServiceLifecycle
import Synchronization

/// Tells the service manager when the program is ready and stops, how it is, and that its loops turn.
///
/// A server that is away keeps no loop from turning, because every wait for one ends at a deadline. So the manager
/// restarts a program that hangs, and none that waits.
final class ServiceManager: Service {
  private let socket: NotifySocket
  private let liveness: Liveness
  private let status: @Sendable () -> String
  private let logger: Logger
  private let isStopping = Atomic<Bool>(false)

  /// - Parameter status: what the program does, in a line.
  init(_ socket: NotifySocket, liveness: Liveness, status: @escaping @Sendable () -> String, logger: Logger) {
    self.socket = socket
    self.liveness = liveness
    self.status = status
    self.logger = logger
  }

  /// - Returns: nil if no service manager has started the program.
  convenience init?(liveness: Liveness, readiness: @escaping @Sendable () -> Readiness, logger: Logger) {
    guard let socket = NotifySocket(environment: ProcessInfo.processInfo.environment) else { return nil }
    self.init(socket, liveness: liveness, status: { readiness().line }, logger: logger)
  }

  func run() async throws {
    socket.send(["READY=1"])
    // Until the process ends: a stop may take longer than the manager waits for a sign of life.
    Task { await giveSigns() }
    try? await gracefulShutdown()
    isStopping.store(true, ordering: .relaxed)
    socket.send(["STOPPING=1", "STATUS=\(state)"])
  }

  private var state: String {
    isStopping.load(ordering: .relaxed) ? "stopping: what was received is finished" : status()
  }

  private func giveSigns() async {
    // Three in the time that the manager waits.
    let interval = socket.watchdog.map { $0 / 3 } ?? .seconds(10)
    var reported: Set<String> = []
    while !Task.isCancelled {
      let stuck = liveness.stuck.map(\.loop)
      for loop in stuck where reported.insert(loop).inserted {
        logger.critical("\(loop) is stuck; the service manager is to end the program")
      }
      reported.formIntersection(stuck)
      let sign = socket.watchdog != nil && stuck.isEmpty ? ["WATCHDOG=1"] : []
      socket.send(sign + ["STATUS=\(stuck.isEmpty ? state : "stuck: \(stuck.joined(separator: ", "))")"])
      try? await Task.sleep(for: interval)
    }
  }
}

extension Readiness {
  /// For a person who reads the service's status.
  fileprivate var line: String {
    let parts = [(isConsuming || isPaused, "consuming"), (isPublishing, "publishing"), (hasDatabase, "database")]
    let missing = parts.filter { !$0.0 }.map { "not \($0.1)" } + problems.map { "\($0.part): \($0.reason)" }
    if !missing.isEmpty { return missing.joined(separator: "; ").plain() }
    return isPaused ? "paused" : "consuming and publishing"
  }
}
