/// Headers that the adapter adds to copies of a message: retries, dead letters and replays.
///
/// The prefix `x-journey-` belongs to the adapter. These headers are dropped from messages that the adapter has not
/// published, see `OwnMessages`.
package enum JourneyHeader {
  package static let prefix = "x-journey-"

  // Restores the original from a copy. Absent if the original had no such property.
  package static let exchange = "x-journey-exchange"
  package static let routingKey = "x-journey-routing-key"
  package static let expiration = "x-journey-expiration"
  package static let userID = "x-journey-user-id"
  static let isTransient = "x-journey-transient"
  static let cc = "x-journey-cc"

  // The attempts so far.
  /// How often the message was tried and failed.
  package static let attempt = "x-journey-attempt"
  /// The time and code of the first failure: `2026-11-20T10:00:00Z unknown_client`.
  package static let firstFailure = "x-journey-first-failure"
  package static let lastFailure = "x-journey-last-failure"

  // The reason for a dead letter.
  /// All reasons, human-readable, one per line.
  package static let reason = "x-journey-reason"
  /// `Rejection.Code` of the first reason.
  package static let code = "x-journey-reason-code"
  package static let field = "x-journey-field"
  package static let value = "x-journey-value"
  package static let failedAt = "x-journey-failed-at"

  // Replays. These headers stay on the message for good.
  package static let replay = "x-journey-replay"
  package static let causedBy = "x-journey-caused-by"
  /// The id of the dead letter that was replayed. Absent if it was edited, which makes a new message.
  package static let deadLetter = "x-journey-letter"

  /// The broker's own headers about earlier dead-lettering and deliveries. A copy must not carry them, or the broker
  /// would see a cycle.
  static func isBrokersOwn(_ name: String) -> Bool {
    name == "x-death" || name == "x-delivery-count" || name.hasPrefix("x-first-death-")
      || name.hasPrefix("x-last-death-")
  }

  static func isAdaptersOwn(_ name: String) -> Bool { name.hasPrefix(prefix) }
}
