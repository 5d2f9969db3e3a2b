/// Pauses between attempts. They double from `base` to `maximum`, and each is drawn at random from the upper half of
/// its step, so that instances that failed together do not retry together.
///
/// Two ways to start over: call `reset` after a success, or report each connection with `connected`, and the backoff
/// starts over by itself once a connection outlived the last step.
package struct Backoff: Sendable {
  private let base: Duration
  private let maximum: Duration
  private let hosts: Int
  private var step: Duration
  private var connectedAt: MonotonicInstant?
  /// The attempts that failed since the last success.
  package private(set) var attempts = 0

  /// - Parameter hosts: how many hosts the attempts go round. The next host is tried without a pause; the pause comes
  ///   once each of them has failed.
  package init(base: Duration, maximum: Duration, hosts: Int = 1) {
    self.base = min(base, maximum)
    self.maximum = maximum
    self.hosts = max(hosts, 1)
    step = self.base
  }

  package mutating func reset() {
    attempts = 0
    connectedAt = nil
  }

  /// A connection was opened. Its lifetime decides about the next pause.
  package mutating func connected(at now: MonotonicInstant = .now()) { connectedAt = now }

  /// The pause after a failure, which may be the end of a connection.
  ///
  /// - Parameters:
  ///   - now: when it failed.
  ///   - jitter: 0...1, the position of the pause in the upper half of its step.
  package mutating func next(at now: MonotonicInstant = .now(), jitter: Double = .random(in: 0..<1)) -> Duration {
    let lifetime = connectedAt.map { now - $0 }
    connectedAt = nil
    if let lifetime, lifetime >= step { attempts = 0 }
    attempts += 1
    guard attempts.isMultiple(of: hosts) else { return .zero }
    step = attempts == hosts ? base : min(step * 2, maximum)
    // A connection that dies at once counts as a failure: a broker that accepts every client and drops it again is no
    // better than one that is down. After any other, the pause is at most as long as the connection lived.
    if let lifetime, lifetime >= base { step = min(step, lifetime) }
    return step / 2 + (step / 2) * min(max(jitter, 0), 1)
  }
}
