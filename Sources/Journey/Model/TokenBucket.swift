/// A rate limit: tokens come in at a steady rate and are taken for work. A pure value; time is given to it.
public struct TokenBucket: Sendable {
  private let perSecond: Double
  private let capacity: Double
  private var tokens: Double
  private var last: Duration

  /// - Parameters:
  ///   - rate: tokens a second, more than 0.
  ///   - burst: the most tokens that gather while nothing is taken, at least 1. A tenth of a second's worth where nil,
  ///     so that the rate also
  ///     holds over short times.
  ///   - now: on a monotonic clock.
  public init(rate: Double, burst: Double? = nil, now: Duration) {
    perSecond = rate
    capacity = max(1, burst ?? rate / 10)
    // The first work need not wait.
    tokens = 1
    last = now
  }

  /// Takes as many whole tokens as there are, at most `wanted`.
  public mutating func take(_ wanted: Int, now: Duration) -> Int {
    refill(now)
    let claimed = min(wanted, Int(tokens))
    tokens -= Double(claimed)
    return claimed
  }

  /// How long until `wanted` tokens are there, or as many as the bucket holds.
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
