import ConnectionThreads
import Journey
import Logging
import ServiceLifecycle

struct PendingEvent: Sendable {
  var incoming: IncomingEvent
  var message: InboundMessage
  /// A number for the client as the event names it.
  var client: Int
  /// How often somebody else held the client's rows, and since when.
  var timesLocked = 0
  var lockedSince: ContinuousClock.Instant?
  /// While it is not clear yet whether the event is at fault.
  var refusal: Refusal?

  /// That the database refused the event alone. A class: hardly an item has one, and items are copied a lot.
  final class Refusal: Sendable {
    /// The last time.
    let at: ContinuousClock.Instant
    /// How often, with another event stored each time in between, just before the next.
    let count: Int
    /// Whether the row itself was refused, as far as the error tells.
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

/// One of the commits that run side by side: takes what has gathered, commits it, has its actions published, settles
/// it.
final class CommitWorker: Sendable {
  private let number: Int
  private let queue: BatchQueue<PendingEvent>
  private let source: any EventSource
  private let store: any EventStore
  private let outbox: Outbox
  private let inFlight: InFlightMessages
  private let gate: CommitGate
  private let settings: Pipeline.Settings
  private let statistics: Statistics
  private let logger: Logger

  init(
    number: Int, queue: BatchQueue<PendingEvent>, source: any EventSource, store: any EventStore, outbox: Outbox,
    inFlight: InFlightMessages,
    gate: CommitGate, settings: Pipeline.Settings, statistics: Statistics, logger: Logger
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
    var logger = logger
    logger[metadataKey: "worker"] = "\(number)"
    self.logger = logger
  }

  /// Where `run` runs best.
  var executor: (any TaskExecutor)? { store.executor(ofWorker: number) }

  func run() async {
    defer { queue.detach(number) }
    while let items = await queue.next(for: number) { await commit(items) }
  }

  /// Commits a batch, or as much of it as passes: what the database refuses is found by halving and rejected alone.
  private func commit(_ items: [PendingEvent]) async {
    var work = CommitWork(items)
    var backoff = Backoff(base: settings.minRetryDelay, maximum: settings.maxRetryDelay)
    while let part = work.next(open: keepOpen) {
      if gate.isClosed {
        work.parts.append(part)
        return putOff(work.left)
      }
      let begin = ContinuousClock.now
      let published = outbox.drainConfirmed()
      do {
        let result = try await store.commit(EventBatch(events: part.map(\.incoming), published: Array(published.keys)))
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
        // Actions first: the broker writes an acknowledgement down as well, and what comes after it waits for that.
        let waiting = result.outbox.flatMap { outbox.publishAtOnce($0) ? nil : $0 }
        settle(part, result.results)
        if let waiting { await outbox.publish(waiting) }
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
          } else if work.suspect(item), !gate.hasPassed(since: work.inDoubt[0].refusal!.at) {
            gate.close(error)
            return putOff(work.left)
          }
        case .transient:
          let isLong = gate.failed(error, attempts: backoff.attempts + 1)
          // A batch that is too much for the server's time limits passes in parts.
          if backoff.attempts % 4 == 3, part.count > 1 { work.halve(part) } else { work.parts.append(part) }
          if isLong {
            gate.close(error)
            return putOff(work.left)
          }
          let pause = backoff.next()
          if backoff.attempts == 1 { logger.warning("the database does not take a batch, trying again: \(error)") }
          queue.markIdle(number)
          guard await sleepUnlessStopping(pause) else { return release(work.left) }
        }
      }
    }
    if !work.again.isEmpty { queue.requeue(work.again, pauses: work.pauses) }
    // What the data is refused for beside others that are stored is at fault.
    if work.hasStored { reject(work.removeRefusedData()) }
    if let error = work.error, !work.inDoubt.isEmpty, gate.keep(work.inDoubt, error, hasStored: work.hasStored) {
      putOff(work.inDoubt)
    }
  }

  /// As often an event is tried again, each time just after another one was stored and after longer pauses, before it
  /// is at fault: a host may break and mend a thing quickly.
  static let maxRefusals = 3
  private static let justBefore = Duration.milliseconds(200)

  /// Where the row itself is refused, as far as the error tells, each attempt counts, whatever became of others
  /// meanwhile.
  /// - Parameter begin: when the commit began that was refused.
  private func refused(_ item: PendingEvent, at begin: ContinuousClock.Instant, by error: StoreError) -> PendingEvent {
    var item = item
    let isAgain = item.refusal.map { gate.hasPassed(since: $0.at, until: begin - Self.justBefore) } ?? false
    let count = (item.refusal?.count ?? 0) + (isAgain || error.kind == .poison || item.refusal == nil ? 1 : 0)
    item.refusal = PendingEvent.Refusal(at: .now, count: count, isOfData: error.kind == .poison, reason: error.detail)
    return item
  }

  private func reject(_ items: [PendingEvent]) {
    guard !items.isEmpty else { return }
    settle(items, items.map { .rejected(Rejection(.refusedByDatabase, $0.refusal?.reason ?? "")) })
  }

  /// What is to be committed again, and which clients are to be set aside first. What has been held for long, or beside
  /// too much else that is held, is handed back for later: it would keep the source from handing out what can be worked
  /// on.
  /// - Parameter results: nil where all are held.
  private func left(of items: [PendingEvent], _ results: [CommitResult.Result]?) -> (
    items: [PendingEvent], pauses: [Int: Duration]
  ) {
    var left: [PendingEvent] = []
    var pauses: [Int: Duration] = [:]
    var later: [PendingEvent] = []
    let now = ContinuousClock.now
    let held = queue.countSetAside
    // Where many are held, the source may hand out nothing else.
    let hold = held > settings.fewHeld ? min(settings.maxHold, .seconds(1)) : settings.maxHold
    let isClosed = queue.isClosed
    for (index, item) in items.enumerated() {
      var item = item
      switch results?[index] ?? .locked {
      case .locked:
        let since = item.lockedSince ?? now
        // A stop does not wait for a host: what another instance holds is free long before that.
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

  /// Doubles from some milliseconds, what another instance's commit takes, to a second, for a host that holds a client
  /// for long.
  private static func pause(afterBeingLocked timesLocked: Int) -> Duration {
    .milliseconds(min(1000, 8 << min(timesLocked, 10))) * Double.random(in: 0.5...1)
  }

  /// Drops what cannot be settled any more: it comes again, and kept here it would pile up while the database is away.
  private func keepOpen(_ items: [PendingEvent]) -> [PendingEvent] {
    let lost = source.lostGeneration
    guard items.contains(where: { $0.message.token.generation <= lost }) else { return items }
    inFlight.forget(items.filter { $0.message.token.generation <= lost })
    return items.filter { $0.message.token.generation > lost }
  }

  private func settle(_ items: [PendingEvent], _ results: [CommitResult.Result]) {
    var settled: [MessageOutcome] = []
    settled.reserveCapacity(items.count)
    var stored = 0, duplicates = 0, rejected = 0
    for (item, result) in zip(items, results) {
      var reason: Rejection?
      switch result {
      case .stored: stored += 1
      case .duplicate: duplicates += 1
      case .rejected(let rejection): reason = rejection
      case .locked, .stateCreated: continue
      }
      guard let outcome = item.message.resolve(reason) else { continue }
      if case .rejected = outcome.kind { rejected += 1 }
      settled.append(outcome)
    }
    inFlight.settled(settled.count)
    statistics.add(\.rejected, rejected)
    statistics.add(\.stored, stored)
    statistics.add(\.duplicates, duplicates)
    source.settle(settled)
  }

  /// Not now: nothing passes. At a stop there is no later.
  private func putOff(_ items: [PendingEvent]) {
    if queue.isClosed { release(items) } else { source.settle(inFlight.postpone(items)) }
  }

  private func release(_ items: [PendingEvent]) { source.settle(inFlight.release(items)) }

  private func sleepUnlessStopping(_ duration: Duration) async -> Bool {
    guard !Task.isShuttingDownGracefully else { return false }
    await cancelWhenGracefulShutdown { try? await Task.sleep(for: duration) }
    return !Task.isShuttingDownGracefully && !Task.isCancelled
  }
}
