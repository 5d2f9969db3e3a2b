import Foundation

/// The measurements of draining a preloaded queue once.
struct DrainResult: Codable {
  var subject: Subject
  var eventsPerSecond: Double
  /// Seconds from the program's start to its first observed acknowledgement; nil if the broker delivers all messages at
  /// once.
  var firstAck: Double?
  /// Milliseconds of CPU per thousand events.
  var ownCPU: Double
  var brokerCPU: Double
  var databaseCPU: Double
  /// The peak of the largest process.
  var peakMiB: Double
  var walBytesPerEvent: Double
  var commits: Double
  var actions: Int
}

/// Measures programs in turn on the same servers.
struct BenchmarkRun {
  let options: RunOptions
  let servers: Servers
  let broker: Broker
  let database: Database

  /// Preloads the queue, starts the program, and waits until every event is stored and every action is in its queue.
  /// The time starts with the program. After the program ends, an empty queue shows that all messages were
  /// acknowledged.
  func drain(
    _ subject: Subject, _ scenario: Scenario, run: Int, mix: inout ActionMix
  ) async throws -> DrainResult {
    let events = scenario.events
    try await empty(for: scenario)
    let messages = try await broker.preload(events, of: workload(scenario, run: run))
    let before = try await database.counters()
    let brokerBefore = Processes.cpu(servers.brokerPID), databaseBefore = databaseCPU
    let clock = ContinuousClock()
    let began = clock.now
    let program = try Program.start(
      subject, options.following(scenario), servers: servers, mix: mix, messages: messages)
    defer { program.kill() }

    let handedOut = Program.prefetch(subject, options)
    var firstAck: Double?
    var queries = 0, tenth = 0
    let limit = began + .seconds(60 + events / 300)
    while true {
      try program.requireAlive()
      guard clock.now < limit else {
        throw BenchmarkError("\(subject.name) did not drain \(messages) messages in time")
      }
      let asked = clock.now
      let waiting = try await broker.waiting()
      // More messages have left the queue than may be unacknowledged.
      if firstAck == nil, messages > handedOut, waiting < messages - handedOut {
        firstAck = seconds(began.duration(to: clock.now))
      }
      if scenario.watchesMemory {
        // The broker's count of a long queue may lag.
        let stored = try await database.stored(run: run)
        queries += 1
        while tenth < 10, stored >= events * (tenth + 1) / 10 {
          tenth += 1
          say(
            "  \(tenth * 10) % drained after \(fixed(seconds(began.duration(to: clock.now)), 1)) s: \(fixed(program.memoryMiB, 1)) MiB resident"
          )
        }
      }
      if waiting == 0 {
        queries += 2
        if try await isDone(subject.kind, run: run, events: events, mix: mix) { break }
      }
      // The state of the broker and the database can only be polled. Polling takes at most a tenth of the time.
      try await clock.sleep(for: max(.milliseconds(10), asked.duration(to: clock.now) * 10 * min(1, events / 200_000)))
    }
    let took = seconds(began.duration(to: clock.now))
    let own = program.cpu, peak = program.peakMemoryMiB
    let brokerCPU = Processes.cpu(servers.brokerPID) - brokerBefore, databaseCPU = self.databaseCPU - databaseBefore
    let wal = try await database.counters().walBytes - before.walBytes
    try program.stop()
    guard try await broker.waiting() == 0 else {
      throw BenchmarkError("\(subject.name) left messages unacknowledged")
    }
    guard try await broker.deadLetters() == 0 else { throw BenchmarkError("\(subject.name) made dead letters") }
    let commits = try await database.counters().commits - before.commits - queries
    let measured = try await broker.mix()
    if subject.kind == .adapter {
      mix = measured
      mix.explanation = try await database.typicalExplanation()
      // The floor scores no event twice, so its share of the messages is that of the events.
      mix.scores = try await database.scores() * messages / events
    }
    let thousands = Double(events) / 1000
    return DrainResult(
      subject: subject, eventsPerSecond: Double(events) / took, firstAck: firstAck, ownCPU: own / thousands,
      brokerCPU: brokerCPU / thousands,
      databaseCPU: databaseCPU / thousands, peakMiB: peak, walBytesPerEvent: Double(wal) / Double(events),
      commits: Double(max(0, commits)),
      actions: measured.total)
  }

  /// Empties the queues, and the tables except older events.
  func empty(for scenario: Scenario) async throws {
    try await broker.empty()
    try await database.reset(keepingHistory: scenario.keepsHistory)
  }

  func workload(_ scenario: Scenario, run: Int) -> Workload {
    Workload(run: run, clients: options.clients, hotShare: scenario.hotShare)
  }

  var databaseCPU: Double { Processes.cpuOfTree(servers.postmasterPID, without: database.backend) }

  private func isDone(_ kind: Program.Kind, run: Int, events: Int, mix: ActionMix) async throws -> Bool {
    guard try await database.stored(run: run) >= events else { return false }
    return try await broker.actions() >= expectedActions(kind, of: mix.total)
  }

  /// The floor divides the actions among its workers. Each worker may keep back fewer than two actions per channel.
  /// - Parameter total: how many actions the floor is asked to publish.
  func expectedActions(_ kind: Program.Kind, of total: Int) async throws -> Int {
    kind == .adapter ? try await database.decided() : total - 2 * options.floorWorkers * Broker.channels.count
  }
}

func seconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
}

func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  guard !sorted.isEmpty else { return 0 }
  return (sorted[sorted.count / 2] + sorted[(sorted.count - 1) / 2]) / 2
}
