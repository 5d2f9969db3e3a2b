public import Journey
public import Logging
public import ServiceLifecycle
import Synchronization

/// Runs the pipeline: receive, commit, publish, settle.
///
/// A worker commits what gathered during its last commit. One client's events are committed by one worker at a time.
/// The number of active workers follows the load. A message is settled after the commit of all its events, and an
/// action is published after the commit that decided it. A crash loses no state.
///
/// Safe to use from any task. A graceful shutdown stops consuming, finishes pending work, settles, publishes and
/// returns. A cancellation does the same without waiting for an unreachable database, apart from a connection attempt
/// in progress.
public final class Pipeline: Service {
  public struct Settings: Sendable {
    /// Parallel commits, each on its own database connection. 1...32.
    public var workers = 2
    /// The maximum number of events per commit. 1...5,000.
    public var batchSize = 500
    /// The pause before the first retry of a failed commit. Doubled up to `maxRetryDelay`, with jitter.
    public var minRetryDelay = Duration.milliseconds(100)
    public var maxRetryDelay = Duration.seconds(10)
    /// How long all commits may fail with transient errors before pending messages are postponed. Must be well below
    /// the broker's delivery acknowledgement timeout.
    public var timeout = Duration.seconds(300)
    /// The pause before an event with a permanent refusal is first retried along with others that pass. The next pauses
    /// are two and three times as long; then the event is rejected.
    public var refusalPause = Duration.seconds(1)
    /// The maximum number of unsettled messages while it is unknown whether the database accepts batches.
    public var trialLimit: UInt16 = 16
    /// The pause before the first check of a database that accepts no batch. Doubled up to `maxTrialDelay`.
    public var minTrialDelay = Duration.seconds(1)
    public var maxTrialDelay = Duration.seconds(60)
    /// How long an event waits in memory for a client that is locked by another instance or the host application,
    /// before its message is postponed.
    public var maxHold = Duration.seconds(10)
    /// The maximum number of events that wait like this. Messages beyond it are postponed at once.
    public var maxHeld = 500
    /// If more than this number wait, each waits at most one second.
    public var fewHeld = 8
    /// How often outcomes of actions are written and abandoned actions are claimed when no commit does so.
    public var relayInterval = Duration.milliseconds(500)
    /// How long a stop waits for actions in flight to be confirmed. The next instance publishes the others.
    public var drainDeadline = Duration.seconds(10)
    /// The deadline for closing the source.
    public var closeDeadline = Duration.seconds(5)
    /// How often to look for clients whose risks change as time passes.
    public var sweepInterval = Duration.seconds(5)
    /// The maximum number of such clients per transaction.
    public var sweepLimit = 25
    /// How many seconds a commit may take until the process counts as stuck: more than all timeouts of the store.
    public var commitLimit = 600
    /// The minimum time per such client; the default allows 2,500 per second.
    public var sweepPace = Duration.microseconds(400)
    /// Whether the store keeps the raw bodies of messages.
    public var keepsRawBodies = false
    /// Whether it also keeps those of messages without events.
    public var keepsIgnored = false

    public init() {}
  }

  public let statistics = Statistics()
  private let source: any EventSource
  private let workers: [CommitWorker]
  private let queue: BatchQueue<PendingEvent>
  private let gate: CommitGate
  private let outbox: Outbox
  private let ignored = IgnoredMessages()
  private let relay: ActionRelay
  private let sweep: TimeSweep
  private let store: any EventStore
  private let settings: Settings
  private let logger: Logger

  public init(
    source: any EventSource, store: any EventStore, publisher: any ActionPublisher, settings: Settings,
    health: Health = Health(), liveness: Liveness = Liveness(), logger: Logger
  ) {
    self.source = source
    self.store = store
    self.settings = settings
    self.logger = logger
    let outbox = Outbox(
      publisher: publisher, limit: settings.batchSize * (settings.workers + 1), statistics: statistics, health: health)
    self.outbox = outbox
    relay = ActionRelay(
      outbox: outbox, ignored: ignored, store: store, interval: settings.relayInterval, batchSize: settings.batchSize,
      health: health, logger: logger)
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
        settings: settings, statistics: statistics,
        turns: liveness.loop("commit worker \(number)", limit: settings.commitLimit), logger: logger)
    }
    self.inFlight = inFlight
  }

  private let inFlight: InFlightMessages
  private let droppedGeneration = Atomic<UInt64>(0)

  /// How many actions wait for the broker's confirmation.
  public var actionsUnderWay: Int { outbox.underWay }

  /// When the oldest message that waits for its commit was sent; nil if none waits.
  public var oldestUnprocessed: ContinuousClock.Instant? {
    (workers.compactMap(\.oldest) + [queue.smallest { $0.message.sentAt }].compactMap(\.self)).min()
  }

  /// How many messages are received and not settled.
  public var messagesUnderWay: Int { inFlight.count }

  /// What a finished run leaves to the next one.
  public struct Leftovers: Hashable, Sendable {
    /// Messages that were received, not settled, and will be delivered again.
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
          postpone: { source.settle(inFlight.postpone(queue.removeAll() + $0)) },
          tryAgain: { queue.append($0) })
      }
      await runWorkers()
      await outbox.drain(within: settings.drainDeadline)
      group.cancelAll()
    }
    // In a new task, because this one may be cancelled, and the final writes must still happen.
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
      logger.info("stopping: no more messages are consumed, pending work is finished")
      source.stop()
    }
  }

  /// Drops what waits from connections that are lost since: it keeps its deliveries in memory, and comes again.
  private func dropLost() {
    let lost = source.lostGeneration
    guard lost > droppedGeneration.load(ordering: .relaxed) else { return }
    droppedGeneration.store(lost, ordering: .relaxed)
    inFlight.forget(queue.remove { $0.message.token.generation <= lost })
  }

  private func dispatch(_ batch: [InboundMessage]) {
    dropLost()
    statistics.add(\.received, batch.count)
    var items: [PendingEvent] = []
    items.reserveCapacity(batch.count)
    var settled: [MessageOutcome] = []
    for message in batch {
      for incoming in message.events {
        items.append(PendingEvent(incoming: incoming, message: message, client: Self.client(of: incoming.event)))
      }
      if let outcome = message.outcomeWithoutEvents {
        settled.append(outcome)
        if settings.keepsIgnored, case .applied = outcome.kind { ignored.add(message) }
      }
    }
    inFlight.received(batch.count - settled.count)
    if !settled.isEmpty {
      statistics.count { counts in
        for outcome in settled {
          if let code = outcome.rejectionCode { counts.rejections[code, default: 0] += 1 } else { counts.ignored += 1 }
        }
      }
      source.settle(settled)
    }
    // The source may still deliver messages it had received before it was paused.
    if gate.isClosed { source.settle(inFlight.postpone(items)) } else { queue.append(items) }
  }

  private static func client(of event: JourneyEvent) -> Int {
    var hasher = Hasher()
    hasher.combine(event.orgID)
    if let id = event.client.id { hasher.combine(id) } else { hasher.combine(event.client.externalID) }
    if event.client.namesOnlyGroup { hasher.combine(event.client.group) }
    return hasher.finalize()
  }
}
