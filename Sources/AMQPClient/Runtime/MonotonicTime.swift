import Glibc

/// Nanoseconds of CLOCK_MONOTONIC. Plain integers, because the watchdog reads deadlines from an atomic.
enum MonotonicTime {
  static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  static func after(_ duration: Duration) -> UInt64 { now() &+ duration.nanosecondCount }

  /// Milliseconds left, rounded up, for `poll`; 0 when the deadline has passed.
  static func millisecondsLeft(until deadline: UInt64, now: UInt64) -> Int32 {
    guard deadline > now else { return 0 }
    return Int32(clamping: (deadline - now + 999_999) / 1_000_000)
  }
}

extension Duration {
  /// Not below zero, not above about 292 years.
  var nanosecondCount: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? UInt64(Int64.max) : UInt64(whole) + UInt64(attoseconds / 1_000_000_000)
  }

  /// For the C library; at least a microsecond, since it takes zero as "do not wait".
  var timeval: timeval {
    let nanoseconds = max(nanosecondCount, 1000)
    return Glibc.timeval(tv_sec: Int(nanoseconds / 1_000_000_000), tv_usec: Int(nanoseconds % 1_000_000_000 / 1000))
  }
}
