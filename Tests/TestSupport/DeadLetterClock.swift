package import Journey

/// A clock that tests set.
package struct DeadLetterClock: WallClock {
  package var time = Timestamp(seconds: 1_763_600_000)
  package init() {}
  package func now() -> Timestamp { time }
}
