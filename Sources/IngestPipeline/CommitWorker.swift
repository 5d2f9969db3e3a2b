import ConnectionThreads
import Journey
import Logging
import ServiceLifecycle
import Synchronization

struct PendingEvent: Sendable {
  var incoming: IncomingEvent
  var message: InboundMessage
  /// A number for the client as the event names it.
  var client: Int
  /// How often the client's rows were locked elsewhere, and since when.
  var timesLocked = 0
  var lockedSince: ContinuousClock.Instant?
  /// Set while the event is in doubt.
  var refusal: Refusal?

  /// The database refused the event alone. A class, because few events have one and events are copied often.
  final class Refusal: Sendable {
    /// The time of the last refusal.
    let at: ContinuousClock.Instant
    /// Refusals that count: before each repeated one, another event was stored just before the attempt.
    let count: Int
    /// Whether the error blames the row itself.
    let isOfData: Bool
    let reason: String

    init(at: ContinuousClock.Instant, count: Int, isOfData: Bool, reason: String) {
      self.at = at
      self.count = count
      self.isOfData = isOfData
      self.reason = reason
    }
  }
}

/// Takes batches from the queue, commits them, publishes their actions and settles their messages. Several workers run
/// in parallel.
final class CommitWorker: Sendable {
  private let number: Int
  private let queue: BatchQueue<PendingEvent>
  let source: any EventSource
  private let store: any EventStore
  private let outbox: Outbox
  let inFlight: InFlightMessages
  private let gate: CommitGate
  private let settings: Pipeline.Settings
  let statistics: Statistics
  private let turns: Liveness.Loop
  private let logger: Logger
  /// The batch that is being committed.
  private let batch = Mutex<[PendingEvent]>([])

  init(
    number: Int, queue: BatchQueue<PendingEvent>, source: any EventSource, store: any EventStore, outbox: Outbox,
    inFlight: InFlightMessages,
    gate: CommitGate, settings: Pipeline.Settings, statistics: Statistics, turns: Liveness.Loop,
    logger: Logger
  ) {
    self.number = number
    self.queue = queue
    self.source = source
    self.store = store
    self.outbox = outbox
    self.inFlight = inFlight
    self.gate = gate
    self.settings = settings
    self.statistics = statistics
    self.turns = turns
    var logger = logger
    logger[metadataKey: LogKey.worker.rawValue] = "\(number)"
    self.logger = logger
  }

  /// The preferred executor of `run`.
  var executor: (any TaskExecutor)? { store.executor(ofWorker: number) }

  func run() async {
    defer { queue.detach(number) }
    while let items = await queue.next(for: number) {
      batch.withLock { $0 = items }
      await commit(items)
      batch.withLock { $0 = [] }
    }
  }

  /// When the oldest message of the batch under way was sent; nil if there is none.
  var oldest: ContinuousClock.Instant? { batch.withLock { $0.lazy.map(\.message.sentAt).min() } }

  /// Commits a batch, or as much of it as the database accepts. Halving finds an event that is refused; it is rejected
  /// alone.
  private func commit(_ items: [PendingEvent]) async {
    var work = CommitWork(items)
    var backoff = Backoff(base: settings.minRetryDelay, maximum: settings.maxRetryDelay)
    while let part = work.next(open: keepOpen) {
      if gate.isClosed {
        work.parts.append(part)
        return postpone(work.left)
      }
      let begin = ContinuousClock.now
      let published = outbox.drainConfirmed()
      do {
        let result = try await store(
          EventBatch(
            events: part.map(\.incoming), published: Array(published.keys),
            messages: settings.keepsRawBodies ? part.map(\.message) : []))
        if backoff.attempts > 0 { logger.notice("the database takes batches again") }
        backoff.reset()
        work.contentions = 0
        let hasStored = result.results.contains(where: \.isStored)
        work.hasStored = work.hasStored || hasStored
        gate.passed(from: begin, hasStored: hasStored)
        if hasStored { work.parts += gate.removeInDoubt().map { [$0] } }
        let left = left(of: part, result.results)
        work.again += left.items
        work.pauses.merge(left.pauses) { max($0, $1) }
        // Actions first: otherwise the broker would queue them behind the ack's write to disk.
        let sentAt = result.outbox.map { Self.sendTimes(of: $0.actions, part) } ?? []
        let waiting = result.outbox.flatMap { outbox.publishAtOnce($0, sentAt: sentAt) ? nil : $0 }
        settle(part, result)
        if let waiting {
          // Nothing of the batch is in hand any more, however long the broker takes.
          if work.parts.isEmpty, work.again.isEmpty { batch.withLock { $0 = [] } }
          await outbox.publish(waiting, sentAt: sentAt)
        }
      } catch {
        outbox.requeue(confirmed: published)
        switch error.kind {
        case .contended:
          guard !work.contend(part) else { break }
          let left = left(of: work.giveUpContended(part), nil)
          work.again += left.items
          work.pauses.merge(left.pauses) { max($0, $1) }
        case .poison where part.count > 1: work.halve(part)
        case .permanent where part.count > 1:
          work.error = error
          work.sample(part)
        case .poison, .permanent:
          work.error = error
          let item = refused(part[0], at: begin, by: error)
          if item.refusal!.count > Self.maxRefusals {
            reject([item])
          } else if work.recordInDoubt(item), !gate.hasPassed(since: work.inDoubt[0].refusal!.at) {
            gate.close(error)
            return postpone(work.left)
          }
        case .transient:
          let isLong = gate.failed(error, attempts: backoff.attempts + 1)
          // A batch that exceeds the server's time limits may pass in parts.
          if backoff.attempts % 4 == 3, part.count > 1 { work.halve(part) } else { work.parts.append(part) }
          if isLong {
            gate.close(error)
            return postpone(work.left)
          }
          let pause = backoff.next()
          if backoff.attempts == 1 { logger.warning("the database does not take a batch, trying again: \(error)") }
          queue.markIdle(number)
          guard await sleepUnlessStopping(pause) else { return release(work.left) }
        }
      }
    }
    if !work.again.isEmpty { queue.requeue(work.again, pauses: work.pauses) }
    // If other events were stored, refused data is at fault.
    if work.hasStored { reject(work.removeRefusedData()) }
    if let error = work.error, !work.inDoubt.isEmpty, gate.keep(work.inDoubt, error, hasStored: work.hasStored) {
      postpone(work.inDoubt)
    }
  }

  /// Only the commit has to end within a time: publishing waits for as long as the broker takes no messages.
  private func store(_ batch: EventBatch) async throws(StoreError) -> CommitResult {
    turns.turn()
    defer { turns.rest() }
    let begin = ContinuousClock.now
    let result = try await store.commit(batch)
    statistics.committed(batch, in: begin.duration(to: .now))
    return result
  }

  /// An event is rejected after more refusals than this. Each must follow another event's commit, after a longer pause,
  /// since a fault in the host's schema may be fixed quickly.
  static let maxRefusals = 3
  private static let justBefore = Duration.milliseconds(200)

  /// Records a refusal. If the error blames the row itself, each attempt counts, regardless of other events.
  /// - Parameter begin: when the refused commit began.
  private func refused(_ item: PendingEvent, at begin: ContinuousClock.Instant, by error: StoreError) -> PendingEvent {
    var item = item
    let isAgain = item.refusal.map { gate.hasPassed(since: $0.at, until: begin - Self.justBefore) } ?? false
    let count = (item.refusal?.count ?? 0) + (isAgain || error.kind == .poison || item.refusal == nil ? 1 : 0)
    item.refusal = PendingEvent.Refusal(at: .now, count: count, isOfData: error.kind == .poison, reason: error.detail)
    return item
  }

  private func reject(_ items: [PendingEvent]) {
    guard !items.isEmpty else { return }
    let results = items.map { item in
      CommitResult.Result.rejected(Rejection(.refusedByDatabase, item.refusal?.reason ?? ""))
    }
    settle(items, CommitResult(results: results, outbox: nil))
  }

  /// The events to commit again, and the clients to set aside first. Events that were locked for too long, or beyond
  /// the limit of held events, are postponed: they would use up the source's limit of unsettled messages.
  /// - Parameter results: nil if all are locked.
  private func left(of items: [PendingEvent], _ results: [CommitResult.Result]?) -> (
    items: [PendingEvent], pauses: [Int: Duration]
  ) {
    var left: [PendingEvent] = []
    var pauses: [Int: Duration] = [:]
    var later: [PendingEvent] = []
    let now = ContinuousClock.now
    let held = queue.countSetAside
    // If many events are held, the source may deliver no others.
    let hold = held > settings.fewHeld ? min(settings.maxHold, .seconds(1)) : settings.maxHold
    let isClosed = queue.isClosed
    for (index, item) in items.enumerated() {
      var item = item
      switch results?[index] ?? .locked {
      case .locked:
        let since = item.lockedSince ?? now
        // A stop does not wait for the host application's locks. Other instances release theirs long before that.
        if held >= settings.maxHeld || now - since >= hold || isClosed && item.timesLocked >= Self.maxDeferralsAtStop {
          later.append(item)
          continue
        }
        item.lockedSince = since
        pauses[item.client] = pauses[item.client] ?? Self.pause(afterBeingLocked: item.timesLocked)
        item.timesLocked += 1
      case .stateCreated: break
      case .stored, .duplicate, .rejected: continue
      }
      left.append(item)
    }
    if !later.isEmpty { source.settle(inFlight.postpone(later)) }
    return (left, pauses)
  }

  private static let maxDeferralsAtStop = 8

  /// Doubles from a few milliseconds, the time of another instance's commit, to one second, for long locks of the host
  /// application.
  private static func pause(afterBeingLocked timesLocked: Int) -> Duration {
    .milliseconds(min(1000, 8 << min(timesLocked, 10))) * Double.random(in: 0.5...1)
  }

  /// Drops events of lost connections. The broker delivers them again; keeping them would use up memory while the
  /// database is down.
  private func keepOpen(_ items: [PendingEvent]) -> [PendingEvent] {
    let lost = source.lostGeneration
    guard items.contains(where: { $0.message.token.generation <= lost }) else { return items }
    inFlight.forget(items.filter { $0.message.token.generation <= lost })
    return items.filter { $0.message.token.generation > lost }
  }

  /// Postpones messages because the database accepts nothing; releases them during a stop.
  private func postpone(_ items: [PendingEvent]) {
    if queue.isClosed { release(items) } else { source.settle(inFlight.postpone(items)) }
  }

  private func release(_ items: [PendingEvent]) { source.settle(inFlight.release(items)) }

  private func sleepUnlessStopping(_ duration: Duration) async -> Bool {
    guard !Task.isShuttingDownGracefully else { return false }
    await cancelWhenGracefulShutdown { try? await Task.sleep(for: duration) }
    return !Task.isShuttingDownGracefully && !Task.isCancelled
  }
}
