import FoundationEssentials
import Journey
import Synchronization

/// Requests a second, a subject. Safe to use from any task.
final class RateLimiter: Sendable {
  private static let maxSubjects = 10_000
  private let rate: Double
  private let start = ContinuousClock.now
  private let buckets = Mutex<[UUID: (bucket: TokenBucket, used: Duration)]>([:])

  /// - Parameter rate: requests a second; twice as many may come at once.
  init(rate: Double) { self.rate = rate }

  /// - Returns: nil where the request may pass, else how long to wait.
  func admit(_ subject: UUID) -> Duration? {
    let now = start.duration(to: .now)
    return buckets.withLock { buckets in
      if buckets.count >= Self.maxSubjects {
        buckets = buckets.filter { now - $0.value.used < .seconds(10) }
        if buckets.count >= Self.maxSubjects { buckets = [:] }
      }
      // A new one begins full.
      var bucket = buckets[subject]?.bucket ?? TokenBucket(rate: rate, burst: rate * 2, now: now - .seconds(3600))
      let wait = bucket.take(1, now: now) == 1 ? nil : bucket.wait(for: 1, now: now)
      buckets[subject] = (bucket, now)
      return wait
    }
  }
}
