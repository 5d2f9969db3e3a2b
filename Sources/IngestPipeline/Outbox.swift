import FoundationEssentials
import Journey
import Logging
import ServiceLifecycle
import Synchronization

/// The actions between commit and confirmation: bounds how many are under way, and remembers what is to be written down
/// about their batches.
///
/// It is a convenience of the running process only: a batch that it forgets in a crash is still unpublished in the
/// ledger.
final class Outbox: Sendable {
  /// Actions of one batch that the broker has not taken.
  struct Failure: Sendable {
    var batch: UUID
    var actions: [UUID]
    var last: PublishFailure
  }

  private struct Refusal {
    var reason: String
    var at: ContinuousClock.Instant
  }
  private struct State {
    var inFlight = 0
    /// Batches to be noted, with how many actions each holds.
    var confirmed: [UUID: Int] = [:]
    var failed: [Failure] = []
    /// Actions that were given back to the ledger, to be claimed by whoever comes first.
    var givenBack: Set<UUID> = []
    /// The routing keys whose last action was refused.
    var refused: [String: Refusal] = [:]
    var waiting: [CheckedContinuation<Void, Never>] = []
    /// Whoever waits goes on: the wait for confirmations was given up.
    var isAborted = false
  }
  private let state = Mutex(State())
  private let publisher: any ActionPublisher
  private let limit: Int
  private let statistics: Statistics
  private let health: Health
  /// More than the longest pause before an action is tried again. What is not tried again within this time was
  /// published by another instance.
  private static let memory = Duration.seconds(600)

  init(publisher: any ActionPublisher, limit: Int, statistics: Statistics, health: Health) {
    self.publisher = publisher
    self.limit = limit
    self.statistics = statistics
    self.health = health
  }

  /// How many actions wait for the broker's word.
  var underWay: Int { state.withLock { $0.inFlight } }

  /// How many actions this process has taken on and not seen published, or not noted so: they are left to the next
  /// instance.
  var unfinished: Int {
    state.withLock { state in
      state.inFlight + state.confirmed.values.reduce(0, +) + state.failed.reduce(0) { $0 + $1.actions.count }
        + state.givenBack.count
    }
  }

  /// Hands a batch to the publisher, as soon as fewer actions than the limit are under way. Does not wait for their
  /// confirmation.
  func publish(_ batch: OutboxBatch) async {
    while !publishAtOnce(batch) { await waitUntil { $0.inFlight < limit } }
  }

  /// The same where fewer are under way already.
  /// - Returns: false where the batch would have to wait.
  func publishAtOnce(_ batch: OutboxBatch) -> Bool {
    let hasCapacity = state.withLock { state in
      guard state.inFlight < limit || state.isAborted else { return false }
      state.inFlight += batch.actions.count
      return true
    }
    guard hasCapacity else { return false }
    publisher.publish(batch.actions) { [self] results in resolved(batch, results) }
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
      state.isAborted = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// The batches whose actions are all confirmed, with how many these are.
  func drainConfirmed() -> [UUID: Int] { drain(\.confirmed, leaving: [:]) }
  func drainFailed() -> [Failure] { drain(\.failed, leaving: []) }
  func requeue(confirmed: [UUID: Int] = [:], failed: [Failure] = []) {
    guard !confirmed.isEmpty || !failed.isEmpty else { return }
    state.withLock {
      $0.confirmed.merge(confirmed) { $1 }
      $0.failed.append(contentsOf: failed)
    }
  }

  /// The ledger has actions back that were not published.
  func gaveBack(_ actions: [UUID]) { state.withLock { $0.givenBack.formUnion(actions) } }
  /// Actions that were given back and that this process has not claimed again.
  var givenBack: [UUID] { state.withLock { Array($0.givenBack) } }
  /// Of the actions that were given back, only these are still unpublished: others have published the rest.
  func isLeft(_ actions: Set<UUID>) { state.withLock { $0.givenBack.formIntersection(actions) } }
  /// The ledger has handed batches out again.
  func claimed(_ batches: [OutboxBatch]) {
    state.withLock { state in
      guard !state.givenBack.isEmpty else { return }
      for batch in batches { state.givenBack.subtract(batch.actions.map(\.id)) }
    }
  }

  private func drain<Value>(_ list: any WritableKeyPath<State, Value> & Sendable, leaving empty: Value) -> Value {
    state.withLock { state in
      defer { state[keyPath: list] = empty }
      return state[keyPath: list]
    }
  }

  private func resolved(_ batch: OutboxBatch, _ results: [PublishFailure?]) {
    let failed = zip(batch.actions, results).compactMap { action, failure in failure.map { (action, $0) } }
    let (waiting, refusal) = state.withLock { state in
      state.inFlight -= batch.actions.count
      if let last = failed.last {
        state.failed.append(Failure(batch: batch.id, actions: failed.map(\.0.id), last: last.1))
      } else {
        state.confirmed[batch.id] = batch.actions.count
      }
      Self.record(batch, results, in: &state.refused)
      defer { state.waiting = [] }
      return (state.waiting, state.refused.values.first)
    }
    report(refusal)
    statistics.add(\.published, batch.actions.count - failed.count)
    statistics.add(\.publishFailures, failed.count)
    for continuation in waiting { continuation.resume() }
  }

  /// One channel that takes nothing has to show while the others go on.
  private static func record(_ batch: OutboxBatch, _ results: [PublishFailure?], in refused: inout [String: Refusal]) {
    for (action, failure) in zip(batch.actions, results) {
      if let failure {
        refused[action.routingKey] = Refusal(reason: "\(action.routingKey): \(failure.reason)", at: .now)
      } else if refused.isEmpty {
        continue
      } else {
        refused[action.routingKey] = nil
      }
    }
  }

  private func report(_ refusal: Refusal?) {
    if let refusal { health.failed(.actions, refusal.reason) } else { health.succeeded(.actions) }
  }

  /// Forgets refusals whose actions others must have published since.
  func forgetOldRefusals() {
    let (hasForgotten, refusal) = state.withLock { state in
      let count = state.refused.count
      if count > 0 { state.refused = state.refused.filter { $0.value.at.duration(to: .now) < Self.memory } }
      return (state.refused.count < count, state.refused.values.first)
    }
    if hasForgotten { report(refusal) }
  }

  private func waitUntil(_ condition: (borrowing State) -> Bool) async {
    while true {
      if state.withLock({ condition($0) || $0.isAborted }) { return }
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          if condition(state) || state.isAborted { return true }
          state.waiting.append(continuation)
          return false
        }
        if isReady { continuation.resume() }
      }
    }
  }
}

/// Writes down what became of actions when no commit does it on its way, and publishes what a crash or a failure left
/// behind.
final class ActionRelay: Sendable {
  private let outbox: Outbox
  private let store: any EventStore
  private let interval: Duration
  private let batchSize: Int
  private let health: Health
  private let logger: Logger

  init(outbox: Outbox, store: any EventStore, interval: Duration, batchSize: Int, health: Health, logger: Logger) {
    self.outbox = outbox
    self.store = store
    self.interval = interval
    self.batchSize = batchSize
    self.health = health
    self.logger = logger
  }

  /// Works in turns of `interval` until it is cancelled.
  func run() async {
    var isFailing = false, nextForgetting = ContinuousClock.now
    while !Task.isCancelled {
      isFailing = await turn(wasFailing: isFailing, sweeps: true)
      if !isFailing, nextForgetting <= .now, !Task.isShuttingDownGracefully { nextForgetting = await forget() }
      try? await Task.sleep(for: interval)
    }
  }

  /// How many batches a turn deletes at most: with the pause between two turns, several times as many as are made.
  private static let forgottenAtOnce = 1000

  /// Deletes some of what was published days ago.
  /// - Returns: when to do so again.
  private func forget() async -> ContinuousClock.Instant {
    do throws(StoreError) {
      if try await store.forgetPublished(limit: Self.forgottenAtOnce) == Self.forgottenAtOnce { return .now }
    } catch {
      // Nothing waits for it.
      logger.debug("what was published long ago cannot be deleted: \(error)")
    }
    return .now + .seconds(600)
  }

  /// Writes down what is left.
  func flush() async { _ = await turn(wasFailing: false, sweeps: false) }

  private func turn(wasFailing: Bool, sweeps: Bool) async -> Bool {
    outbox.forgetOldRefusals()
    let confirmed = outbox.drainConfirmed()
    var failed = outbox.drainFailed()
    do {
      if !confirmed.isEmpty { try await store.markPublished(Array(confirmed.keys)) }
    } catch {
      outbox.requeue(confirmed: confirmed, failed: failed)
      return report(error, wasFailing: wasFailing)
    }
    do {
      while let failure = failed.last {
        logger.warning(
          "actions were not published and will be again",
          metadata: ["count": "\(failure.actions.count)", "why": "\(failure.last)"])
        try await store.release(failure.actions, of: failure.batch, because: "\(failure.last)")
        outbox.gaveBack(failure.actions)
        failed.removeLast()
      }
    } catch {
      outbox.requeue(failed: failed)
      return report(error, wasFailing: wasFailing)
    }
    do {
      // A large backlog is no reason to keep a stop waiting: the next instance claims the rest.
      while sweeps, !Task.isCancelled, !Task.isShuttingDownGracefully {
        let left = try await store.claimAbandoned(limit: batchSize)
        if left.isEmpty { break }
        outbox.claimed(left)
        let count = left.reduce(0) { $0 + $1.actions.count }
        logger.info("publishing actions that were left behind", metadata: ["count": "\(count)"])
        for batch in left { await outbox.publish(batch) }
        if count < batchSize { break }
      }
    } catch {
      return report(error, wasFailing: wasFailing)
    }
    if health.succeeded(.outbox) { logger.notice("the outbox can be written again") }
    return false
  }

  private func report(_ error: StoreError, wasFailing: Bool) -> Bool {
    health.failed(.outbox, error.reason)
    if !wasFailing { logger.warning("the outbox cannot be written, trying again: \(error)") }
    return true
  }
}
