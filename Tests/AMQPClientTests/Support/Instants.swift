import ConnectionThreads

extension MonotonicInstant {
  /// A point in time of a test's own, plus or minus a few nanoseconds.
  static func seconds(_ seconds: Int64, _ nanoseconds: Int64 = 0) -> MonotonicInstant {
    MonotonicInstant(nanoseconds: seconds * 1_000_000_000 + nanoseconds)
  }
}
