import Glibc

/// Nanoseconds of the monotonic clock; poll and condition waits count in it.
struct Instant: Comparable {
  var nanoseconds: Int64

  static func now() -> Instant {
    var time = Glibc.timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

  static func + (instant: Instant, duration: Duration) -> Instant {
    let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(duration.wholeNanoseconds)
    return Instant(nanoseconds: overflow ? .max : sum)
  }

  /// What poll(2) takes: rounded up, so that a wait never ends just before its deadline and spins.
  func millisecondsFromNow() -> Int32 {
    let left = nanoseconds - Instant.now().nanoseconds
    guard left > 0 else { return 0 }
    return Int32(clamping: left / 1_000_000 + 1)
  }

  var timespec: Glibc.timespec {
    Glibc.timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}

extension Duration {
  /// Saturates at about 292 years.
  var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, tooFar) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return tooFar ? .max : sum
  }

  /// At least 1 for anything above zero, since PostgreSQL's timeouts read 0 as "never".
  var wholeMilliseconds: Int64 {
    let nanoseconds = wholeNanoseconds
    return nanoseconds <= 0 ? 0 : max(1, nanoseconds / 1_000_000)
  }
}
