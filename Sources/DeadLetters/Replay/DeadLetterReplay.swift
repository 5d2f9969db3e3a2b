public import Journey
import ConnectionThreads
import FoundationEssentials

/// Publishes the dead letters that a replay has claimed, in batches and at a limited rate, and records each outcome.
///
/// A dead letter is published only while this replay has claimed it, and stays claimed until its outcome is recorded.
/// So a replay that is interrupted at any point loses nothing: when it is resumed, it publishes again what it had
/// published and not recorded, with the same id, which counts once.
public struct DeadLetterReplay: Sendable {
  public struct Progress: Hashable, Sendable {
    /// Dead letters that the broker has confirmed in this run.
    public var confirmed = 0
    /// Dead letters that are open again: the broker refused them, or the edit does not apply.
    public var failed = 0
    /// Dead letters whose outcome is unknown; they stay claimed.
    public var unknown = 0
    /// Why the last one failed.
    public var lastFailure: String?
    /// Whether nothing is left to do.
    public var isComplete = false

    public init() {}
    public var done: Int { confirmed + failed }
  }

  private let store: any ReplayStore
  private let publisher: any DeadLetterPublisher
  private let rate: Double?
  private let batchSize: Int
  private let maxPasses: Int
  private let minRetryDelay: Duration

  /// - Parameters:
  ///   - rate: dead letters per second, more than 0; nil: as fast as the broker confirms.
  ///   - batchSize: how many dead letters are published and recorded together, and so how many a crash publishes twice
  ///     at most. 1...1,000.
  ///   - maxPasses: how often dead letters of unknown outcome are published again before they are left to a resumed
  ///     replay. From 1.
  ///   - minRetryDelay: the delay before the first retry when the store is not available; it doubles up to 32 times
  ///     this, with jitter.
  public init(
    store: any ReplayStore, publisher: any DeadLetterPublisher, rate: Double?, batchSize: Int = 100,
    maxPasses: Int = 3,
    minRetryDelay: Duration = .milliseconds(100)
  ) {
    self.store = store
    self.publisher = publisher
    self.rate = rate
    self.batchSize = batchSize
    self.maxPasses = maxPasses
    self.minRetryDelay = minRetryDelay
  }

  /// Runs until nothing is left, or until the task is cancelled: then it records what it has published, and stops.
  /// - Throws: what the store throws, after retries. A resumed replay publishes again what was not recorded.
  public func run(report: (Progress) -> Void) async throws(StoreError) -> Progress {
    let clock = ContinuousClock()
    let start = clock.now
    var bucket = rate.map { TokenBucket(rate: $0, now: .zero) }
    var progress = Progress()
    for _ in 0..<maxPasses {
      var last: UUID?
      progress.unknown = 0
      while !Task.isCancelled {
        var limit = batchSize
        if bucket != nil {
          // Tokens first: the archive is asked for no more dead letters than may be sent.
          try? await clock.sleep(for: bucket!.wait(for: batchSize, now: start.duration(to: clock.now)))
          if Task.isCancelled { break }
          limit = bucket!.take(batchSize, now: start.duration(to: clock.now))
          guard limit > 0 else { continue }
        }
        let items = try await shielded { [store, last, limit] () throws(StoreError) in
          try await store.claimed(after: last, limit: limit)
        }
        guard let end = items.last else {
          if progress.unknown == 0 {
            progress.isComplete = true
            return progress
          }
          break
        }
        last = end.deadLetterID
        let outcomes = await publisher.publish(items)
        // Even when cancelled: what is published has to be recorded.
        let recorded = Array(zip(items.map(\.deadLetterID), outcomes))
        try await shielded { [store] () throws(StoreError) in try await store.record(recorded) }
        progress.count(outcomes)
        report(progress)
      }
      if Task.isCancelled { break }
    }
    return progress
  }

  /// Runs `body` shielded from cancellation, and again while the store is not available.
  private func shielded<Value: Sendable>(
    _ body: @escaping @Sendable () async throws(StoreError) -> Value
  ) async throws(StoreError) -> Value {
    let min = minRetryDelay
    let result: Result<Value, StoreError> = await Task {
      var backoff = Backoff(base: min, maximum: min * 32)
      do throws(StoreError) {
        let value = try await retrying(
          &backoff, while: { error, attempts in error.kind == .transient && attempts < 8 },
          pause: { pause in
            try? await Task.sleep(for: pause)
            return true
          }, body)
        return .success(value)
      } catch {
        return .failure(error)
      }
    }.value
    return try result.get()
  }
}

extension DeadLetterReplay.Progress {
  fileprivate mutating func count(_ outcomes: [ReplayOutcome]) {
    for outcome in outcomes {
      switch outcome {
      case .confirmed: confirmed += 1
      case .failed(let why):
        failed += 1
        lastFailure = why
      case .unknown(let why):
        unknown += 1
        lastFailure = why
      }
    }
  }
}
