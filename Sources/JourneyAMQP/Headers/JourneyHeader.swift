/// The headers that the adapter puts on copies of a message: on its way through the retry queues, into the dead
/// letters, and in a replay.
///
/// The prefix `x-journey-` is the adapter's own: on messages that the adapter has not published it is dropped, see
/// `OwnMessages`.
package enum JourneyHeader {
  package static let prefix = "x-journey-"

  // What a copy needs so that the original can be had back. Absent where the original had no such property.
  package static let exchange = "x-journey-exchange"
  package static let routingKey = "x-journey-routing-key"
  package static let expiration = "x-journey-expiration"
  package static let userID = "x-journey-user-id"
  static let isTransient = "x-journey-transient"
  static let cc = "x-journey-cc"

  // How it went so far.
  /// How often the message was tried and failed.
  package static let attempt = "x-journey-attempt"
  /// The time and code of the first failure: `2026-11-20T10:00:00Z unknown_client`.
  package static let firstFailure = "x-journey-first-failure"
  package static let lastFailure = "x-journey-last-failure"

  // Why it is a dead letter.
  /// All reasons for a person, one a line.
  package static let reason = "x-journey-reason"
  /// `Rejection.Code` of the first reason.
  package static let code = "x-journey-reason-code"
  package static let field = "x-journey-field"
  package static let value = "x-journey-value"
  package static let failedAt = "x-journey-failed-at"

  // What a replay tells. They stay on the message whatever becomes of it.
  package static let replay = "x-journey-replay"
  package static let causedBy = "x-journey-caused-by"
  /// The letter that this message is: not of one that was edited, which is a new message.
  package static let deadLetter = "x-journey-letter"

  /// What the broker wrote about earlier deaths and deliveries: republished, it would make later ones look like a
  /// cycle.
  static func isBrokersOwn(_ name: String) -> Bool {
    name == "x-death" || name == "x-delivery-count" || name.hasPrefix("x-first-death-")
      || name.hasPrefix("x-last-death-")
  }

  static func isAdaptersOwn(_ name: String) -> Bool { name.hasPrefix(prefix) }
}
