import ConnectionThreads
import Journey
public import Logging
public import ServiceLifecycle

/// Moves dead letters from their queue into the archive. A dead letter leaves the queue after the transaction that
/// stored it.
///
/// If the archive refuses a batch, halving it finds the dead letter at fault, which stays in the queue unsettled and
/// does not stop the others. After a graceful stop, what is not stored returns to the queue.
public final class DeadLetterArchiver: Service {
  private let source: any DeadLetterSource
  private let archive: any DeadLetterArchive
  private let minRetryDelay: Duration
  private let maxRetryDelay: Duration
  private let closeDeadline: Duration
  private let logger: Logger

  /// - Parameters:
  ///   - minRetryDelay: the delay before the first retry of a failed store; it doubles up to `maxRetryDelay`, with jitter.
  ///   - closeDeadline: how long `close` of the source may take at the end.
  public init(
    source: any DeadLetterSource, archive: any DeadLetterArchive, minRetryDelay: Duration = .milliseconds(200),
    maxRetryDelay: Duration = .seconds(15),
    closeDeadline: Duration = .seconds(3), logger: Logger
  ) {
    self.source = source
    self.archive = archive
    self.minRetryDelay = minRetryDelay
    self.maxRetryDelay = maxRetryDelay
    self.closeDeadline = closeDeadline
    self.logger = logger
  }

  /// Runs until a graceful shutdown or a cancellation. If the archive fails, it retries with pauses: the dead letters
  /// are safe in their queue, and events are processed without them.
  public func run() async throws {
    await withTaskCancellationOrGracefulShutdownHandler {
      while let batch = await source.nextBatch() {
        guard await store(batch) else { break }
      }
    } onCancelOrGracefulShutdown: { [source] in
      source.stop()
    }
    source.stop()
    await source.close(within: closeDeadline)
  }

  /// - Returns: false if it was stopped while the database was not available.
  private func store(_ batch: [ReceivedDeadLetter]) async -> Bool {
    var backoff = Backoff(base: minRetryDelay, maximum: maxRetryDelay)
    // A statement has a time limit, so large dead letters are stored apart from the others.
    for part in batch.parts(of: batch.count, bytes: 16 << 20, size: \.deadLetter.message.body.count) {
      guard await store(part, &backoff) else { return false }
    }
    return true
  }

  /// Halves a part that the archive refuses, down to the dead letters that it cannot take.
  private func store(_ part: ArraySlice<ReceivedDeadLetter>, _ backoff: inout Backoff) async -> Bool {
    do throws(StoreError) {
      let stored = try await retrying(&backoff, while: shouldRetry, pause: sleepUnlessStopping) {
        () throws(StoreError) in
        try await archive.store(part.map(\.deadLetter))
      }
      if backoff.attempts > 0 { logger.notice("the archive takes dead letters again") }
      backoff.reset()
      source.settle(part.map(\.token))
      logger.info(
        "dead letters archived",
        metadata: .fields([
          .code: "archived", .new: "\(stored.new)", .failedAgain: "\(stored.reopened)", .known: "\(stored.known)",
        ]))
      return true
    } catch  where error.kind == .poison {
      guard part.count > 1 else {
        logger.error(
          "a dead letter cannot be archived and stays in its queue",
          metadata: .fields([
            .code: "not_archived", .messageID: part.first?.deadLetter.message.messageID?.asIdentifier,
            .error: "\(error)",
          ]))
        return true
      }
      let middle = part.startIndex + part.count / 2
      guard await store(part[..<middle], &backoff) else { return false }
      return await store(part[middle...], &backoff)
    } catch {
      return false
    }
  }

  private func shouldRetry(_ error: StoreError, attempts: Int) -> Bool {
    guard error.kind != .poison else { return false }
    if attempts == 0 {
      logger.log(
        level: error.kind == .permanent ? .critical : .warning,
        "cannot archive dead letters, retrying, trying again: \(error)")
    }
    return true
  }

  private func sleepUnlessStopping(_ duration: Duration) async -> Bool {
    guard !Task.isShuttingDownGracefully, !Task.isCancelled else { return false }
    await cancelWhenGracefulShutdown { try? await Task.sleep(for: duration) }
    return !Task.isShuttingDownGracefully && !Task.isCancelled
  }
}
