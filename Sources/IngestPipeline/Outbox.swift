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
  /// Actions of one batch that were not published.
  struct Failure: Sendable {
    var batch: UUID
    var actions: ReleasedActions
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
    var revocationsInFlight = 0
    /// Actions whose revocations are confirmed and not yet marked.
    var revoked: [UUID] = []
    var lastRevocationFailure: PublishFailure?
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
  /// - Parameter sentAt: when the event that led to each action was sent; empty: not known.
  func publish(_ batch: OutboxBatch, sentAt: [ContinuousClock.Instant?] = []) async {
    while !publishAtOnce(batch, sentAt: sentAt) { await waitUntil { $0.inFlight < limit } }
  }

  /// Publishes a batch if the number of actions in flight is below the limit.
  /// - Returns: false if the batch has to wait.
  func publishAtOnce(_ batch: OutboxBatch, sentAt: [ContinuousClock.Instant?] = []) -> Bool {
    let hasCapacity = state.withLock { state in
      guard state.inFlight < limit || state.isAborted else { return false }
      state.inFlight += batch.actions.count
      return true
    }
    guard hasCapacity else { return false }
    let begin = ContinuousClock.now
    publisher.publish(batch.actions) { [self] results in
      statistics.answered(results, publishedAt: begin, sentAt: sentAt)
      resolved(batch, results)
    }
    return true
  }

  /// Publishes revocations. Does not wait: what is not confirmed is claimed again later.
  func send(_ revocations: [ActionMessage]) {
    state.withLock { $0.revocationsInFlight += revocations.count }
    publisher.publish(revocations) { [self] results in
      statistics.published(revocations, results)
      let last = results.last { $0 != nil } ?? nil
      let waiting = state.withLock { state in
        state.revocationsInFlight -= revocations.count
        state.revoked += zip(revocations, results).compactMap { $1 == nil ? $0.id : nil }
        if let last { state.lastRevocationFailure = last }
        defer { state.waiting = [] }
        return state.waiting
      }
      for continuation in waiting { continuation.resume() }
    }
  }

  /// Whether the broker has answered for all revocations.
  var hasSentRevocations: Bool { state.withLock { $0.revocationsInFlight == 0 } }
  /// Removes and returns the actions whose revocations are confirmed.
  func drainRevoked() -> [UUID] { drain(\.revoked, leaving: []) }
  func requeue(revoked: [UUID]) { state.withLock { $0.revoked += revoked } }
  /// Removes and returns why a revocation was not confirmed.
  func drainRevocationFailure() -> PublishFailure? { drain(\.lastRevocationFailure, leaving: nil) }

  /// Returns when nothing is in flight or at the deadline. After the deadline no call waits any more.
  func drain(within deadline: Duration) async {
    let alarm = Task {
      try await Task.sleep(for: deadline)
      giveUp()
    }
    await waitUntil { $0.inFlight == 0 && $0.revocationsInFlight == 0 }
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
    var released = ReleasedActions()
    for (action, failure) in zip(batch.actions, results) {
      guard let failure else { continue }
      if let hold = failure.hold {
        released.held.append((action.id, hold))
      } else {
        released.failed.append(action.id)
        released.reason = "\(failure)"
        released.isCertain = released.isCertain && failure.isCertain
      }
    }
    let (waiting, refusal) = state.withLock { [released] state in
      state.inFlight -= batch.actions.count
      if released.count > 0 {
        state.failed.append(Failure(batch: batch.id, actions: released))
      } else {
        state.confirmed[batch.id] = batch.actions.count
      }
      Self.record(batch, results, in: &state.refused)
      defer { state.waiting = [] }
      return (state.waiting, state.refused.values.first)
    }
    report(refusal)
    statistics.published(batch.actions, results)
    for continuation in waiting { continuation.resume() }
  }

  /// Per routing key, so that one failing channel shows while the others work.
  private static func record(_ batch: OutboxBatch, _ results: [PublishFailure?], in refused: inout [String: Refusal]) {
    for (action, failure) in zip(batch.actions, results) where failure?.hold == nil {
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
