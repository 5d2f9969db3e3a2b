/// A target for the adapter, and the measured value.
struct Goal: Codable {
  var name: String
  var asked: Double
  /// Whether `asked` is a minimum or a maximum.
  var isLeast: Bool
  var measured: Double
  var digits: Int
  var isReached: Bool

  static func atLeast(_ asked: Double, _ name: String, _ measured: Double, digits: Int = 2) -> Goal {
    Goal(name: name, asked: asked, isLeast: true, measured: measured, digits: digits, isReached: measured >= asked)
  }

  static func atMost(_ asked: Double, _ name: String, _ measured: Double, digits: Int = 2) -> Goal {
    Goal(name: name, asked: asked, isLeast: false, measured: measured, digits: digits, isReached: measured <= asked)
  }
}

/// Runs all default measurements and compares them with the targets.
struct Goals {
  var events: Int
  var rounds: Int
  var seconds: Int
  /// Older events of all clients, and of one client.
  var history: Int
  var hotClient: Int

  private static let two = Subject(kind: .adapter, instances: 2)
  private static let hotShare = 10

  func measure(_ measurement: inout Measurement, clients: Int) async throws -> [Goal] {
    let plain = try await measurement.measure(
      Scenario(load: .drain(events: events), subjects: [.floor, .adapter, Self.two], rounds: rounds))
    // Its rules store fewer scores and take actions back, so it has a floor of its own.
    var defaultProfile = drain()
    defaultProfile.configuration = "config"
    let byDefault = try await measurement.measure(defaultProfile)
    let hot = try await measurement.measure(drain(hotShare: Self.hotShare))
    try await measurement.benchmark.database.reset(keepingHistory: false)
    try await measurement.benchmark.database.addHistory(history, clients: clients, hotClient: hotClient)
    let aged = try await measurement.measure(drain(history: history, hotClient: hotClient))
    let hotAged = try await measurement.measure(drain(history: history, hotClient: hotClient, hotShare: Self.hotShare))
    let slow = try await measurement.measure(steady(200)), fast = try await measurement.measure(steady(1000))
    guard let drained = plain.medians(.adapter)?.eventsPerSecond else { return [] }
    let most = try await maxSustained(&measurement, below: drained)
    let busy = try await measurement.measure(steady(max(1, most * 7 / 10)))
    return throughput(plain) + throughputByDefault(byDefault) + flatness(plain, aged, "\(history) older events")
      + flatness(hot, hotAged, "\(hotClient) of one client")
      + latency(slow) + latency(fast) + latency(busy, maxOf: most)
  }

  /// The highest sustained rate in events per second. It tries rates, each an eighth below the one before, and returns
  /// the first at which the adapter finished fast enough to reach 0.95 of the rate.
  private func maxSustained(_ measurement: inout Measurement, below drained: Double) async throws -> Int {
    var rate = drained
    while true {
      rate *= 7.0 / 8
      guard rate >= 1 else { throw BenchmarkError("the adapter keeps up with no rate") }
      let attempt = Scenario(load: .steady(rate: Int(rate), seconds: seconds), subjects: [.adapter], rounds: 1)
      if try await measurement.measure(attempt).behind.values.allSatisfy({ $0 <= Double(seconds) / 20 }) {
        return Int(rate)
      }
    }
  }

  private func drain(history: Int = 0, hotClient: Int = 0, hotShare: Int = 0) -> Scenario {
    Scenario(
      load: .drain(events: events), subjects: [.floor, .adapter], rounds: rounds, history: history,
      hotClient: hotClient, hotShare: hotShare)
  }

  private func steady(_ rate: Int) -> Scenario {
    Scenario(load: .steady(rate: rate, seconds: seconds), subjects: [.floor, .adapter], rounds: rounds)
  }

  // MARK: Goals

  private func throughput(_ plain: ScenarioResult) -> [Goal] {
    guard let floor = plain.medians(.floor), let adapter = plain.medians(.adapter), let two = plain.medians(Self.two)
    else { return [] }
    return [
      .atLeast(0.8, "throughput, of the floor's", adapter.eventsPerSecond / floor.eventsPerSecond),
      .atMost(25, "own CPU, ms per 1,000 events", adapter.ownCPU, digits: 1),
      .atMost(80, "resident memory, MiB", adapter.peakMiB, digits: 0),
      .atLeast(1, "two instances, of one", two.eventsPerSecond / adapter.eventsPerSecond),
    ] + (adapter.firstAck.map { [.atMost(1, "start to first acknowledgement, s", $0)] } ?? [])
  }

  private func throughputByDefault(_ result: ScenarioResult) -> [Goal] {
    guard let floor = result.medians(.floor), let adapter = result.medians(.adapter) else { return [] }
    return [
      .atLeast(0.8, "default profile: throughput, of its floor's", adapter.eventsPerSecond / floor.eventsPerSecond)
    ]
  }

  private func flatness(_ before: ScenarioResult, _ after: ScenarioResult, _ stored: String) -> [Goal] {
    func ratio(_ subject: Subject) -> Double? {
      guard let empty = before.medians(subject), let aged = after.medians(subject) else { return nil }
      return aged.eventsPerSecond / empty.eventsPerSecond
    }
    guard let adapter = ratio(.adapter), let floor = ratio(.floor) else { return [] }
    // Measured minutes apart: the floor's ratio shows how much of the difference the machine and the table cause.
    return [.atLeast(0.9, "throughput with \(stored), of that with none (the floor: \(fixed(floor, 2)))", adapter)]
  }

  private func latency(_ result: ScenarioResult) -> [Goal] {
    guard case .steady(let rate, _) = result.scenario.load, let floor = result.latency(.floor),
      let adapter = result.latency(.adapter)
    else { return [] }
    return [
      .atMost(1.3, "\(rate) events/s, p50 of the floor's", ratio(adapter.p50, floor.p50)),
      .atMost(1.5, "\(rate) events/s, p99 of the floor's", ratio(adapter.p99, floor.p99)),
    ]
  }

  private func latency(_ result: ScenarioResult, maxOf most: Int) -> [Goal] {
    guard let adapter = result.latency(.adapter) else { return [] }
    return [
      .atMost(100, "70 % of \(most) events/s, the most kept up with, p99 in ms", Double(adapter.p99) / 1000, digits: 0)
    ]
  }
}

func ratio(_ value: UInt64, _ other: UInt64) -> Double { Double(value) / Double(max(1, other)) }
