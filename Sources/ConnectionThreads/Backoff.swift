/// Pauses that double from `base` to `maximum`, each shortened at random by up to a half so that instances do not march
/// in step.
package struct Backoff {
  private let base: Duration
  private let maximum: Duration
  package private(set) var attempts = 0

  package init(base: Duration, maximum: Duration) {
    self.base = base
    self.maximum = maximum
  }

  package mutating func next() -> Duration {
    let full = min(maximum, base * (1 << min(attempts, 20)))
    attempts += 1
    return full * Double.random(in: 0.5...1)
  }

  package mutating func reset() { attempts = 0 }
}
