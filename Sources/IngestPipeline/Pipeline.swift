public import Journey
public import Logging
public import ServiceLifecycle

/// The order of work: receive, commit, publish, settle.
///
/// A lane commits whatever has gathered while the last commit was under way, one client's events are committed by one
/// lane at a time, and as many lanes work as the load is worth. A receipt is settled after the commit of all its
/// events, an action is published after the commit that decided it. Nothing here holds state that a crash would lose.
///
/// Isolation: safe to use from any task. Stops gracefully: takes no more, finishes what it has, settles, publishes,
/// returns. Cancelled, it does the same without waiting for a database that is away, but for an attempt to connect that
/// is under way.
public final class Pipeline: Service {
  public struct Settings: Sendable {
    /// Commits that run at the same time, each on a database connection of its own. 1...32.
    public var workers = 2
    /// The most events a commit takes. 1...5,000.
    public var batchSize = 500
    /// How long the first retry of a failed commit waits; doubled up to `maxRetryDelay`, with jitter.
    public var minRetryDelay = Duration.milliseconds(100)
    public var maxRetryDelay = Duration.seconds(10)
    /// How long the database may let no batch pass, for reasons that pass by themselves, before messages that were
    /// taken are put off. Well below the time after which the broker takes a delivery back that nobody acknowledges.
    public var timeout = Duration.seconds(300)
    /// How long the first pause is after which an event that the database refuses for good is tried again beside others
    /// that pass; the next ones are twice and three times as long. Then it is rejected.
    public var refusalPause = Duration.seconds(1)
    /// How many unsettled messages there are at most while it is not known whether the database takes batches.
    public var trialLimit: UInt16 = 16
    /// How long the first pause is before the database is asked again; doubled up to `maxTrialDelay`.
    public var minTrialDelay = Duration.seconds(1)
    public var maxTrialDelay = Duration.seconds(60)
    /// How long an event waits here for a client that somebody else holds, another instance or the host application,
    /// before it is handed back for later.
    public var maxHold = Duration.seconds(10)
    /// How many events may wait so at the same time; what comes on top is handed back for later at once.
    public var maxHeld = 500
    /// Where more than so many wait, each waits a second at most.
    public var fewHeld = 8
    /// How often confirmations are noted and abandoned actions looked for when no commit does it on its way.
    public var relayInterval = Duration.milliseconds(500)
    /// How long a stop waits for actions under way to be confirmed. Those that are not are published by the next
    /// instance.
    public var drainDeadline = Duration.seconds(10)
    /// How long `close` of the source may take at the end.
    public var closeDeadline = Duration.seconds(5)
    /// How often clients are looked for whose risks change as time passes.
    public var sweepInterval = Duration.seconds(5)
    /// How many of them a transaction evaluates at most.
    public var sweepLimit = 25
    /// The least time that each of them takes: 2,500 a second.
    public var sweepPace = Duration.microseconds(400)

    public init() {}
  }

  public let statistics = Statistics()
  private let source: any EventSource
  private let workers: [CommitWorker]
  private let queue: BatchQueue<PendingEvent>
  private let gate: CommitGate
  private let outbox: Outbox
  private let relay: ActionRelay
  private let sweep: TimeSweep
  private let store: any EventStore
  private let settings: Settings
  private let logger: Logger

  public init(
    source: any EventSource, store: any EventStore, publisher: any ActionPublisher, settings: Settings,
    health: Health = Health(), logger: Logger
  ) {
    self.source = source
    self.store = store
    self.settings = settings
    self.logger = logger
    let outbox = Outbox(
      publisher: publisher, limit: settings.batchSize * (settings.workers + 1), statistics: statistics, health: health)
    self.outbox = outbox
    relay = ActionRelay(
      outbox: outbox, store: store, interval: settings.relayInterval, batchSize: settings.batchSize, health: health,
      logger: logger)
    let inFlight = InFlightMessages()
    let statistics = statistics
    let queue = BatchQueue<PendingEvent>(workers: settings.workers, limit: settings.batchSize, client: { $0.client })
    self.queue = queue
    let gate = CommitGate(source: source, store: store, settings: settings, health: health, logger: logger)
    self.gate = gate
    sweep = TimeSweep(
      store: store, outbox: outbox, gate: gate,
      settings: TimeSweep.Settings(
        interval: settings.sweepInterval, limit: settings.sweepLimit, pace: settings.sweepPace),
      statistics: statistics, health: health, logger: logger)
    workers = (0..<settings.workers).map { number in
      CommitWorker(
        number: number, queue: queue, source: source, store: store, outbox: outbox, inFlight: inFlight, gate: gate,
        settings: settings,
        statistics: statistics, logger: logger)
    }
    self.inFlight = inFlight
  }

  private let inFlight: InFlightMessages

  /// How many actions wait for the broker's word.
  public var actionsUnderWay: Int { outbox.underWay }

  /// What a run that has ended leaves to the next one.
  public struct Leftovers: Hashable, Sendable {
    /// Messages that were taken and are delivered again.
    public var messages: Int
    /// Actions that were decided and are not known to be published.
    public var actions: Int

    public var isEmpty: Bool { messages == 0 && actions == 0 }
  }

  public var leftovers: Leftovers {
    Leftovers(messages: inFlight.leftOver + source.leftBehind, actions: outbox.unfinished)
  }

  /// Runs until a graceful shutdown or a cancellation.
  public func run() async throws {
    await withTaskGroup { group in
      group.addTask { [relay] in await relay.run() }
      group.addTask { [sweep] in await sweep.run() }
      group.addTask { [queue] in await queue.watch() }
      group.addTask { [gate, queue, source, inFlight] in
        await gate.run(
          putOff: { source.settle(inFlight.postpone(queue.removeAll() + $0)) },
          tryAgain: { queue.append($0) })
      }
      await runWorkers()
      await outbox.drain(within: settings.drainDeadline)
      group.cancelAll()
    }
    // Apart from this task, which may have been cancelled: what is left to be written down still is.
    await Task { [store, outbox, relay, source, inFlight, queue, gate, settings] in
      // The relay may have claimed actions in its last turn.
      await outbox.drain(within: settings.drainDeadline)
      source.settle(inFlight.release(queue.removeAll() + gate.removeAllInDoubt()))
      await relay.flush()
      let givenBack = outbox.givenBack
      if !givenBack.isEmpty, let left = try? await store.unpublished(of: givenBack) { outbox.isLeft(left) }
      await source.close(within: settings.closeDeadline)
    }.value
    logger.info("stopped", metadata: statistics.metadata)
  }

  private func runWorkers() async {
    await withTaskGroup { group in
      for worker in workers {
        group.addTask(executorPreference: worker.executor) { await worker.run() }
      }
      source.resume(limit: settings.trialLimit)
      await receive()
      queue.close()
    }
  }

  private func receive() async {
    await withTaskCancellationOrGracefulShutdownHandler {
      await source.receive { [self] in dispatch($0) }
    } onCancelOrGracefulShutdown: { [self] in
      logger.info("stopping: no more events are taken, what was received is finished")
      source.stop()
    }
  }

  private func dispatch(_ batch: [InboundMessage]) {
    statistics.add(\.received, batch.count)
    var items: [PendingEvent] = []
    items.reserveCapacity(batch.count)
    var settled: [MessageOutcome] = []
    for message in batch {
      for incoming in message.events {
        items.append(PendingEvent(incoming: incoming, message: message, client: Self.client(of: incoming.event)))
      }
      if let outcome = message.outcomeWithoutEvents { settled.append(outcome) }
    }
    inFlight.received(batch.count - settled.count)
    for outcome in settled {
      if case .rejected = outcome.kind { statistics.add(\.rejected, 1) } else { statistics.add(\.ignored, 1) }
    }
    if !settled.isEmpty { source.settle(settled) }
    // What was under way when the source was paused.
    if gate.isClosed { source.settle(inFlight.postpone(items)) } else { queue.append(items) }
  }

  private static func client(of event: JourneyEvent) -> Int {
    var hasher = Hasher()
    hasher.combine(event.orgID)
    if let id = event.client.id { hasher.combine(id) } else { hasher.combine(event.client.externalID) }
    return hasher.finalize()
  }
}
