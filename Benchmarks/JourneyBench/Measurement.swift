import Histogram

/// Runs scenarios one after the other on one pair of servers.
struct Measurement {
  let benchmark: BenchmarkRun
  private let onResult: (ScenarioResult) -> Void
  /// The number of the next run. Event ids begin with it, because events of older runs may still be stored.
  private var run = 0
  private(set) var results: [ScenarioResult] = []

  /// - Parameter onResult: called with each scenario's result.
  init(_ benchmark: BenchmarkRun, onResult: @escaping (ScenarioResult) -> Void) {
    self.benchmark = benchmark
    self.onResult = onResult
  }

  /// Measures the programs in turn, and reverses the order every second round. The floor publishes as many actions as
  /// the adapter does, so the adapter runs once before the counted rounds.
  mutating func measure(_ scenario: Scenario) async throws -> ScenarioResult {
    say(scenario.title)
    var result = ScenarioResult(scenario: scenario)
    var histograms: [Subject: Histogram<UInt64>] = [:]
    if scenario.subjects.contains(.floor) { try await measure(.adapter, round: 0, &result, &histograms) }
    for round in 1...scenario.rounds {
      for subject in round % 2 == 1 ? scenario.subjects : scenario.subjects.reversed() {
        try await measure(subject, round: round, &result, &histograms)
      }
    }
    result.latencies = scenario.subjects.compactMap { subject in
      histograms[subject].map { LatencyResult(subject, $0) }
    }
    results.append(result)
    onResult(result)
    return result
  }

  private mutating func measure(
    _ subject: Subject, round: Int, _ result: inout ScenarioResult,
    _ histograms: inout [Subject: Histogram<UInt64>]
  ) async throws {
    run += 1
    let scenario = result.scenario
    var histogram = Histogram<UInt64>(highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
    let found: String
    switch scenario.load {
    case .drain:
      let drain = try await benchmark.drain(subject, scenario, run: run, mix: &result.mix)
      if round > 0 { result.drains.append(drain) }
      found = "\(fixed(drain.eventsPerSecond, 0)) events/s, own CPU \(fixed(drain.ownCPU, 1)) ms per 1,000"
    case .steady(let rate, _):
      if round > 1, let earlier = histograms[subject] { histogram = earlier }
      let behind = try await benchmark.publish(
        to: subject, scenario, rate: rate, run: run, mix: &result.mix, into: &histogram)
      if round > 0 {
        histograms[subject] = histogram
        result.behind[subject.name] = max(behind, result.behind[subject.name] ?? 0)
      }
      let p50 = Double(histogram.valueAtPercentile(50)) / 1000
      found = "p50 \(fixed(p50, 2)) ms up to now; the last action came \(fixed(behind, 2)) s after the last event"
    }
    say("  \(round == 0 ? "warming up" : "round \(round)"), \(subject.name): \(found)")
  }
}

/// The result of a scenario, with every round.
struct ScenarioResult: Codable {
  var scenario: Scenario
  /// What the adapter published, and the floor has to publish.
  var mix = ActionMix()
  var drains: [DrainResult] = []
  /// Seconds from the last event of an open loop to its last action: the worst round of each program.
  var behind: [String: Double] = [:]
  var latencies: [LatencyResult] = []

  init(scenario: Scenario) { self.scenario = scenario }

  /// The medians of a program's rounds.
  func medians(_ subject: Subject) -> DrainResult? {
    let rounds = drains.filter { $0.subject == subject }
    guard !rounds.isEmpty else { return nil }
    func of(_ value: (DrainResult) -> Double) -> Double { median(rounds.map(value)) }
    let firstAcks = rounds.compactMap(\.firstAck)
    return DrainResult(
      subject: subject, eventsPerSecond: of(\.eventsPerSecond),
      firstAck: firstAcks.isEmpty ? nil : median(firstAcks), ownCPU: of(\.ownCPU),
      brokerCPU: of(\.brokerCPU), databaseCPU: of(\.databaseCPU), peakMiB: of(\.peakMiB),
      walBytesPerEvent: of(\.walBytesPerEvent),
      commits: of(\.commits), actions: Int(of { Double($0.actions) }))
  }

  func latency(_ subject: Subject) -> LatencyResult? { latencies.first { $0.subject == subject } }
}

extension LatencyResult {
  init(_ subject: Subject, _ histogram: Histogram<UInt64>) {
    self.init(
      subject: subject, actions: Int(histogram.totalCount), p50: histogram.valueAtPercentile(50),
      p90: histogram.valueAtPercentile(90),
      p99: histogram.valueAtPercentile(99), max: histogram.max)
  }
}
