import AMQPClient
import Foundation
import Histogram
import Synchronization

/// Latency from the time an event was due to be published until a consumer received its action, in microseconds.
struct LatencyResult: Codable {
  var subject: Subject
  var actions: Int
  var p50: UInt64
  var p90: UInt64
  var p99: UInt64
  var max: UInt64
}

/// Consumes actions and measures the age of the event behind each.
final class LatencyRecorder: Sendable {
  private struct State {
    /// When each event was due to be published. Measuring from the due time counts delays of the load itself, too.
    var dueAt: [UInt64]
    /// All actions, of any run.
    var seen = 0
    var bytes = 0
    var byChannel = [0, 0, 0]
    /// The latency of each event's action in microseconds; 0 if there is no action (yet).
    var took: [UInt64]
    var histogram: Histogram<UInt64>
  }

  private let state: Mutex<State>
  private let prefix: String

  init(run: Int, events: Int, into histogram: Histogram<UInt64>) {
    prefix = Workload.prefix(run)
    let none = [UInt64](repeating: 0, count: events)
    state = Mutex(State(dueAt: none, took: none, histogram: histogram))
  }

  /// The actions of this run's events so far.
  var mix: ActionMix {
    state.withLock { state in
      var mix = ActionMix(email: state.byChannel[0], voice: state.byChannel[1], human: state.byChannel[2])
      if mix.total > 0 { mix.bodyBytes = state.bytes / mix.total }
      return mix
    }
  }
  var seen: Int { state.withLock { $0.seen } }
  var histogram: Histogram<UInt64> { state.withLock { $0.histogram } }

  /// The latencies of a range of the run's events, without those that led to no action.
  func latencies(of events: Range<Int>) -> [UInt64] {
    state.withLock { state in state.took[events.clamped(to: state.took.indices)].filter { $0 > 0 } }
  }

  func isDue(_ index: Int, at time: UInt64) { state.withLock { $0.dueAt[index] = time } }

  func measure(_ deliveries: [Delivery], channel: Int) {
    let now = Self.now()
    state.withLock { state in
      state.seen += deliveries.count
      for delivery in deliveries {
        guard let id = delivery.properties.headers["x-cause-id"]?.stringValue, id.hasPrefix(prefix),
          let index = Workload.index(ofID: id),
          index < state.dueAt.count
        else { continue }
        state.byChannel[channel] += 1
        state.bytes += delivery.bodySize
        let took = (now - state.dueAt[index]) / 1000
        state.took[index] = max(1, took)
        state.histogram.record(took)
      }
    }
  }

  /// Nanoseconds of the monotonic clock.
  static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

extension BenchmarkRun {
  /// Publishes events on schedule while the program runs, without waiting for earlier ones.
  /// - Returns: seconds from the last event's due time to the last action.
  func publish(
    to subject: Subject, _ scenario: Scenario, rate: Int, run: Int, mix: inout ActionMix,
    into histogram: inout Histogram<UInt64>
  ) async throws -> Double {
    try await empty(for: scenario)
    let events = scenario.events
    let recorder = LatencyRecorder(run: run, events: events, into: histogram)
    let consumers = try startConsumers(recorder)
    let program = try Program.start(subject, options.following(scenario), servers: servers, mix: mix, messages: events)
    defer { program.kill() }
    try await warmUp(program, scenario, run: run + 5000, mix, recorder)
    let isAdapter = subject.kind == .adapter
    let before = isAdapter ? try await database.decided() : 0

    let lastDue = await send(scenario, run: run, rate: rate, recorder)
    try await wait(for: program, atMost: .seconds(60 + events / 300)) {
      guard try await database.stored(run: run) >= events else { return false }
      return try await recorder.mix.total >= expectedActions(subject.kind, of: mix.total) - before
    }
    let behind = Double(LatencyRecorder.now() - lastDue) / 1e9
    try program.stop()
    for consumer in consumers { await consumer.close() }
    histogram = recorder.histogram
    if isAdapter {
      mix = recorder.mix
      mix.explanation = try await database.typicalExplanation()
      // Of the events of the warming up too.
      let stored = try await database.stored(run: run) + database.stored(run: run + 5000)
      mix.scores = try await database.scores() * events / max(1, stored)
    }
    return behind
  }

  func startConsumers(_ recorder: LatencyRecorder) throws -> [ActionConsumer] {
    let settings = try AMQPConnectionSettings(uri: servers.amqpURL, connectionName: "benchmark-worker")
    return Broker.channels.indices.map { channel in
      let consumer = ActionConsumer()
      consumer.start(settings, channel: channel, recorder: recorder)
      return consumer
    }
  }

  /// - Returns: the due time of the last event, in nanoseconds of the monotonic clock.
  @discardableResult
  func send(_ scenario: Scenario, run: Int, rate: Int, _ recorder: LatencyRecorder) async -> UInt64 {
    var workload = workload(scenario, run: run)
    let messages = (0..<scenario.events).map { workload.event($0) }
    // A separate thread that sleeps until fixed times, which keeps the load's own jitter small.
    return await withCheckedContinuation { continuation in
      Thread.detachNewThread { [broker] in
        let start = LatencyRecorder.now() + 10_000_000
        var due = start
        for (index, message) in messages.enumerated() {
          due = start + UInt64(index) * 1_000_000_000 / UInt64(rate)
          recorder.isDue(index, at: due)
          var time = timespec(tv_sec: Int(due / 1_000_000_000), tv_nsec: Int(due % 1_000_000_000))
          while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil) == EINTR {}
          broker.send(message)
        }
        continuation.resume(returning: due)
      }
    }
  }

  /// Warms up connections, prepared statements and caches, and waits until the program is idle.
  private func warmUp(_ program: Program, _ scenario: Scenario, run: Int, _ mix: ActionMix, _ recorder: LatencyRecorder)
    async throws
  {
    let events = 10 * options.clients
    _ = try await broker.preload(events, of: workload(scenario, run: run))
    try await wait(for: program, atMost: .seconds(60 + events / 300)) {
      guard try await database.stored(run: run) >= events else { return false }
      return try await recorder.seen
        >= expectedActions(program.subject.kind, of: mix.total * events / scenario.events)
    }
  }

  func wait(for program: Program, atMost limit: Duration, until isDone: () async throws -> Bool) async throws {
    let clock = ContinuousClock()
    let limit = clock.now + limit
    while try await !isDone() {
      try program.requireAlive()
      guard clock.now < limit else { throw BenchmarkError("\(program.subject.name) does not keep up") }
      try await clock.sleep(for: .milliseconds(50))
    }
  }
}

/// A consumer of one channel that only records times.
final class ActionConsumer: Sendable {
  /// The callback acknowledges messages through it.
  private let consumer = Mutex<AMQPConsumer?>(nil)

  func start(_ settings: AMQPConnectionSettings, channel: Int, recorder: LatencyRecorder) {
    let consumer = AMQPConsumer(
      settings: settings, queue: "journey.actions.\(Broker.channels[channel])", prefetch: 2000, maxBatch: 500,
      consumerTag: "benchmark"
    ) { event in
      guard case .deliveries(let deliveries) = event, let last = deliveries.last else { return }
      recorder.measure(deliveries, channel: channel)
      self.consumer.withLock { $0 }?.settle([.ackThrough(last.tag)])
    }
    self.consumer.withLock { $0 = consumer }
    consumer.start()
  }

  func close() async {
    let consumer = self.consumer.withLock { $0.take() }
    await consumer?.close()
  }
}
