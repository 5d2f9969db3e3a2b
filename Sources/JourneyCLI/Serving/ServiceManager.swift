import AMQPClient
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyAPI
import JourneyConfiguration
import JourneyPostgres
import Logging
import ServiceLifecycle
import Synchronization

/// Tells the service manager when the program is ready and stops, how it is, and that it still works.
///
/// A sign of life needs every thread that an event passes: each has to answer within a time that no work takes, and is
/// asked again once it has. A server that is away holds up no thread for that long, because every wait for one ends at
/// a deadline. So the manager restarts a program that hangs, and none that waits.
final class ServiceManager: Service {
  /// Something that runs a closure on a thread of its own, soon.
  typealias Thread = @Sendable (_ answer: @escaping @Sendable () -> Void) -> Void

  private let socket: NotifySocket
  private let questions: [Question]
  private let timeout: Duration
  private let status: @Sendable () -> String
  private let logger: Logger
  private let isStopping = Atomic<Bool>(false)

  /// - Parameters:
  ///   - threads: by name.
  ///   - timeout: how long a thread may take to answer.
  ///   - status: what the program does, in a line.
  init(
    _ socket: NotifySocket, threads: [(name: String, ask: Thread)], timeout: Duration,
    status: @escaping @Sendable () -> String, logger: Logger
  ) {
    self.socket = socket
    questions = threads.map { Question(name: $0.name, ask: $0.ask) }
    self.timeout = timeout
    self.status = status
    self.logger = logger
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
    while !Task.isCancelled {
      let late = questions.filter { !$0.isAnswered(within: timeout) }
      for question in late where question.isNewlyLate {
        logger.critical("the thread \(question.name) does not answer; the service manager is to end the program")
      }
      let sign = socket.watchdog != nil && late.isEmpty ? ["WATCHDOG=1"] : []
      socket.send(sign + ["STATUS=\(late.isEmpty ? state : "hangs: \(late.map(\.name).joined(separator: ", "))")"])
      try? await Task.sleep(for: interval)
    }
  }
}

extension ServiceManager {
  /// - Returns: nil if no service manager has started the program.
  convenience init?(
    _ settings: JourneyConfiguration.Settings, source: IngestConsumer, publisher: AMQPPublisher,
    store: PostgresEventStore,
    readiness: @escaping @Sendable () -> Readiness, logger: Logger
  ) {
    guard let socket = NotifySocket(environment: ProcessInfo.processInfo.environment) else { return nil }
    let commits = (0..<settings.workers).map { number -> (name: String, ask: Thread) in
      ("pg-commit-\(number)", { answer in Task(executorPreference: store.executor(ofWorker: number)) { answer() } })
    }
    let connections: [(name: String, ask: Thread)] = [
      ("amqp-consume", { source.call($0) }), ("amqp-publish", { publisher.call($0) }),
    ]
    let deadlines = settings.deadlines
    self.init(
      socket,
      threads: connections + commits,
      // A commit waits for several answers, a connection for several hosts.
      timeout: .seconds(10 * max(deadlines.answer, deadlines.brokerRequest, deadlines.brokerStall)),
      status: { readiness().line }, logger: logger)
  }
}

extension Readiness {
  /// For a person who reads the service's status.
  fileprivate var line: String {
    let parts = [(isConsuming, "consuming"), (isPublishing, "publishing"), (hasDatabase, "database")]
    let missing = parts.filter { !$0.0 }.map { "not \($0.1)" } + problems.map { "\($0.part): \($0.reason)" }
    return missing.isEmpty ? "consuming and publishing" : missing.joined(separator: "; ").plain()
  }
}

/// A question to a thread, asked again and again.
private final class Question: Sendable {
  let name: String
  private let ask: ServiceManager.Thread
  /// When the question was asked that has no answer yet.
  private let asked = Mutex<ContinuousClock.Instant?>(nil)
  private let isReported = Atomic<Bool>(false)

  init(name: String, ask: @escaping ServiceManager.Thread) {
    self.name = name
    self.ask = ask
  }

  /// Asks, unless an answer is still to come.
  func isAnswered(within timeout: Duration) -> Bool {
    let since = asked.withLock { asked in
      defer { asked = asked ?? .now }
      return asked
    }
    guard let since else {
      isReported.store(false, ordering: .relaxed)
      ask { [self] in asked.withLock { $0 = nil } }
      return true
    }
    return .now - since < timeout
  }

  /// True once for each time that the answer is late.
  var isNewlyLate: Bool { !isReported.exchange(true, ordering: .relaxed) }
}
