import Journey
import Logging
import ServiceLifecycle

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
  /// The most batches of raw bodies that a statement deletes, and their bytes. Each batch holds those of a commit.
  private static let rawForgottenAtOnce = (batches: 500, bytes: 64 << 20)
  /// For how long a turn goes on deleting raw bodies. As many have to go as come in.
  private static let rawForgettingTime = Duration.milliseconds(200)

  /// Deletes some of the batches that were published days ago, and of the raw bodies that are old.
  /// - Returns: when to delete again.
  private func forget() async -> ContinuousClock.Instant {
    do throws(StoreError) {
      let isPublishedLeft = try await store.forgetPublished(limit: Self.forgottenAtOnce) == Self.forgottenAtOnce
      let end = ContinuousClock.now + Self.rawForgettingTime
      var isRawLeft = true
      while isRawLeft, ContinuousClock.now < end, !Task.isCancelled, !Task.isShuttingDownGracefully {
        isRawLeft =
          try await store.forgetRawBodies(
            limit: Self.rawForgottenAtOnce.batches, bytes: Self.rawForgottenAtOnce.bytes) > 0
      }
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
      logger.warning(
        "raw bodies of ignored messages are not kept", metadata: .fields([.code: "not_kept", .count: "\(dropped)"]))
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
        let actions = failure.actions
        if let reason = actions.reason {
          logger.warning(
            "actions were not published, trying again later",
            metadata: .fields([
              .code: "not_published", .action: actions.failed.first?.text, .reason: reason,
              .count: "\(actions.failed.count)",
            ]))
        }
        try await store.release(actions, of: failure.batch)
        outbox.gaveBack(actions.failed)
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
        logger.info("publishing abandoned actions", metadata: .fields([.code: "abandoned", .count: "\(count)"]))
        for batch in left { await outbox.publish(batch) }
        if count < batchSize { break }
      }
    } catch {
      return report(error, wasFailing: wasFailing)
    }
    do {
      try await takeBack(sweeps: sweeps)
    } catch {
      return report(error, wasFailing: wasFailing)
    }
    if health.succeeded(.outbox) { logger.notice("the outbox can be written again") }
    return false
  }

  /// Marks the revocations that are confirmed, and sends the next, while none waits for the broker.
  private func takeBack(sweeps: Bool) async throws(StoreError) {
    let revoked = outbox.drainRevoked()
    do throws(StoreError) {
      try await store.markRevoked(revoked)
    } catch {
      outbox.requeue(revoked: revoked)
      throw error
    }
    if let failure = outbox.drainRevocationFailure() {
      logger.warning(
        "a revocation was not published, trying again later",
        metadata: .fields([.code: "not_revoked", .reason: "\(failure)"]))
    }
    guard sweeps, outbox.hasSentRevocations, !Task.isCancelled, !Task.isShuttingDownGracefully else { return }
    let revocations = try await store.claimRevocations(limit: batchSize)
    if !revocations.isEmpty { outbox.send(revocations) }
  }

  private func report(_ error: StoreError, wasFailing: Bool) -> Bool {
    health.failed(.outbox, error.reason)
    if !wasFailing { logger.warning("the outbox cannot be written, trying again: \(error)") }
    return true
  }
}
