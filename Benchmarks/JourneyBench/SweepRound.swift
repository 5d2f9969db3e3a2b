import Foundation
import Histogram

/// The rounds of a sweep, one after the other with the same clients.
struct SweepMeasurement {
  let benchmark: BenchmarkRun
  let sweep: Sweep
  private var run = 0
  /// Seconds that the evaluations of the previous round took. A round without due clients is observed for the same
  /// time.
  private var window: Double

  init(_ benchmark: BenchmarkRun, _ sweep: Sweep) {
    self.benchmark = benchmark
    self.sweep = sweep
    window = Double(sweep.due) / Sweep.asked
  }

  /// Adds the clients and runs the rounds in pairs, with and without due clients; the order alternates.
  /// - Parameter clients: the number of existing clients.
  mutating func measure(after clients: Int) async throws -> SweepResult {
    say(sweep.title)
    try await benchmark.database.seed(
      clients: sweep.clients + SweepTemplates.count * (2 * sweep.rounds + 1), after: clients)
    try await benchmark.database.reset(keepingHistory: false)
    let templates = try await benchmark.makeTemplates(
      sweep, round: 0, silentAt: Int(Date().timeIntervalSince1970) + 20 * 86_400)
    try await benchmark.database.addStates(sweep, templates)
    say("  \(sweep.clients) clients with states")
    var quiet = BenchmarkRun.histogram(), busy = BenchmarkRun.histogram()
    var rounds: [SweepRound] = []
    for round in 1...sweep.rounds {
      for isDue in round % 2 == 1 ? [true, false] : [false, true] {
        let found = isDue ? try await measure(isDue, into: &busy) : try await measure(isDue, into: &quiet)
        rounds.append(found)
        let rate = isDue ? "\(found.evaluated) clients evaluated, \(fixed(found.perSecond, 0)) a second" : "nobody due"
        say("  round \(round): \(rate); events' p99 \(fixed(Double(found.latency.p99) / 1000, 2)) ms")
      }
    }
    return SweepResult(
      sweep: sweep, rounds: rounds, quiet: LatencyResult(.adapter, quiet), busy: LatencyResult(.adapter, busy))
  }

  private mutating func measure(_ isDue: Bool, into all: inout Histogram<UInt64>) async throws -> SweepRound {
    run += 1
    let (database, broker, servers) = (benchmark.database, benchmark.broker, benchmark.servers)
    let moment = Int(Date().timeIntervalSince1970) + sweep.preparation
    // A round without due clients does the same work for a time weeks ahead.
    let templates = try await benchmark.makeTemplates(
      sweep, round: run, silentAt: isDue ? moment : moment + 20 * 86_400)
    try await database.letFallDue(sweep, round: run, templates)
    try await broker.empty()
    try await database.execute("CHECKPOINT")
    let rest = Double(moment - sweep.lead) - Date().timeIntervalSince1970
    guard rest > 2 else { throw BenchmarkError("making \(sweep.due) clients due took too long") }

    let scenario = Scenario(
      load: .steady(rate: sweep.rate, seconds: sweep.lead + sweep.seconds), subjects: [.adapter], rounds: 1)
    let recorder = LatencyRecorder(run: 2000 + run, events: scenario.events, into: BenchmarkRun.histogram())
    let consumers = try benchmark.startConsumers(recorder)
    let decided = try await database.decided()
    let program = try Program.start(
      .adapter, benchmark.options, servers: servers, mix: ActionMix(), messages: scenario.events)
    defer { program.kill() }
    try await Task.sleep(for: .seconds(rest - 0.5))
    let used = try await usage(of: program)
    let began = Date().timeIntervalSince1970
    await benchmark.send(scenario, run: 2000 + run, rate: sweep.rate, recorder)
    try await benchmark.wait(for: program, atMost: .seconds(60 + sweep.due / 200)) {
      guard try await !database.isAnybodyDue(), try await database.stored(run: 2000 + run) >= scenario.events else {
        return false
      }
      return try await recorder.seen >= database.decided() - decided
    }
    let after = try await usage(of: program)
    try program.stop()
    for consumer in consumers { await consumer.close() }

    let swept = try await database.evaluatedOverTime(since: moment)
    if isDue {
      guard swept.count > sweep.due * 9 / 10 else {
        throw BenchmarkError("of \(sweep.due) clients who fell due only \(swept.count) were evaluated")
      }
      window = swept.last - swept.first
    }
    let from = isDue ? swept.first - began : Double(sweep.lead)
    let events = Int(from * Double(sweep.rate))...Int((from + window) * Double(sweep.rate))
    var histogram = BenchmarkRun.histogram()
    for latency in recorder.latencies(of: Range(events)) {
      histogram.record(latency)
      all.record(latency)
    }
    return SweepRound(
      isDue: isDue, evaluated: isDue ? swept.count : 0, seconds: isDue ? window : 0,
      latency: LatencyResult(.adapter, histogram),
      ownCPU: after[0] - used[0], brokerCPU: after[1] - used[1], databaseCPU: after[2] - used[2],
      walMiB: (after[3] - used[3]) / 1_048_576)
  }

  /// CPU of the adapter, the broker and the database in milliseconds, and bytes of WAL.
  private func usage(of program: Program) async throws -> [Double] {
    [
      program.cpu, Processes.cpu(benchmark.servers.brokerPID), benchmark.databaseCPU,
      Double(try await benchmark.database.counters().walBytes),
    ]
  }
}

extension BenchmarkRun {
  static func histogram() -> Histogram<UInt64> {
    Histogram(highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
  }
}
