import DeadLetters
import AMQPClient
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import IngestPipeline
import JourneyPostgres
import Logging
import PostgresClient
import ServiceLifecycle
import Synchronization

/// The operations of the API, by the code that `journey dlq` uses. Replays run within `serve`, one at a time.
final class LiveOperationsService: OperationsService, Service {
  private struct State {
    var runs: [Int: ServeReplay] = [:]
    var isStarting = false
    var task: Task<Void, Never>?
    var sample: (counts: Statistics.Counts, at: ContinuousClock.Instant)
    var rates = (stored: 0.0, published: 0.0)
  }

  private let settings: JourneyConfiguration.Settings
  private let worker: PostgresWorker
  private let decoder: InboundDecoder
  private let statistics: Statistics
  private let isConsuming: @Sendable () -> Bool
  private let clock: any WallClock
  private let logger: Logger
  private let state: Mutex<State>

  init(
    settings: JourneyConfiguration.Settings, worker: PostgresWorker, decoder: InboundDecoder, statistics: Statistics,
    isConsuming: @escaping @Sendable () -> Bool, clock: any WallClock, logger: Logger
  ) {
    self.settings = settings
    self.worker = worker
    self.decoder = decoder
    self.statistics = statistics
    self.isConsuming = isConsuming
    self.clock = clock
    self.logger = logger
    state = Mutex(State(sample: (statistics.now, .now)))
  }

  /// Measures throughput over five seconds; stops a replay at the end, which `journey dlq replay --resume` finishes.
  func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      while (try? await Task.sleep(for: .seconds(5))) != nil {
        let now = statistics.now
        state.withLock { state in
          let seconds = max(0.001, state.sample.at.duration(to: .now) / .seconds(1))
          state.rates = (
            Double(now.stored - state.sample.counts.stored) / seconds,
            Double(now.published - state.sample.counts.published) / seconds
          )
          state.sample = (now, .now)
        }
      }
    }
    let task = state.withLock { $0.task }
    task?.cancel()
    await task?.value
  }

  func overview(of deadLetters: DeadLetterState) async throws(OperationsError) -> [UInt8] {
    var filter = DeadLetterFilter()
    filter.states = [deadLetters]
    let found = try await available { [filter, worker] in
      try await DeadLetterRepository(worker: worker, actor: "").statistics(filter)
    }
    let recent = state.withLock { $0.runs.keys.sorted(by: >).prefix(10) }
    let depths = try await available { try await look(Array(recent)) }
    let counts = statistics.now
    let (rates, runs) = state.withLock { ($0.rates, $0.runs.values.sorted { $0.id > $1.id }) }
    var json = JSONWriter(reservingCapacity: 2048)
    json.beginObject()
    json.key("consuming")
    json.bool(isConsuming())
    json.key("archiving")
    json.bool(settings.archivesDeadLetters)
    json.key("queues")
    json.numbers([("waiting", depths.ingest), ("deadLetters", depths.dead)])
    json.key("perSecond")
    json.beginObject()
    for (name, rate) in [("stored", rates.stored), ("published", rates.published)] {
      json.key(name)
      json.double((rate * 10).rounded() / 10)
    }
    json.endObject()
    json.key("counts")
    json.numbers([
      ("received", counts.received), ("stored", counts.stored), ("duplicates", counts.duplicates),
      ("rejected", counts.rejected),
      ("ignored", counts.ignored), ("published", counts.published), ("publishFailures", counts.publishFailures),
    ])
    json.key("deadLetters")
    json.beginObject()
    json.key("states")
    json.numbers(DeadLetterState.allCases.map { ($0.rawValue, found.states[$0] ?? 0) })
    for (name, groups) in [("codes", found.codes), ("sources", found.sources)] {
      json.key(name)
      json.beginArray()
      for group in groups {
        json.beginObject()
        json.member("name", group.name)
        json.key("count")
        json.int(group.count)
        json.member("oldest", group.oldest.iso8601)
        json.member("newest", group.newest.iso8601)
        json.endObject()
      }
      json.endArray()
    }
    json.endObject()
    json.key("replays")
    json.beginArray()
    for run in runs.prefix(10) { run.write(into: &json) }
    json.endArray()
    json.endObject()
    return json.bytes
  }

  func deadLetters(_ filter: DeadLetterFilter, before: UUID?, limit: Int) async throws(OperationsError) -> [UInt8] {
    let found = try await available { [worker] in
      try await DeadLetterRepository(worker: worker, actor: "").list(
        filter, before: before, limit: limit + 1, withBodies: false)
    }
    var json = JSONWriter(reservingCapacity: 16_384)
    json.beginObject()
    json.key("items")
    json.beginArray()
    for deadLetter in found.prefix(limit) {
      DeadLetterJSON.write(deadLetter, body: .leftOut, maxHeaderBytes: 4 << 10, into: &json)
    }
    json.endArray()
    json.key("nextCursor")
    if found.count > limit, let last = found.prefix(limit).last {
      json.string(
        Data("[\"\(last.id.text)\"]".utf8).base64EncodedString().replacing("=", with: "").replacing("+", with: "-")
          .replacing("/", with: "_"))
    } else {
      json.null()
    }
    json.endObject()
    return json.bytes
  }

  func deadLetter(_ id: UUID) async throws(OperationsError) -> [UInt8]? {
    var filter = DeadLetterFilter()
    filter.ids = [id]
    let (found, history) = try await available { [worker, filter, settings] in
      let repository = DeadLetterRepository(worker: worker, actor: "")
      // As much as a mapping reads.
      return (
        try await repository.list(filter, limit: 1, withBodies: true, bodyBytes: settings.maximumBodyBytes),
        try await repository.history(of: id)
      )
    }
    guard var deadLetter = found.first else { return nil }
    let trace = Result { () throws(Rejection) in try deadLetter.deadLetter.message.trace(with: decoder) }
    deadLetter.deadLetter.message.body = Array(deadLetter.deadLetter.message.body.prefix(Self.maxBodyBytes))
    var json = JSONWriter(reservingCapacity: 8192)
    DLQShow.write(deadLetter, history, trace, into: &json)
    return json.bytes
  }

  /// More of a body is no use in a browser: `journey dlq show --raw` writes all of it.
  private static let maxBodyBytes = 256 << 10

  func discard(_ filter: DeadLetterFilter, why: String, by actor: String) async throws(OperationsError) -> Int {
    try await available { [worker] in
      try await DeadLetterRepository(worker: worker, actor: actor).discard(filter, why: why)
    }
  }

  func replay(_ id: Int) async throws(OperationsError) -> [UInt8]? {
    guard state.withLock({ $0.runs[id] }) != nil else { return nil }
    _ = try await available { try await look([id]) }
    guard let run = state.withLock({ $0.runs[id] }) else { return nil }
    var json = JSONWriter()
    run.write(into: &json)
    return json.bytes
  }

  func startReplay(_ request: ReplayRequest, by actor: String) async throws(OperationsError) -> [UInt8] {
    var patch: JSONPatch?
    if let edit = request.edit {
      do throws(JSONPatchError) { patch = try JSONPatch(parsing: edit) } catch {
        throw .invalid(field: "$.edit", "\(error)")
      }
    }
    let isFree = state.withLock { state in
      if state.isStarting || state.runs.values.contains(where: { $0.isRunning }) { return false }
      state.isStarting = true
      return true
    }
    guard isFree else { throw .busy("another replay is under way here; wait for its end") }
    defer { state.withLock { $0.isStarting = false } }
    let order = ReplayOrder(
      filter: request.filter, filterText: request.filterText, edit: request.edit, rate: request.rate, why: request.why,
      loopGuard: request.isForced ? nil : DLQReplay.loopGuard,
      maxBodyBytes: DLQReplay.maxBodyBytes(settings, isEdited: request.edit != nil))
    let replays = ReplayRepository(worker: worker, actor: actor, clock: clock)
    let run = try await available { [settings] in
      // A broker that is not there, or takes nothing, is told before any letter is taken.
      try await withAdmin(settings) {
        try await PublishingTimeouts.untilPublishing(to: settings.messagingNames.retry, $0, seconds: 0)
      }
      let count = try await replays.count(order)
      let (id, taken) = try await replays.start(order)
      var run = ServeReplay(id: id, deadLetters: taken, held: count.held + count.tooLarge)
      if count.tooLarge > 0 {
        run.failure =
          "\(count.tooLarge.of("letter")) too large to be replayed: a body may have \(order.maxBodyBytes.of("byte"))"
      }
      return run
    }
    state.withLock { $0.runs[run.id] = run }
    let task = Task { await publish(run.id, replays, patch, request) }
    state.withLock { $0.task = task }
    var json = JSONWriter()
    run.write(into: &json)
    return json.bytes
  }

  private func publish(_ id: Int, _ replays: ReplayRepository, _ patch: JSONPatch?, _ request: ReplayRequest) async {
    var problem: String?
    do {
      problem = try await publishDeadLetters(id, replays, patch, request)
    } catch {
      problem = "\(error)"
    }
    var failure: String?
    if let problem {
      // The next run finishes what a stop cuts off. Otherwise this process would keep its hold on the letters, and
      // nobody else could have them.
      failure =
        Task.isCancelled
        ? "cut off; finish it: journey dlq replay --resume" : await giveBack(id, replays, because: problem)
    }
    if let failure { logger.warning("replay \(id) did not end in order: \(failure)") }
    record(id) {
      $0.isRunning = false
      $0.failure = failure ?? $0.progress.lastFailure ?? $0.failure
    }
  }

  /// - Returns: why letters are left; nil: none is.
  private func publishDeadLetters(_ id: Int, _ replays: ReplayRepository, _ patch: JSONPatch?, _ request: ReplayRequest)
    async throws -> String?
  {
    // Nobody may wait for a broker that takes nothing for long: there is one replay at a time.
    let timeout = PublishingTimeouts(seconds: 60) { [logger] in logger.warning("replay \(id) waits: \($0)") }
    let broker = try settings.broker("replay")
    let publisher = AMQPPublisher(settings: broker, window: settings.publishWindow) { timeout.record($0) }
    let deadLetters = DeadLetterRepublisher(
      publisher: publisher, names: settings.messagingNames, user: broker.userID, edit: patch)
    let replay = DeadLetterReplay(
      store: replays.store(id, why: request.why), publisher: deadLetters, rate: request.rate)
    let run = Task { [self] in try await replay.run { progress in record(id) { $0.progress = progress } } }
    timeout.guardWaiting(of: publisher) { run.cancel() }
    publisher.start()
    let result = await withTaskCancellationHandler {
      await run.result
    } onCancel: {
      run.cancel()
      // A broker that does not answer shall not hold the stop up; what it has not confirmed stays taken.
      Task { await publisher.close(deadline: .seconds(5)) }
    }
    await publisher.close()
    let progress = try result.get()
    record(id) { $0.progress = progress }
    guard progress.isComplete else { return timeout.aborted ?? progress.lastFailure ?? "it ended early" }
    try await replays.finish(id)
    return nil
  }

  private func giveBack(_ id: Int, _ replays: ReplayRepository, because problem: String) async -> String {
    do {
      return "\(problem); \(try await replays.giveBack(id, why: problem).of("letter")) open again"
    } catch {
      return
        "\(problem); its letters could not be opened again: \(error); once serve is stopped: journey dlq replay --resume"
    }
  }

  private func record(_ id: Int, _ change: (inout ServeReplay) -> Void) {
    state.withLock { state in
      guard var run = state.runs[id] else { return }
      change(&run)
      state.runs[id] = run
    }
  }

  /// Looks at the queues, and what became of the letters of these replays.
  private func look(_ ids: [Int]) async throws -> QueueDepths {
    // Before the queues are: a replay that ends meanwhile has published more than they showed.
    let ended = state.withLock { state in ids.filter { state.runs[$0]?.isRunning == false } }
    let depths = try await QueueDepths.read(settings, retries: !ids.isEmpty)
    guard !ids.isEmpty else { return depths }
    let back = try await DeadLetterRepository(worker: worker, actor: "").failedAgain(ids)
    for id in ids { record(id) { $0.look(at: depths, back: back[id] ?? 0, hasEnded: ended.contains(id)) } }
    return depths
  }

  private func available<Value>(_ body: () async throws -> Value) async throws(OperationsError) -> Value {
    do { return try await body() } catch { throw .unavailable("\(error)") }
  }
}
