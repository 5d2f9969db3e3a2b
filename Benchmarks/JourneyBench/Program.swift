import Foundation

/// The measured program: one or more processes that consume the ingest queue.
struct Program {
  enum Kind: String, Codable, CaseIterable {
    /// The minimal program, `Floor/main.c`.
    case floor
    case adapter
  }

  let subject: Subject
  private let processes: [Process]

  /// The maximum number of unacknowledged messages.
  static func prefetch(_ subject: Subject, _ options: RunOptions) -> Int {
    (subject.kind == .floor ? options.floorWorkers : subject.instances) * 2000
  }

  static func start(_ subject: Subject, _ options: RunOptions, servers: Servers, mix: ActionMix, messages: Int) throws
    -> Program
  {
    var environment = servers.environment
    switch subject.kind {
    case .floor:
      guard mix.total > 0 else {
        throw BenchmarkError("the floor needs to know what the adapter publishes; measure the adapter first")
      }
      let shares = [mix.email, mix.voice, mix.human, mix.scores].map {
        "\(min(1_000_000, ($0 * 1_000_000 + messages - 1) / messages))"
      }
      let workers = "\(options.floorWorkers)", body = "\(mix.bodyBytes)"
      let command = [options.floorBinary, workers, "500", "1000", body] + shares + [mix.explanation]
      return Program(subject: subject, processes: [try launch(command, environment: environment, output: nil)])
    case .adapter:
      if let workers = options.workers { environment["PIPELINE_WORKERS"] = "\(workers)" }
      environment["INGEST_PREFETCH"] = "2000"
      // The HTTP interface is not part of event processing.
      environment["API_ENABLED"] = "false"
      // The actions are counted in their queues.
      environment["ACTIONS_HUMAN_LIST"] = "false"
      let command = [options.adapterBinary, "serve", "--config", options.configuration, "--log-level", "warning"]
      let processes = try (0..<subject.instances).map { _ in
        try launch(command, environment: environment, output: nil)
      }
      return Program(subject: subject, processes: processes)
    }
  }

  var cpu: Double { processes.reduce(0) { $0 + Processes.cpu($1.processIdentifier) } }
  /// The peak of the largest process.
  var peakMemoryMiB: Double { processes.map { Processes.peakMemoryMiB($0.processIdentifier) }.max() ?? 0 }
  var memoryMiB: Double { processes.map { Processes.memoryMiB($0.processIdentifier) }.max() ?? 0 }

  func requireAlive() throws {
    guard processes.allSatisfy(\.isRunning) else { throw BenchmarkError("\(subject.name) ended early") }
  }

  func kill() {
    for process in processes where process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
  }

  /// Asks the processes to stop, and waits.
  func stop() throws {
    for process in processes { process.terminate() }
    for process in processes { process.waitUntilExit() }
    guard processes.allSatisfy({ $0.terminationStatus == 0 }) else {
      throw BenchmarkError("\(subject.name) did not end in order")
    }
  }
}

/// The options that all runs share.
struct RunOptions {
  var adapterBinary: String
  var floorBinary: String
  var configuration: String
  var clients: Int
  var workers: Int?
  var floorWorkers: Int

  func following(_ scenario: Scenario) -> RunOptions {
    var options = self
    if let configuration = scenario.configuration { options.configuration = configuration }
    return options
  }
}
