import Journey
import Logging
import ServiceLifecycle

struct LaneItem: Sendable {
  var staged: StagedEvent
  var receipt: Receipt
  /// A number for the client as the event names it.
  var client: Int
  /// How often somebody else held the client's rows, and since when.
  var deferrals = 0
  var deferredSince: ContinuousClock.Instant?
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
final class Lane: Sendable {
  private let number: Int
  private let queue: BatchQueue<LaneItem>
  private let source: any EventSource
  private let ledger: any JourneyLedger
  private let outbox: Outbox
  private let receipts: OpenReceipts
  private let gate: CommitGate
  private let settings: Pipeline.Settings
  private let statistics: Statistics
  private let logger: Logger

  init(
    number: Int, queue: BatchQueue<LaneItem>, source: any EventSource, ledger: any JourneyLedger, outbox: Outbox,
    receipts: OpenReceipts,
    gate: CommitGate, settings: Pipeline.Settings, statistics: Statistics, logger: Logger
  ) {
    self.number = number
    self.queue = queue
    self.source = source
    self.ledger = ledger
    self.outbox = outbox
    self.receipts = receipts
    self.gate = gate
    self.settings = settings
    self.statistics = statistics
    var logger = logger
    logger[metadataKey: "lane"] = "\(number)"
    self.logger = logger
  }

  /// Where `run` runs best.
  var executor: (any TaskExecutor)? { ledger.executor(ofLane: number) }

  func run() async {
    defer { queue.leave(number) }
    while let items = await queue.next(for: number) { await take(items) }
  }

  /// Commits a batch, or as much of it as passes: what the database refuses is found by halving and rejected alone.
  private func take(_ items: [LaneItem]) async {
    var work = LaneWork(items)
    var backoff = Backoff(shortest: settings.shortestRetry, longest: settings.longestRetry)
    while let part = work.next(open: keepOpen) {
      if gate.isClosed {
        work.parts.append(part)
        return putOff(work.left)
      }
      let begin = ContinuousClock.now
      let published = outbox.takeConfirmed()
      do {
        let receipt = try await ledger.commit(EventBatch(events: part.map(\.staged), published: Array(published.keys)))
        if backoff.attempts > 0 { logger.notice("the database takes batches again") }
        backoff.reset()
        work.contentions = 0
        let hasStored = receipt.results.contains(where: \.isStored)
        work.hasStored = work.hasStored || hasStored
        gate.passed(from: begin, hasStored: hasStored)
        if hasStored { work.parts += gate.takeSuspects().map { [$0] } }
        let left = left(of: part, receipt.results)
        work.again += left.items
        work.pauses.merge(left.pauses) { max($0, $1) }
        // Actions first: the broker writes an acknowledgement down as well, and what comes after it waits for that.
        let waiting = receipt.outbox.flatMap { outbox.publishAtOnce($0) ? nil : $0 }
        settle(part, receipt.results)
        if let waiting { await outbox.publish(waiting) }
      } catch {
        outbox.putBack(confirmed: published)
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
          } else if work.suspect(item), !gate.hasPassed(since: work.suspects[0].refusal!.at) {
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
          queue.pause(number)
          guard await sleepUnlessStopping(pause) else { return handBack(work.left) }
        }
      }
    }
    if !work.again.isEmpty { queue.putBack(work.again, pauses: work.pauses) }
    // What the data is refused for beside others that are stored is at fault.
    if work.hasStored { reject(work.takeRefusedData()) }
    if let error = work.error, !work.suspects.isEmpty, gate.keep(work.suspects, error, hasStored: work.hasStored) {
      putOff(work.suspects)
    }
  }

  /// As often an event is tried again, each time just after another one was stored and after longer pauses, before it
  /// is at fault: a host may break and mend a thing quickly.
  static let maxRefusals = 3
  private static let justBefore = Duration.milliseconds(200)

  /// Where the row itself is refused, as far as the error tells, each attempt counts, whatever became of others
  /// meanwhile.
  /// - Parameter begin: when the commit began that was refused.
  private func refused(_ item: LaneItem, at begin: ContinuousClock.Instant, by error: LedgerError) -> LaneItem {
    var item = item
    let isAgain = item.refusal.map { gate.hasPassed(since: $0.at, until: begin - Self.justBefore) } ?? false
    let count = (item.refusal?.count ?? 0) + (isAgain || error.kind == .poison || item.refusal == nil ? 1 : 0)
    item.refusal = LaneItem.Refusal(at: .now, count: count, isOfData: error.kind == .poison, reason: error.detail)
    return item
  }

  private func reject(_ items: [LaneItem]) {
    guard !items.isEmpty else { return }
    settle(items, items.map { .rejected(Rejection(.refusedByDatabase, $0.refusal?.reason ?? "")) })
  }

  /// What is to be committed again, and which clients are to be set aside first. What has been held for long, or beside
  /// too much else that is held, is handed back for later: it would keep the source from handing out what can be worked
  /// on.
  /// - Parameter results: nil where all are held.
  private func left(of items: [LaneItem], _ results: [CommitReceipt.Result]?) -> (
    items: [LaneItem], pauses: [Int: Duration]
  ) {
    var left: [LaneItem] = []
    var pauses: [Int: Duration] = [:]
    var later: [LaneItem] = []
    let now = ContinuousClock.now
    let held = queue.countSetAside
    // Where many are held, the source may hand out nothing else.
    let hold = held > settings.fewHeld ? min(settings.maxHold, .seconds(1)) : settings.maxHold
    let isClosed = queue.isClosed
    for (place, item) in items.enumerated() {
      var item = item
      switch results?[place] ?? .deferred {
      case .deferred:
        let since = item.deferredSince ?? now
        // A stop does not wait for a host: what another instance holds is free long before that.
        if held >= settings.maxHeld || now - since >= hold || isClosed && item.deferrals >= Self.maxDeferralsAtStop {
          later.append(item)
          continue
        }
        item.deferredSince = since
        pauses[item.client] = pauses[item.client] ?? Self.pause(afterDeferrals: item.deferrals)
        item.deferrals += 1
      case .met: break
      case .stored, .duplicate, .rejected: continue
      }
      left.append(item)
    }
    if !later.isEmpty { source.settle(receipts.postpone(later.map(\.receipt))) }
    return (left, pauses)
  }

  private static let maxDeferralsAtStop = 8

  /// Doubles from some milliseconds, what another instance's commit takes, to a second, for a host that holds a client
  /// for long.
  private static func pause(afterDeferrals deferrals: Int) -> Duration {
    .milliseconds(min(1000, 8 << min(deferrals, 10))) * Double.random(in: 0.5...1)
  }

  /// Drops what cannot be settled any more: it comes again, and kept here it would pile up while the database is away.
  private func keepOpen(_ items: [LaneItem]) -> [LaneItem] {
    let open = items.filter { source.isOpen($0.receipt) }
    if open.count < items.count { _ = receipts.release(items.map(\.receipt).filter { !source.isOpen($0) }) }
    return open
  }

  private func settle(_ items: [LaneItem], _ results: [CommitReceipt.Result]) {
    var resolved: [(Receipt, Rejection?)] = []
    resolved.reserveCapacity(items.count)
    var stored = 0, duplicates = 0
    for (item, result) in zip(items, results) {
      switch result {
      case .stored:
        stored += 1
        resolved.append((item.receipt, nil))
      case .duplicate:
        duplicates += 1
        resolved.append((item.receipt, nil))
      case .rejected(let rejection):
        resolved.append((item.receipt, rejection))
      case .deferred, .met: break
      }
    }
    let settled = receipts.resolve(resolved)
    for case .rejected in settled.map(\.outcome) { statistics.add(\.rejected, 1) }
    statistics.add(\.stored, stored)
    statistics.add(\.duplicates, duplicates)
    source.settle(settled)
  }

  /// Not now: nothing passes. At a stop there is no later.
  private func putOff(_ items: [LaneItem]) {
    if queue.isClosed { handBack(items) } else { source.settle(receipts.postpone(items.map(\.receipt))) }
  }

  private func handBack(_ items: [LaneItem]) { source.settle(receipts.handBack(items.map(\.receipt))) }

  private func sleepUnlessStopping(_ duration: Duration) async -> Bool {
    guard !Task.isShuttingDownGracefully else { return false }
    await cancelWhenGracefulShutdown { try? await Task.sleep(for: duration) }
    return !Task.isShuttingDownGracefully && !Task.isCancelled
  }
}

/// Pauses that double from the shortest to the longest, each shortened at random by up to a half so that instances do
/// not march in step.
struct Backoff {
  private let shortest: Duration
  private let longest: Duration
  private(set) var attempts = 0

  init(shortest: Duration, longest: Duration) {
    self.shortest = shortest
    self.longest = longest
  }

  mutating func next() -> Duration {
    let full = min(longest, shortest * (1 << min(attempts, 20)))
    attempts += 1
    return full * Double.random(in: 0.5...1)
  }

  mutating func reset() { attempts = 0 }
}
