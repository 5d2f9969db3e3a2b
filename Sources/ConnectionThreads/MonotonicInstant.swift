import Glibc

/// A point in time on the monotonic clock, unaffected by wall-clock changes. Used for `poll` and condition timeouts.
package struct MonotonicInstant: Comparable, Hashable, Sendable {
  /// Since an arbitrary start, usually the boot of the machine. Public to the package so that an atomic can hold it.
  package var nanoseconds: Int64

  @inlinable
  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  package static let distantPast = MonotonicInstant(nanoseconds: .min)
  package static let distantFuture = MonotonicInstant(nanoseconds: .max)

  package static func now() -> MonotonicInstant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return MonotonicInstant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
  }

  @inlinable
  package static func < (a: MonotonicInstant, b: MonotonicInstant) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Saturates at `distantFuture`.
  package static func + (instant: MonotonicInstant, duration: Duration) -> MonotonicInstant {
    let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(duration.wholeNanoseconds)
    return overflow ? .distantFuture : MonotonicInstant(nanoseconds: sum)
  }

  /// For times that are computed often, from a duration that is converted once.
  @inlinable
  package func advanced(byNanoseconds count: Int64) -> MonotonicInstant {
    MonotonicInstant(nanoseconds: nanoseconds &+ count)
  }

  package static func - (a: MonotonicInstant, b: MonotonicInstant) -> Duration {
    .nanoseconds(a.nanoseconds) - .nanoseconds(b.nanoseconds)
  }

  /// The timeout for `poll` until this instant, in milliseconds: 0 when it has passed, otherwise rounded up, so that a
  /// wait does not end just before its deadline.
  package func millisecondsLeft(from now: MonotonicInstant = .now()) -> Int32 {
    guard self > now else { return 0 }
    let (left, overflow) = nanoseconds.subtractingReportingOverflow(now.nanoseconds)
    return overflow ? .max : Int32(clamping: (left - 1) / 1_000_000 + 1)
  }
}

extension Duration {
  /// Rounded towards zero; saturates at about 292 years.
  package var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, tooFar) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return tooFar ? (seconds < 0 ? .min : .max) : sum
  }
}
