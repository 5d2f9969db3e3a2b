/// A rate limiter: tokens arrive at a steady rate and work consumes them. A pure value; the caller passes the time.
public struct TokenBucket: Sendable {
  private let perSecond: Double
  private let capacity: Double
  private var tokens: Double
  private var last: Duration

  /// - Parameters:
  ///   - rate: tokens per second, more than 0.
  ///   - burst: the maximum number of unused tokens, at least 1. nil: the tokens of a tenth of a second, so that the
  ///     rate also holds over short times.
  ///   - now: on a monotonic clock.
  public init(rate: Double, burst: Double? = nil, now: Duration) {
    perSecond = rate
    capacity = max(1, burst ?? rate / 10)
    // The first work need not wait.
    tokens = 1
    last = now
  }

  /// Takes as many whole tokens as available, at most `wanted`.
  public mutating func take(_ wanted: Int, now: Duration) -> Int {
    refill(now)
    let claimed = min(wanted, Int(tokens))
    tokens -= Double(claimed)
    return claimed
  }

  /// The time until `wanted` tokens are available, or as many as the bucket can hold.
  public mutating func wait(for wanted: Int, now: Duration) -> Duration {
    refill(now)
    let missing = min(Double(wanted), capacity) - tokens
    return missing <= 0 ? .zero : .seconds(missing / perSecond)
  }

  private mutating func refill(_ now: Duration) {
    guard now > last else { return }
    tokens = min(capacity, tokens + perSecond * ((now - last) / .seconds(1)))
    last = now
  }
}
