import Logging
import Synchronization

/// Whether the database takes batches at all.
///
/// While it does, a refusal is an event's fault. Where nothing passes any more, no event is to blame, and taking more from the queue would only cost the
/// messages their deliveries: the gate closes. Then nothing is taken, what was taken is put off, and with growing pauses the ledger is asked whether it would
/// take a batch. Once it would, a few events are let in on trial; the first that are stored open the gate again. A run begins on trial as well, since the one
/// before it may have ended for a reason that is still there.
final class CommitGate: Sendable {
  private enum Mode { case open, trial, closed }
  private struct State {
    var mode = Mode.trial
    /// When the newest commit that stored something began.
    var passedFrom: ContinuousClock.Instant?
    /// Since when commits have failed, and none has passed.
    var failingSince: ContinuousClock.Instant?
    var hasClosed = false
    /// Whoever waits for a change of the mode.
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())
  private let mayBeClosed = Atomic<Bool>(false)
  private let source: any EventSource
  private let ledger: any JourneyLedger
  private let settings: Pipeline.Settings
  private let health: Health
  private let logger: Logger

  init(source: any EventSource, ledger: any JourneyLedger, settings: Pipeline.Settings, health: Health, logger: Logger) {
    self.source = source
    self.ledger = ledger
    self.settings = settings
    self.health = health
    self.logger = logger
  }

  /// Nothing is to be tried: what is at hand is to be put off.
  var isClosed: Bool { mayBeClosed.load(ordering: .relaxed) }

  /// Whether a commit that began after that moment has stored something.
  func hasPassed(since moment: ContinuousClock.Instant) -> Bool { state.withLock { $0.passedFrom.map { $0 > moment } ?? false } }

  /// A commit has come to its end.
  /// - Parameter hasStored: whether it has stored an event. Others show less: what the host does with stored rows is not tried by them.
  func passed(from begin: ContinuousClock.Instant, hasStored: Bool) {
    health.succeeded(.commits)
    let (opens, waiting) = state.withLock { state in
      state.failingSince = nil
      if hasStored { state.passedFrom = max(state.passedFrom ?? begin, begin) }
      guard state.mode != .open, hasStored || !state.hasClosed else { return (false, [CheckedContinuation<Void, Never>]()) }
      state.mode = .open
      mayBeClosed.store(false, ordering: .relaxed)
      defer { state.waiting = [] }
      return (true, state.waiting)
    }
    guard opens else { return }
    source.resume(limit: nil)
    for continuation in waiting { continuation.resume() }
  }

  /// A commit has failed for a reason that passes.
  /// - Returns: whether none has passed for so long that waiting with messages at hand is over.
  func failed(_ error: LedgerError, attempts: Int) -> Bool {
    // Two transactions that meet are no failure of the part.
    if attempts > 1 { health.failed(.commits, error.reason) }
    return state.withLock { state in
      let since = state.failingSince ?? .now
      state.failingSince = since
      return since.duration(to: .now) >= settings.patience
    }
  }

  /// Nothing passes.
  func close(_ error: LedgerError) {
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
      logger.critical("the database lets no batch pass; until it does nothing more is taken from the queue, and what was taken is put off: \(error)")
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Looks after a closed gate, until it is cancelled.
  /// - Parameter putOff: puts off what waits to be committed.
  func run(_ putOff: () -> Void) async {
    var backoff = Backoff(shortest: settings.shortestTrial, longest: settings.longestTrial)
    while !Task.isCancelled {
      switch state.withLock(\.mode) {
      case .open:
        backoff.reset()
        await change(from: .open)
      case .trial: await change(from: .trial)
      case .closed:
        source.pause()
        putOff()
        // A commit that was under way may have opened it just before it was paused.
        guard isClosed else {
          source.resume(limit: nil)
          continue
        }
        try? await Task.sleep(for: backoff.next())
        if await isWorthATrial() { beginTrial() }
      }
    }
  }

  private func isWorthATrial() async -> Bool {
    do throws(LedgerError) {
      try await ledger.check()
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
      state.failingSince = nil
      mayBeClosed.store(false, ordering: .relaxed)
      return true
    }
    guard begins else { return }
    logger.notice("trying whether the database takes batches")
    source.resume(limit: settings.trialLimit)
  }

  /// Returns once the mode is another one, or the task is cancelled.
  private func change(from mode: Mode) async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.mode != mode || Task.isCancelled { return true }
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
