public import Journey
import ConnectionThreads
import FoundationEssentials

/// Publishes the letters that a replay has taken: in batches, at a limited rate, each noted once the broker has
/// confirmed it.
///
/// A letter is published only while the archive says that this replay has taken it, and stays taken until its outcome
/// is noted. So a replay that is cut off at any point loses nothing; what it had published and not noted is published
/// again when it is resumed, with the same id, and counts once.
public struct DeadLetterReplay: Sendable {
  public struct Progress: Hashable, Sendable {
    /// Letters confirmed by this run.
    public var confirmed = 0
    /// Letters that are open again because the broker did not take them, or the edit does not apply.
    public var failed = 0
    /// Letters whose outcome is unknown; they stay taken.
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
  private let maximumPasses: Int
  private let minRetryDelay: Duration

  /// - Parameters:
  ///   - rate: the most letters a second, more than 0; nil: as fast as the broker confirms.
  ///   - batchSize: the most letters published and noted together, and so the most that a crash makes publish twice.
  ///     1...1,000.
  ///   - maximumPasses: how often letters of unknown outcome are published again before they are left for a resumed
  ///     replay. From 1.
  ///   - shortestRetry: how long the first retry waits where the ledger is away; doubled, with jitter, up to eight
  ///     times.
  public init(
    store: any ReplayStore, publisher: any DeadLetterPublisher, rate: Double?, batchSize: Int = 100,
    maximumPasses: Int = 3,
    minRetryDelay: Duration = .milliseconds(100)
  ) {
    self.store = store
    self.publisher = publisher
    self.rate = rate
    self.batchSize = batchSize
    self.maximumPasses = maximumPasses
    self.minRetryDelay = minRetryDelay
  }

  /// Runs until nothing is left, or the task is cancelled: then it notes what it has published, and stops.
  /// - Throws: what the ledger throws, for long or for good. What was published and not noted by then is published
  ///   again by a resumed replay.
  public func run(report: (Progress) -> Void) async throws(StoreError) -> Progress {
    let clock = ContinuousClock()
    let start = clock.now
    var bucket = rate.map { TokenBucket(rate: $0, now: .zero) }
    var progress = Progress()
    for _ in 0..<maximumPasses {
      var last: UUID?
      progress.unknown = 0
      while !Task.isCancelled {
        var limit = batchSize
        if bucket != nil {
          // Tokens are taken for letters that are there, so the archive is asked for no more than may be sent.
          try? await clock.sleep(for: bucket!.wait(for: batchSize, now: start.duration(to: clock.now)))
          if Task.isCancelled { break }
          limit = bucket!.take(batchSize, now: start.duration(to: clock.now))
          guard limit > 0 else { continue }
        }
        let items = try await patiently { [store, last, limit] () throws(StoreError) in
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
        // Cancelled or not: what is published has to be noted.
        let recorded = Array(zip(items.map(\.deadLetterID), outcomes))
        try await patiently { [store] () throws(StoreError) in try await store.record(recorded) }
        progress.count(outcomes)
        report(progress)
      }
      if Task.isCancelled { break }
    }
    return progress
  }

  /// Runs it shielded from cancellation, and again where the ledger was away for a moment.
  private func patiently<Value: Sendable>(
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
