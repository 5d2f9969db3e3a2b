import ConnectionThreads

/// Decides when to replace a channel on which the broker nacks messages. Pure: time is passed in.
///
/// RabbitMQ may nack on a channel for good what it accepts on a new one. 3.10 does so after the limit of a full queue
/// was lifted, and after the channel used a quorum queue while it elected a leader.
struct ChannelRenewal {
  /// A queue that really is full nacks on a new channel as well, and each new channel costs round trips.
  static let interval = Duration.seconds(1)
  /// How long messages wait for outstanding confirms on the old channel, which a stalled queue may never send.
  static let timeout = Duration.seconds(2)

  private var openedAt = MonotonicInstant.distantPast
  private var hasRefused = false

  mutating func opened(at now: MonotonicInstant) {
    openedAt = now
    hasRefused = false
  }

  mutating func refused() { hasRefused = true }

  func isDue(at now: MonotonicInstant) -> Bool { hasRefused && now >= openedAt + Self.interval }

  /// Confirms are still outstanding: after the timeout, postpones the renewal.
  mutating func postponeIfTimedOut(at now: MonotonicInstant) {
    if now >= openedAt + (Self.interval + Self.timeout) { openedAt = now }
  }
}
