import FoundationEssentials
public import Journey
public import Logging
public import PostgresClient
import Synchronization

/// Runs replays in this process, one at a time, and follows what becomes of their dead letters.
public final class ReplayRunner: Sendable {
  private struct State {
    var replays: [Int: ReplayStatus] = [:]
    var isStarting = false
    var task: Task<Void, Never>?
  }

  private let settings: ReplayService.Settings
  private let worker: PostgresWorker
  private let clock: any WallClock
  private let logger: Logger
  private let state = Mutex(State())

  public init(settings: ReplayService.Settings, worker: PostgresWorker, clock: any WallClock, logger: Logger) {
    self.settings = settings
    self.worker = worker
    self.clock = clock
    self.logger = logger
  }

  /// Claims the dead letters and starts to publish them. A broker that is not reachable, or takes no messages, is
  /// reported before.
  public func start(_ request: ReplayRequest, by actor: String) async throws(OperationsError) -> ReplayStatus {
    let isFree = state.withLock { state in
      if state.isStarting || state.replays.values.contains(where: { $0.isRunning }) { return false }
      state.isStarting = true
      return true
    }
    guard isFree else { throw .busy("another replay is under way; wait until it ends") }
    defer { state.withLock { $0.isStarting = false } }
    let service = ReplayService(worker: worker, actor: actor, clock: clock, settings: settings) { [logger] in
      logger.warning("a replay waits", metadata: .fields([.code: "replay_waits", .reason: $0]))
    }
    let (replay, count) = try await OperationsError.unavailable {
      try await service.waitForBroker(seconds: 0)
      let count = try await service.count(request)
      return (try await service.start(request), count)
    }
    var status = ReplayStatus(id: replay.id, claimed: replay.claimed, skipped: count.held + count.tooLarge)
    if count.tooLarge > 0 {
      let limit = request.maxBodyBytes(settings.maxBodyBytes)
      status.failure =
        "\(count.tooLarge.of("dead letter")) too large to be replayed: a body may have \(limit.of("byte"))"
    }
    state.withLock { $0.replays[replay.id] = status }
    let task = Task { await run(replay, service) }
    state.withLock { $0.task = task }
    return status
  }

  private func run(_ replay: ReplayService.Replay, _ service: ReplayService) async {
    var problem: String?
    do {
      let outcome = try await service.run(replay) { [self] progress in update(replay.id) { $0.progress = progress } }
      if !outcome.progress.isComplete {
        problem = outcome.aborted ?? outcome.progress.lastFailure ?? "it ended early"
      }
    } catch {
      problem = "\(error)"
    }
    // What a shutdown interrupts, a later run resumes. Otherwise the rest is reopened: this process would keep its claim,
    // and nobody could resume it.
    if problem != nil, Task.isCancelled {
      problem = "interrupted; finish it: journey dlq replay --resume"
    } else if let reason = problem {
      do {
        problem = "\(reason); \(try await service.giveBack(replay.id, why: reason).of("dead letter")) open again"
      } catch {
        problem =
          "\(reason); its dead letters could not be reopened: \(error); once serve is stopped: journey dlq replay --resume"
      }
    }
    if let problem { logger.warning("replay \(replay.id) did not finish: \(problem)") }
    update(replay.id) {
      $0.isRunning = false
      $0.failure = problem ?? $0.progress.lastFailure ?? $0.failure
    }
  }

  private func update(_ id: Int, _ change: (inout ReplayStatus) -> Void) {
    state.withLock { state in
      guard var replay = state.replays[id] else { return }
      change(&replay)
      state.replays[id] = replay
    }
  }

  /// A replay that this process has started; nil if there is none of this id.
  public func status(of id: Int) async throws(OperationsError) -> ReplayStatus? {
    guard state.withLock({ $0.replays[id] }) != nil else { return nil }
    _ = try await OperationsError.unavailable { try await look([id]) }
    return state.withLock { $0.replays[id] }
  }

  /// The last ten replays of this process, the newest first, and how full the queues are.
  public func recent() async throws(OperationsError) -> (replays: [ReplayStatus], depths: QueueDepths) {
    let ids = state.withLock { Array($0.replays.keys.sorted(by: >).prefix(10)) }
    let depths = try await OperationsError.unavailable { try await look(ids) }
    return (state.withLock { state in ids.compactMap { state.replays[$0] } }, depths)
  }

  private func look(_ ids: [Int]) async throws -> QueueDepths {
    // Before the queues: a replay that ends in the meantime has published more than they showed.
    let ended = state.withLock { state in ids.filter { state.replays[$0]?.isRunning == false } }
    let depths = try await QueueDepths.read(settings.broker, settings.names, retries: !ids.isEmpty)
    guard !ids.isEmpty else { return depths }
    let back = try await DeadLetterRepository(worker: worker, actor: "").failedAgain(ids)
    for id in ids { update(id) { $0.update(from: depths, back: back[id] ?? 0, hasEnded: ended.contains(id)) } }
    return depths
  }

  /// Interrupts a replay that is under way, and returns when it has recorded what it has published.
  public func stop() async {
    let task = state.withLock { $0.task }
    task?.cancel()
    await task?.value
  }
}

extension OperationsError {
  /// Runs `body`; its errors mean that a server is not available.
  public static func unavailable<Value>(_ body: () async throws -> Value) async throws(OperationsError) -> Value {
    do { return try await body() } catch { throw .unavailable("\(error)") }
  }
}
