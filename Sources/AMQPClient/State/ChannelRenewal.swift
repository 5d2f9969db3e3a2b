import ConnectionThreads

/// Says when a channel that refuses messages is to be replaced by a new one. Pure: time is passed in.
///
/// RabbitMQ may refuse for as long as the channel lives what it would take on a new one: 3.10 does so when the limit of
/// a queue was lifted while the queue was full, and when the channel met a quorum queue between two leaders.
struct ChannelRenewal {
  /// A queue that is really full refuses on a new channel as well, and a new one costs round trips.
  static let interval = Duration.seconds(1)
  /// How long messages wait for the answers that are to come on the old channel: another queue may not answer at all.
  static let timeout = Duration.seconds(2)

  private var openedAt = MonotonicInstant.distantPast
  private var hasRefused = false

  mutating func opened(at now: MonotonicInstant) {
    openedAt = now
    hasRefused = false
  }

  mutating func refused() { hasRefused = true }

  func isDue(at now: MonotonicInstant) -> Bool { hasRefused && now >= openedAt + Self.interval }

  /// Answers are still to come: gives up for now where they were waited for long enough, and tries again later.
  mutating func isHeldUp(at now: MonotonicInstant) {
    if now >= openedAt + (Self.interval + Self.timeout) { openedAt = now }
  }
}
