/// How long to wait before connecting again: exponential with full-range jitter, so that instances that lost one broker
/// together do not come back together.
///
/// With several hosts the next one has its turn at once; the wait comes when each has failed.
public struct ReconnectPolicy: Hashable, Sendable {
  /// The first wait, before jitter, and again the first after a connection that outlived the wait before it.
  public var base: Duration
  /// No wait is longer than this.
  public var maximum: Duration

  public init(base: Duration = .milliseconds(250), maximum: Duration = .seconds(30)) {
    self.base = base
    self.maximum = max(base, maximum)
  }
}

/// The running state of a `ReconnectPolicy`. Pure: time and chance are passed in.
struct ReconnectBackoff {
  let policy: ReconnectPolicy
  private let hosts: Int
  /// Since a connection last lasted.
  private var failures = 0
  private var step: Duration
  private var connectedAt: UInt64?

  init(policy: ReconnectPolicy, hosts: Int) {
    self.policy = policy
    self.hosts = max(hosts, 1)
    step = policy.base
  }

  /// - Parameter now: monotonic nanoseconds.
  mutating func connected(at now: UInt64) { connectedAt = now }

  /// - Parameters:
  ///   - now: monotonic nanoseconds.
  ///   - jitter: 0..<1; the wait lies between half of the step and the whole of it.
  mutating func delayAfterFailure(at now: UInt64, jitter: Double) -> Duration {
    let life = connectedAt.map { Duration.nanoseconds(Int64(clamping: now &- $0)) } ?? .zero
    connectedAt = nil
    if life >= step { failures = 0 }
    failures += 1
    guard failures.isMultiple(of: hosts) else { return .zero }
    // One that dies at once changes nothing: a broker that lets everybody in and throws them out is no better than one
    // that is down. After any other the wait is no longer than it lived.
    step = failures == hosts ? policy.base : min(step * 2, policy.maximum, life >= policy.base ? life : policy.maximum)
    return step / 2 + (step / 2) * min(max(jitter, 0), 1)
  }
}
