import AMQPClient

/// The headers that the adapter puts on copies of a message: on its way through the retry queues, into the dead
/// letters, and in a replay.
///
/// The prefix `x-journey-` is the adapter's own: on messages that the adapter has not published it is dropped, see
/// `OwnMessages`.
enum JourneyHeader {
  static let prefix = "x-journey-"

  // What a copy needs so that the original can be had back. Absent where the original had no such property.
  static let exchange = "x-journey-exchange"
  static let routingKey = "x-journey-routing-key"
  static let expiration = "x-journey-expiration"
  static let userID = "x-journey-user-id"
  static let isTransient = "x-journey-transient"
  static let cc = "x-journey-cc"

  // How it went so far.
  /// How often the message was tried and failed.
  static let attempt = "x-journey-attempt"
  /// The time and code of the first failure: `2026-11-20T10:00:00Z unknown_client`.
  static let firstFailure = "x-journey-first-failure"
  static let lastFailure = "x-journey-last-failure"

  // Why it is a dead letter.
  /// All reasons for a person, one a line.
  static let reason = "x-journey-reason"
  /// `Rejection.Code` of the first reason.
  static let code = "x-journey-reason-code"
  static let field = "x-journey-field"
  static let value = "x-journey-value"
  static let failedAt = "x-journey-failed-at"

  // What a replay tells. They stay on the message whatever becomes of it.
  static let replay = "x-journey-replay"
  static let causedBy = "x-journey-caused-by"
  /// The letter that this message is: not of one that was edited, which is a new message.
  static let deadLetter = "x-journey-letter"

  /// What the broker wrote about earlier deaths and deliveries: republished, it would make later ones look like a
  /// cycle.
  static func isBrokersOwn(_ name: String) -> Bool {
    name == "x-death" || name == "x-delivery-count" || name.hasPrefix("x-first-death-")
      || name.hasPrefix("x-last-death-")
  }

  static func isAdaptersOwn(_ name: String) -> Bool { name.hasPrefix(prefix) }
}
