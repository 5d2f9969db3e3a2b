/// How long to wait before connecting again: exponential with full-range jitter, so that instances that lost one broker
/// together do not come back together.
public struct ReconnectPolicy: Hashable, Sendable {
  /// The wait before the first attempt after a loss, before jitter.
  public var base: Duration
  /// No wait is longer than this.
  public var maximum: Duration
  /// A connection that lived this long counts as healthy: the next loss starts at `base` again.
  public var stableAfter: Duration

  public init(base: Duration = .milliseconds(250), maximum: Duration = .seconds(30), stableAfter: Duration = .seconds(10)) {
    self.base = base
    self.maximum = max(base, maximum)
    self.stableAfter = stableAfter
  }
}

/// The running state of a `ReconnectPolicy`. Pure: time and chance are passed in.
struct ReconnectBackoff {
  let policy: ReconnectPolicy
  private var attempts = 0
  private var connectedAt: UInt64?

  init(policy: ReconnectPolicy) { self.policy = policy }

  /// - Parameter now: monotonic nanoseconds.
  mutating func connected(at now: UInt64) { connectedAt = now }

  /// - Parameters:
  ///   - now: monotonic nanoseconds.
  ///   - jitter: 0..<1; the wait lies between half of the step and the whole of it.
  mutating func delayAfterFailure(at now: UInt64, jitter: Double) -> Duration {
    if let connectedAt, Duration.nanoseconds(Int64(clamping: now &- connectedAt)) >= policy.stableAfter { attempts = 0 }
    connectedAt = nil
    var step = policy.base
    for _ in 0..<min(attempts, 32) where step < policy.maximum { step *= 2 }
    attempts += 1
    step = min(step, policy.maximum)
    return step / 2 + (step / 2) * min(max(jitter, 0), 1)
  }
}
