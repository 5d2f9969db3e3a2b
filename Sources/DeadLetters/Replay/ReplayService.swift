public import AMQPClient
import FoundationEssentials
public import Journey
public import JourneyAMQP
public import PostgresClient

/// Replays dead letters from the archive into the ingest queue, for `journey dlq replay` and for the API.
public struct ReplayService: Sendable {
  public struct Settings: Sendable {
    public var broker: AMQPConnectionSettings
    public var names: MessagingNames
    /// How many messages may wait for their confirms.
    public var publishWindow: Int
    /// The largest body that the ingest queue's consumers accept.
    public var maxBodyBytes: Int
    /// How long a run waits for a broker that takes no messages before it aborts.
    public var timeoutSeconds: Int

    public init(
      broker: AMQPConnectionSettings, names: MessagingNames, publishWindow: Int, maxBodyBytes: Int,
      timeoutSeconds: Int
    ) {
      self.broker = broker
      self.names = names
      self.publishWindow = publishWindow
      self.maxBodyBytes = maxBodyBytes
      self.timeoutSeconds = timeoutSeconds
    }
  }

  /// A replay that has claimed its dead letters, ready to run.
  public struct Replay: Sendable {
    public var id: Int
    public var claimed: Int
    public var edit: JSONPatch?
    public var rate: Double?
    public var why: String?
  }

  /// How a run ended.
  public struct Outcome: Sendable {
    public var progress: DeadLetterReplay.Progress
    /// Why it was aborted: the broker took no messages until the timeout.
    public var aborted: String?
  }

  private let repository: ReplayRepository
  private let settings: Settings
  private let onWait: @Sendable (String) -> Void

  /// - Parameters:
  ///   - worker: a connection of the adapter's role.
  ///   - actor: who replays, for the record.
  ///   - onWait: called with the reason when the broker takes no messages.
  public init(
    worker: PostgresWorker, actor: String, clock: any WallClock, settings: Settings,
    onWait: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    repository = ReplayRepository(
      worker: worker, actor: actor, clock: clock, maxBodyBytes: settings.maxBodyBytes)
    self.settings = settings
    self.onWait = onWait
  }

  /// Returns once the broker takes messages, so that no dead letter is claimed before.
  /// - Throws: `AMQPError` with the code `blocked` when it takes none for `seconds`.
  public func waitForBroker(seconds: Int) async throws {
    try await AMQPAdmin.with(settings.broker) { admin in
      try await PublishingTimeouts.untilPublishing(to: settings.names.retry, admin, seconds: seconds, say: onWait)
    }
  }

  public func count(_ request: ReplayRequest) async throws -> ReplayCount { try await repository.count(request) }

  /// Claims the dead letters. They stay claimed until the replay has run or is given back.
  public func start(_ request: ReplayRequest) async throws -> Replay {
    let (id, claimed) = try await repository.start(request)
    return Replay(id: id, claimed: claimed, edit: request.edit, rate: request.rate, why: request.why)
  }

  /// Replays that were interrupted or are under way, the oldest first.
  public func open() async throws -> [OpenReplay] { try await repository.open() }

  /// Reopens the dead letters that a replay has claimed and not published, and ends it.
  /// - Returns: how many there were.
  /// - Throws: `ReplayBusy` while another process runs the replay.
  public func giveBack(_ id: Int, why: String?) async throws -> Int {
    try await Task { [repository] in try await repository.giveBack(id, why: why) }.value
  }

  /// Publishes the claimed dead letters until none is left, the broker has taken no messages until the timeout, or the
  /// task is cancelled: then it records what it has published, within five seconds. What is left stays claimed, for
  /// `giveBack` or for a resumed replay.
  /// - Parameter report: called after each batch.
  public func run(
    _ replay: Replay, report: @escaping @Sendable (DeadLetterReplay.Progress) -> Void
  ) async throws -> Outcome {
    let timeout = PublishingTimeouts(seconds: settings.timeoutSeconds, say: onWait)
    let publisher = AMQPPublisher(settings: settings.broker, window: settings.publishWindow) { timeout.record($0) }
    let republisher = DeadLetterRepublisher(
      publisher: publisher, names: settings.names, user: settings.broker.userID, edit: replay.edit)
    let work = DeadLetterReplay(
      store: repository.store(replay.id, why: replay.why), publisher: republisher, rate: replay.rate)
    let run = Task { try await work.run(report: report) }
    timeout.guardWaiting(of: publisher) { run.cancel() }
    publisher.start()
    let result = await withTaskCancellationHandler {
      await run.result
    } onCancel: {
      run.cancel()
      // A broker that does not answer must not delay the end.
      Task { await publisher.close(deadline: .seconds(5)) }
    }
    await publisher.close()
    let progress = try result.get()
    guard progress.isComplete else { return Outcome(progress: progress, aborted: timeout.aborted) }
    // A cancelled task, too, ends the replay that it has finished.
    try await Task { [repository] in try await repository.finish(replay.id) }.value
    return Outcome(progress: progress)
  }
}

extension ReplayService.Replay {
  /// - Parameters:
  ///   - rate: nil: the one that the replay was started with.
  ///   - why: nil: the one that the replay was started with.
  public init(resuming open: OpenReplay, rate: Double? = nil, why: String? = nil) {
    self.init(id: open.id, claimed: open.remaining, edit: open.edit, rate: rate ?? open.rate, why: why ?? open.why)
  }
}
