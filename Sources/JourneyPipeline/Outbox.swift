import FoundationEssentials
import Journey
import Logging
import ServiceLifecycle
import Synchronization

/// The actions between commit and confirmation: bounds how many are under way, and remembers what is to be written down about their batches.
///
/// It is a convenience of the running process only: a batch that it forgets in a crash is still unpublished in the ledger.
final class Outbox: Sendable {
  /// Actions of one batch that the broker has not taken.
  struct Failure: Sendable {
    var batch: UUID
    var actions: [UUID]
    var last: PublishFailure
  }

  private struct State {
    var inFlight = 0
    var confirmed: [UUID] = []
    var failed: [Failure] = []
    var waiting: [CheckedContinuation<Void, Never>] = []
    /// Whoever waits goes on: the wait for confirmations was given up.
    var isGivenUp = false
  }
  private let state = Mutex(State())
  private let publisher: any ActionPublisher
  private let limit: Int
  private let statistics: Statistics

  init(publisher: any ActionPublisher, limit: Int, statistics: Statistics) {
    self.publisher = publisher
    self.limit = limit
    self.statistics = statistics
  }

  /// Hands a batch to the publisher, as soon as fewer actions than the limit are under way. Does not wait for their confirmation.
  func publish(_ batch: OutboxBatch) async {
    while !publishAtOnce(batch) { await waitUntil { $0.inFlight < limit } }
  }

  /// The same where fewer are under way already.
  /// - Returns: false where the batch would have to wait.
  func publishAtOnce(_ batch: OutboxBatch) -> Bool {
    let hasRoom = state.withLock { state in
      guard state.inFlight < limit || state.isGivenUp else { return false }
      state.inFlight += batch.actions.count
      return true
    }
    guard hasRoom else { return false }
    let ids = batch.actions.map(\.id)
    publisher.publish(batch.actions) { [self] results in resolved(batch.id, ids, results) }
    return true
  }

  /// Returns when nothing is under way, or the deadline has passed. After that nothing here waits any more.
  func drain(within deadline: Duration) async {
    let alarm = Task {
      try await Task.sleep(for: deadline)
      giveUp()
    }
    await waitUntil { $0.inFlight == 0 }
    alarm.cancel()
  }

  private func giveUp() {
    let waiting = state.withLock { state in
      state.isGivenUp = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// The batches whose actions are all confirmed.
  func takeConfirmed() -> [UUID] { take(\.confirmed) }
  func takeFailed() -> [Failure] { take(\.failed) }
  func putBack(confirmed: [UUID] = [], failed: [Failure] = []) {
    guard !confirmed.isEmpty || !failed.isEmpty else { return }
    state.withLock {
      $0.confirmed.append(contentsOf: confirmed)
      $0.failed.append(contentsOf: failed)
    }
  }

  private func take<Element>(_ list: any WritableKeyPath<State, [Element]> & Sendable) -> [Element] {
    state.withLock { state in
      defer { state[keyPath: list] = [] }
      return state[keyPath: list]
    }
  }

  private func resolved(_ batch: UUID, _ ids: [UUID], _ results: [PublishFailure?]) {
    let failed = zip(ids, results).compactMap { id, failure in failure.map { (id, $0) } }
    let waiting = state.withLock { state in
      if let last = failed.last {
        state.failed.append(Failure(batch: batch, actions: failed.map(\.0), last: last.1))
      } else {
        state.confirmed.append(batch)
      }
      state.inFlight -= ids.count
      defer { state.waiting = [] }
      return state.waiting
    }
    statistics.add(\.published, ids.count - failed.count)
    statistics.add(\.publishFailures, failed.count)
    for continuation in waiting { continuation.resume() }
  }

  private func waitUntil(_ condition: (borrowing State) -> Bool) async {
    while true {
      if state.withLock({ condition($0) || $0.isGivenUp }) { return }
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          if condition(state) || state.isGivenUp { return true }
          state.waiting.append(continuation)
          return false
        }
        if isReady { continuation.resume() }
      }
    }
  }
}

/// Writes down what became of actions when no commit does it on its way, and publishes what a crash or a failure left behind.
final class ActionRelay: Sendable {
  private let outbox: Outbox
  private let ledger: any JourneyLedger
  private let interval: Duration
  private let batchSize: Int
  private let logger: Logger

  init(outbox: Outbox, ledger: any JourneyLedger, interval: Duration, batchSize: Int, logger: Logger) {
    self.outbox = outbox
    self.ledger = ledger
    self.interval = interval
    self.batchSize = batchSize
    self.logger = logger
  }

  /// Works in turns of `interval` until it is cancelled.
  func run() async {
    var isFailing = false
    while !Task.isCancelled {
      isFailing = await turn(wasFailing: isFailing, sweeps: true)
      try? await Task.sleep(for: interval)
    }
  }

  /// Writes down what is left.
  func flush() async { _ = await turn(wasFailing: false, sweeps: false) }

  private func turn(wasFailing: Bool, sweeps: Bool) async -> Bool {
    let confirmed = outbox.takeConfirmed()
    var failed = outbox.takeFailed()
    do {
      if !confirmed.isEmpty { try await ledger.markPublished(confirmed) }
    } catch {
      outbox.putBack(confirmed: confirmed, failed: failed)
      return report(error, wasFailing: wasFailing)
    }
    do {
      while let failure = failed.last {
        logger.warning(
          "actions were not published and will be again", metadata: ["count": "\(failure.actions.count)", "why": "\(failure.last)"])
        try await ledger.release(failure.actions, of: failure.batch, because: "\(failure.last)")
        failed.removeLast()
      }
    } catch {
      outbox.putBack(failed: failed)
      return report(error, wasFailing: wasFailing)
    }
    do {
      // A large backlog is no reason to keep a stop waiting: the next instance claims the rest.
      while sweeps, !Task.isCancelled, !Task.isShuttingDownGracefully {
        let left = try await ledger.claimAbandoned(limit: batchSize)
        if left.isEmpty { break }
        let count = left.reduce(0) { $0 + $1.actions.count }
        logger.info("publishing actions that were left behind", metadata: ["count": "\(count)"])
        for batch in left { await outbox.publish(batch) }
        if count < batchSize { break }
      }
    } catch {
      return report(error, wasFailing: wasFailing)
    }
    return false
  }

  private func report(_ error: LedgerError, wasFailing: Bool) -> Bool {
    if !wasFailing { logger.warning("the outbox cannot be written, trying again: \(error)") }
    return true
  }
}
