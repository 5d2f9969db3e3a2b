import ConnectionThreads
import Journey
import Logging
import Synchronization

/// Whether the database takes batches at all.
///
/// While it does, a refusal is an event's fault. Where nothing passes any more, no event is to blame, and taking more
/// from the queue would only cost the messages their deliveries: the gate closes. Then nothing is taken, what was taken
/// is put off, and with growing pauses the ledger is asked whether it would take a batch. Once it would, a few events
/// are let in on trial; the first that are stored open the gate again. A run begins on trial as well, since the one
/// before it may have ended for a reason that is still there.
final class CommitGate: Sendable {
  private enum Mode { case open, trial, closed }
  private struct State {
    var mode = Mode.trial
    /// When the newest commit that stored something began and ended.
    var passed: (from: ContinuousClock.Instant, until: ContinuousClock.Instant)?
    /// Since when commits have failed, and none has passed.
    var failingSince: ContinuousClock.Instant?
    var hasClosed = false
    /// How many commits have passed on trial, whether or not they stored anything.
    var trialPasses = 0
    /// Events that were refused alone, and of which nobody knows yet whether they are at fault.
    var inDoubt: [PendingEvent] = []
    /// Whoever waits for a change of the mode.
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

  /// Nothing is to be tried: what is at hand is to be put off.
  var isClosed: Bool { mayBeClosed.load(ordering: .relaxed) }

  /// Whether a commit that began after a moment has stored something, and ended no earlier than `end`.
  func hasPassed(since moment: ContinuousClock.Instant, until end: ContinuousClock.Instant? = nil) -> Bool {
    state.withLock { $0.passed.map { $0.from > moment && $0.until >= end ?? $0.from } ?? false }
  }

  /// A commit has come to its end.
  /// - Parameter hasStored: whether it has stored an event. Others show less: what the host does with stored rows is
  ///   not tried by them.
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
      // Under the lock, so that the source is told in the order of the modes.
      source.resume(limit: nil)
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Commits that hold nothing new, of repeated messages for instance, show as much in the end.
  private static let enoughPasses = 8

  /// Keeps events that were refused alone until another one was stored, or for a pause.
  /// - Parameter hasStored: whether others of their batch were stored.
  /// - Returns: whether nothing is kept: there are so many by now that nothing passes, and the gate is closed; or few,
  ///   for so long that they had better be put off.
  func keep(_ inDoubt: [PendingEvent], _ error: StoreError, hasStored: Bool) -> Bool {
    health.failed(.commits, error.reason)
    let (isKept, closes, waiting) = state.withLock { state in
      let since = state.failingSince ?? .now
      state.failingSince = since
      let all = state.inDoubt + inDoubt
      let lately = all.count { suspect in state.passed.map { suspect.refusal!.at > $0.until } ?? true }
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

  /// The events that are kept and whose pauses are over, to be tried again just after another one was stored.
  func removeInDoubt() -> [PendingEvent] {
    guard hasInDoubt.load(ordering: .relaxed) else { return [] }
    let now = ContinuousClock.now
    return removeInDoubt { isDue($0, at: now) }
  }

  /// The events that are kept, at the end of a run.
  func removeAllInDoubt() -> [PendingEvent] { removeInDoubt { _ in true } }

  private func isDue(_ suspect: PendingEvent, at moment: ContinuousClock.Instant) -> Bool {
    suspect.refusal.map { moment - $0.at >= settings.refusalPause * $0.count } ?? true
  }

  private func removeInDoubt(_ isDue: (PendingEvent) -> Bool) -> [PendingEvent] {
    state.withLock { state in
      let due = state.inDoubt.filter(isDue)
      if !due.isEmpty { state.inDoubt.removeAll(where: isDue) }
      hasInDoubt.store(!state.inDoubt.isEmpty, ordering: .relaxed)
      return due
    }
  }

  /// A commit has failed for a reason that passes.
  /// - Returns: whether none has passed for so long that waiting with messages at hand is over.
  func failed(_ error: StoreError, attempts: Int) -> Bool {
    // Two transactions that meet are no failure of the part.
    if attempts > 1 { health.failed(.commits, error.reason) }
    return state.withLock { state in
      let since = state.failingSince ?? .now
      state.failingSince = since
      return since.duration(to: .now) >= settings.timeout
    }
  }

  /// Nothing passes.
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
        "the database lets no batch pass; until it does nothing more is taken from the queue, and what was taken is put off: \(error)"
      )
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Looks after what is kept and a closed gate, until it is cancelled.
  /// - Parameters:
  ///   - putOff: puts off what waits to be committed, and these events.
  ///   - tryAgain: has events committed.
  func run(putOff: ([PendingEvent]) -> Void, tryAgain: ([PendingEvent]) -> Void) async {
    var backoff = Backoff(base: settings.minTrialDelay, maximum: settings.maxTrialDelay)
    while !Task.isCancelled {
      let (mode, keepsAny) = state.withLock { ($0.mode, !$0.inDoubt.isEmpty) }
      switch mode {
      case .open where !keepsAny:
        backoff.reset()
        await change(from: .open)
      case .trial where !keepsAny: await change(from: .trial)
      case .open, .trial:
        // Nothing else may come for long, and somebody may have mended it.
        try? await Task.sleep(for: backoff.next())
        // Where others are being stored, it is for the lanes to try it beside them.
        let long = ContinuousClock.now - settings.minTrialDelay
        tryAgain(removeInDoubt { isDue($0, at: long) })
      case .closed:
        // A commit that was under way may have opened it again.
        state.withLock { if $0.mode == .closed { source.pause() } }
        putOff(removeInDoubt { _ in true })
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
      logger.debug("the database would still let no batch pass: \(error)")
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
    if begins { logger.notice("trying whether the database takes batches") }
  }

  /// Returns once the mode is another one, there is something to be kept, or the task is cancelled.
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
