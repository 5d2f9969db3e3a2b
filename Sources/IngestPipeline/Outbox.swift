import FoundationEssentials
import Journey
import Logging
import ServiceLifecycle
import Synchronization

/// Tracks actions from commit to confirmation: limits how many are in flight, and collects the outcomes to write to the
/// store.
///
/// Holds no state that a crash must not lose: the store still has every unconfirmed batch as unpublished.
final class Outbox: Sendable {
  /// Actions of one batch that could not be published.
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
    /// Confirmed batches that are not yet marked as published, with the number of their actions.
    var confirmed: [UUID: Int] = [:]
    var failed: [Failure] = []
    /// Actions that were released to the store, for any instance to claim.
    var givenBack: Set<UUID> = []
    /// The last refusal of each routing key whose last action was refused.
    var refused: [String: Refusal] = [:]
    var waiting: [CheckedContinuation<Void, Never>] = []
    /// If true, nothing waits for confirmations any more.
    var isAborted = false
  }
  private let state = Mutex(State())
  private let publisher: any ActionPublisher
  private let limit: Int
  private let statistics: Statistics
  private let health: Health
  /// Longer than the longest pause before a retry. If no retry came within this time, another instance published the
  /// action.
  private static let memory = Duration.seconds(600)

  init(publisher: any ActionPublisher, limit: Int, statistics: Statistics, health: Health) {
    self.publisher = publisher
    self.limit = limit
    self.statistics = statistics
    self.health = health
  }

  /// How many actions wait for the broker's confirmation.
  var underWay: Int { state.withLock { $0.inFlight } }

  /// How many actions this process holds that are not published, or not marked as published. The next instance takes
  /// them over.
  var unfinished: Int {
    state.withLock { state in
      state.inFlight + state.confirmed.values.reduce(0, +) + state.failed.reduce(0) { $0 + $1.actions.count }
        + state.givenBack.count
    }
  }

  /// Publishes a batch once the number of actions in flight is below the limit. Does not wait for confirmation.
  func publish(_ batch: OutboxBatch) async {
    while !publishAtOnce(batch) { await waitUntil { $0.inFlight < limit } }
  }

  /// Publishes a batch if the number of actions in flight is below the limit.
  /// - Returns: false if the batch has to wait.
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

  /// Returns when nothing is in flight or at the deadline. After the deadline no call waits any more.
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

  /// Removes and returns the batches whose actions are all confirmed, with the number of their actions.
  func drainConfirmed() -> [UUID: Int] { drain(\.confirmed, leaving: [:]) }
  func drainFailed() -> [Failure] { drain(\.failed, leaving: []) }
  func requeue(confirmed: [UUID: Int] = [:], failed: [Failure] = []) {
    guard !confirmed.isEmpty || !failed.isEmpty else { return }
    state.withLock {
      $0.confirmed.merge(confirmed) { $1 }
      $0.failed.append(contentsOf: failed)
    }
  }

  /// Records that unpublished actions were released to the store.
  func gaveBack(_ actions: [UUID]) { state.withLock { $0.givenBack.formUnion(actions) } }
  /// Released actions that this process has not claimed again.
  var givenBack: [UUID] { state.withLock { Array($0.givenBack) } }
  /// Keeps only those released actions that are still unpublished; other instances have published the rest.
  func isLeft(_ actions: Set<UUID>) { state.withLock { $0.givenBack.formIntersection(actions) } }
  /// Records that this process has claimed batches.
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

  /// Per routing key, so that one failing channel shows while the others work.
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

  /// Drops old refusals: other instances must have published these actions by now.
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

/// Marks actions as published or released when no commit does so, and publishes actions that a crash or a failure left
/// behind.
final class ActionRelay: Sendable {
  private let outbox: Outbox
  private let ignored: IgnoredMessages
  private let store: any EventStore
  private let interval: Duration
  private let batchSize: Int
  private let health: Health
  private let logger: Logger

  init(
    outbox: Outbox, ignored: IgnoredMessages, store: any EventStore, interval: Duration, batchSize: Int,
    health: Health, logger: Logger
  ) {
    self.outbox = outbox
    self.ignored = ignored
    self.store = store
    self.interval = interval
    self.batchSize = batchSize
    self.health = health
    self.logger = logger
  }

  /// Runs every `interval` until it is cancelled.
  func run() async {
    var isFailing = false, nextForgetting = ContinuousClock.now
    while !Task.isCancelled {
      isFailing = await turn(wasFailing: isFailing, sweeps: true)
      await keepIgnored()
      if !isFailing, nextForgetting <= .now, !Task.isShuttingDownGracefully { nextForgetting = await forget() }
      try? await Task.sleep(for: interval)
    }
  }

  /// The most batches that a turn deletes. At one turn per interval this is several times as many as are created.
  private static let forgottenAtOnce = 1000
  /// The most batches of raw bodies that a turn deletes. Each holds those of a commit.
  private static let rawForgottenAtOnce = 50

  /// Deletes some of the batches that were published days ago, and of the raw bodies that are old.
  /// - Returns: when to delete again.
  private func forget() async -> ContinuousClock.Instant {
    do throws(StoreError) {
      let isPublishedLeft = try await store.forgetPublished(limit: Self.forgottenAtOnce) == Self.forgottenAtOnce
      let isRawLeft = try await store.forgetRawBodies(limit: Self.rawForgottenAtOnce) == Self.rawForgottenAtOnce
      if isPublishedLeft || isRawLeft { return .now }
    } catch {
      // Nothing depends on it; it is retried in ten minutes.
      logger.debug("old outbox batches or raw bodies cannot be deleted: \(error)")
    }
    return .now + .seconds(600)
  }

  /// Keeps the raw bodies of messages without events. These are acked already, so what does not fit is not kept.
  private func keepIgnored() async {
    let (messages, dropped) = ignored.removeAll()
    if dropped > 0 {
      logger.warning("raw bodies of ignored messages are not kept", metadata: ["count": "\(dropped)"])
    }
    guard !messages.isEmpty else { return }
    do throws(StoreError) {
      try await store.keepIgnored(messages)
    } catch {
      ignored.restore(messages)
      logger.debug("raw bodies of ignored messages cannot be kept yet: \(error)")
    }
  }

  /// Writes the outcomes that are pending.
  func flush() async {
    _ = await turn(wasFailing: false, sweeps: false)
    await keepIgnored()
  }

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
          "actions were not published, trying again later",
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
      // A large backlog does not delay a stop: the next instance claims the rest.
      while sweeps, !Task.isCancelled, !Task.isShuttingDownGracefully {
        let left = try await store.claimAbandoned(limit: batchSize)
        if left.isEmpty { break }
        outbox.claimed(left)
        let count = left.reduce(0) { $0 + $1.actions.count }
        logger.info("publishing abandoned actions", metadata: ["count": "\(count)"])
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
