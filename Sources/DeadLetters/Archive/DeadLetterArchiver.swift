import ConnectionThreads
import Journey
public import Logging
public import ServiceLifecycle

/// Takes dead letters from their queue into the archive: a letter leaves the queue after the transaction that stored
/// it.
///
/// A letter that the archive refuses is found by halving the batch; it stays in the queue, unsettled, and holds nothing
/// else up. Stops gracefully: takes no more and returns; what it has not stored goes back to the queue.
public final class DeadLetterArchiver: Service {
  private let source: any DeadLetterSource
  private let archive: any DeadLetterArchive
  private let minRetryDelay: Duration
  private let maxRetryDelay: Duration
  private let closeDeadline: Duration
  private let logger: Logger

  /// - Parameters:
  ///   - shortestRetry: how long the first retry of a failed store waits; doubled up to `maxRetryDelay`, with jitter.
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

  /// Runs until a graceful shutdown or a cancellation. An archive that refuses to work is asked again with pauses: the
  /// letters are safe in their queue, and the stream of events has nothing to do with it.
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

  /// - Returns: false where a stop came while the database was away.
  private func store(_ batch: [ReceivedDeadLetter]) async -> Bool {
    // In reverse, as parts are taken from the end. Large ones apart: a statement has only so long.
    var parts = batch.parts(of: batch.count, bytes: 16 << 20, size: \.deadLetter.message.body.count).reversed().map(
      Array.init)
    var backoff = Backoff(base: minRetryDelay, maximum: maxRetryDelay)
    while let part = parts.popLast() {
      do throws(StoreError) {
        let stored = try await archive.store(part.map(\.deadLetter))
        if backoff.attempts > 0 { logger.notice("the archive takes dead letters again") }
        backoff.reset()
        source.settle(part.map(\.token))
        logger.info(
          "dead letters archived",
          metadata: ["new": "\(stored.new)", "failed_again": "\(stored.reopened)", "known": "\(stored.known)"])
      } catch {
        switch error.kind {
        case .poison where part.count > 1:
          parts.append(Array(part[(part.count / 2)...]))
          parts.append(Array(part[..<(part.count / 2)]))
        case .poison:
          logger.error("a dead letter cannot be archived and stays in its queue: \(error)")
        case .transient, .contended, .permanent:
          parts.append(part)
          let pause = backoff.next()
          if backoff.attempts == 1 {
            logger.log(
              level: error.kind == .permanent ? .critical : .warning,
              "the archive does not take dead letters, trying again: \(error)")
          }
          guard await sleepUnlessStopping(pause) else { return false }
        }
      }
    }
    return true
  }

  private func sleepUnlessStopping(_ duration: Duration) async -> Bool {
    guard !Task.isShuttingDownGracefully, !Task.isCancelled else { return false }
    await cancelWhenGracefulShutdown { try? await Task.sleep(for: duration) }
    return !Task.isShuttingDownGracefully && !Task.isCancelled
  }
}
