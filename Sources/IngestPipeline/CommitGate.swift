import ConnectionThreads
import Journey
import Logging
import Synchronization

/// Stops consumption while the database accepts no batch.
///
/// While other events are stored, a refusal is the event's own fault. If nothing is stored, no event is at fault, and
/// consuming more messages would only use up their delivery limit. The gate then closes: the source pauses and pending
/// messages are postponed. It checks the store with growing pauses. If the check passes, a few events are let in on
/// trial, and the first one that is stored opens the gate. A run also begins on trial, because the cause that ended the
/// last run may persist.
final class CommitGate: Sendable {
  private enum Mode { case open, trial, closed }
  private struct State {
    var mode = Mode.trial
    /// The start and end of the newest commit that stored an event.
    var passed: (from: ContinuousClock.Instant, until: ContinuousClock.Instant)?
    /// The first failure since the last commit that passed.
    var failingSince: ContinuousClock.Instant?
    var hasClosed = false
    /// Commits that passed during the trial, whether or not they stored an event.
    var trialPasses = 0
    /// Events that were refused alone and may not be at fault.
    var inDoubt: [PendingEvent] = []
    /// Continuations that wait for a change of the mode.
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())
  private let mayBeClosed = Atomic<Bool>(false)
  private let hasInDoubt = Atomic<Bool>(false)
  private let source: any EventSource
  private let store: any EventStore
  private let settings: Pipeline.Settings
  private let health: Health
  private let logger: Logger

  init(source: any EventSource, store: any EventStore, settings: Pipeline.Settings, health: Health, logger: Logger) {
    self.source = source
    self.store = store
    self.settings = settings
    self.health = health
    self.logger = logger
  }

  /// If true, nothing is committed and pending messages are postponed.
  var isClosed: Bool { mayBeClosed.load(ordering: .relaxed) }

  /// Whether a commit that began after `moment` stored an event and ended no earlier than `end`.
  func hasPassed(since moment: ContinuousClock.Instant, until end: ContinuousClock.Instant? = nil) -> Bool {
    state.withLock { $0.passed.map { $0.from > moment && $0.until >= end ?? $0.from } ?? false }
  }

  /// Records that a commit has passed.
  /// - Parameter hasStored: whether it stored an event. Other commits prove less: they do not run the host's triggers
  ///   on stored rows.
  func passed(from begin: ContinuousClock.Instant, hasStored: Bool) {
    health.succeeded(.commits)
    let waiting = state.withLock { state in
      state.failingSince = nil
      if hasStored, state.passed.map({ $0.from < begin }) ?? true { state.passed = (begin, .now) }
      guard state.mode != .open else { return [CheckedContinuation<Void, Never>]() }
      state.trialPasses += 1
      guard hasStored || !state.hasClosed || state.trialPasses >= Self.enoughPasses else { return [] }
      state.mode = .open
      mayBeClosed.store(false, ordering: .relaxed)
      // Within the lock, so that the source sees the modes in order.
      source.resume(limit: nil)
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// After so many commits that stored nothing, such as duplicates, the gate opens as well.
  private static let enoughPasses = 8

  /// Keeps events that were refused alone until another event is stored or their pause is over.
  /// - Parameter hasStored: whether other events of their batch were stored.
  /// - Returns: true if the events were not kept: either so many are in doubt that the gate closed, or nothing has
  ///   passed for so long that the caller should postpone them.
  func keep(_ inDoubt: [PendingEvent], _ error: StoreError, hasStored: Bool) -> Bool {
    health.failed(.commits, error.reason)
    let (isKept, closes, waiting) = state.withLock { state in
      let since = state.failingSince ?? .now
      state.failingSince = since
      let all = state.inDoubt + inDoubt
      let lately = all.count { event in state.passed.map { event.refusal!.at > $0.until } ?? true }
      if !hasStored, lately >= CommitWork.sampleSize { return (false, true, [CheckedContinuation<Void, Never>]()) }
      if !hasStored, since.duration(to: .now) >= settings.timeout { return (false, false, []) }
      state.inDoubt = all
      hasInDoubt.store(true, ordering: .relaxed)
      defer { state.waiting = [] }
      return (true, false, state.waiting)
    }
    if closes { close(error) }
    for continuation in waiting { continuation.resume() }
    return !isKept
  }

  /// Removes the events in doubt whose pauses are over. The caller retries them right after another event was stored.
  func removeInDoubt() -> [PendingEvent] {
    guard hasInDoubt.load(ordering: .relaxed) else { return [] }
    let now = ContinuousClock.now
    return removeInDoubt { isDue($0, at: now) }
  }

  /// Removes all events in doubt, at the end of a run.
  func removeAllInDoubt() -> [PendingEvent] { removeInDoubt { _ in true } }

  private func isDue(_ event: PendingEvent, at moment: ContinuousClock.Instant) -> Bool {
    event.refusal.map { moment - $0.at >= settings.refusalPause * $0.count } ?? true
  }

  private func removeInDoubt(_ isDue: (PendingEvent) -> Bool) -> [PendingEvent] {
    state.withLock { state in
      let due = state.inDoubt.filter(isDue)
      if !due.isEmpty { state.inDoubt.removeAll(where: isDue) }
      hasInDoubt.store(!state.inDoubt.isEmpty, ordering: .relaxed)
      return due
    }
  }

  /// Records that a commit has failed with a transient error.
  /// - Returns: whether commits have failed for `timeout`, so that pending messages should be postponed.
  func failed(_ error: StoreError, attempts: Int) -> Bool {
    // A single failure may be a conflict of two transactions, which is no health problem.
    if attempts > 1 { health.failed(.commits, error.reason) }
    return state.withLock { state in
      let since = state.failingSince ?? .now
      state.failingSince = since
      return since.duration(to: .now) >= settings.timeout
    }
  }

  /// Closes the gate: the database accepts no batch.
  func close(_ error: StoreError) {
    health.failed(.commits, error.reason)
    let (isNew, waiting) = state.withLock { state in
      guard state.mode != .closed else { return (false, [CheckedContinuation<Void, Never>]()) }
      let isNew = !state.hasClosed || state.mode == .open
      state.mode = .closed
      state.hasClosed = true
      mayBeClosed.store(true, ordering: .relaxed)
      defer { state.waiting = [] }
      return (isNew, state.waiting)
    }
    if isNew {
      logger.critical(
        "the database accepts no batch; consuming is paused and pending messages are postponed: \(error)"
      )
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Retries events in doubt and checks a closed gate until it is cancelled.
  /// - Parameters:
  ///   - putOff: postpones the queued events and the given ones.
  ///   - tryAgain: queues events to be committed.
  func run(postpone: ([PendingEvent]) -> Void, tryAgain: ([PendingEvent]) -> Void) async {
    var backoff = Backoff(base: settings.minTrialDelay, maximum: settings.maxTrialDelay)
    while !Task.isCancelled {
      let (mode, keepsAny) = state.withLock { ($0.mode, !$0.inDoubt.isEmpty) }
      switch mode {
      case .open where !keepsAny:
        backoff.reset()
        await change(from: .open)
      case .trial where !keepsAny: await change(from: .trial)
      case .open, .trial:
        // No other event may arrive for a long time, and the cause may be fixed by now.
        try? await Task.sleep(for: backoff.next())
        // While other events are stored, the workers retry events in doubt; this retries only those they left.
        let long = ContinuousClock.now - settings.minTrialDelay
        tryAgain(removeInDoubt { isDue($0, at: long) })
      case .closed:
        // A commit that was already running may have opened it again.
        state.withLock { if $0.mode == .closed { source.pause() } }
        postpone(removeInDoubt { _ in true })
        guard isClosed else { continue }
        try? await Task.sleep(for: backoff.next())
        if await isWorthATrial() { beginTrial() }
      }
    }
  }

  private func isWorthATrial() async -> Bool {
    do throws(StoreError) {
      try await store.check()
      return true
    } catch {
      health.failed(.commits, error.reason)
      logger.debug("the database still accepts no batch: \(error)")
      return false
    }
  }

  private func beginTrial() {
    let begins = state.withLock { state in
      guard state.mode == .closed, !Task.isCancelled else { return false }
      state.mode = .trial
      state.trialPasses = 0
      state.failingSince = nil
      mayBeClosed.store(false, ordering: .relaxed)
      source.resume(limit: settings.trialLimit)
      return true
    }
    if begins { logger.notice("the database check passed; trying a few events") }
  }

  /// Returns when the mode changes, an event is in doubt, or the task is cancelled.
  private func change(from mode: Mode) async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.mode != mode || !state.inDoubt.isEmpty || Task.isCancelled { return true }
          state.waiting.append(continuation)
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      let waiting = state.withLock { state in
        defer { state.waiting = [] }
        return state.waiting
      }
      for continuation in waiting { continuation.resume() }
    }
  }
}
