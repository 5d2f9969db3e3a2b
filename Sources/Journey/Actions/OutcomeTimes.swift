extension OutcomeReport {
  /// How far a reporter's clock may be ahead and behind.
  private static let maxAhead = TimeSpan.seconds(600), maxBehind = TimeSpan.hours(24)
  /// How long an action may be snoozed.
  private static let maxSnooze = TimeSpan.days(90)

  /// - Throws: which of its times cannot be.
  public func checkTimes(at now: Timestamp) throws(Rejection) {
    guard occurredAt <= now + Self.maxAhead else {
      throw Rejection(.invalidField, field: "data.occurredAt", value: occurredAt.iso8601, "it lies in the future")
    }
    // A UUIDv7 says when the action was decided.
    if let decided = actionID.timestamp, occurredAt < decided - Self.maxBehind {
      throw Rejection(
        .invalidField, field: "data.occurredAt", value: occurredAt.iso8601, "it lies before the action was decided")
    }
    guard outcome == .snoozed else { return }
    guard let until else {
      throw Rejection(.missingField, field: "data.until", "an action is snoozed until some time")
    }
    guard until > occurredAt else {
      throw Rejection(.invalidField, field: "data.until", value: until.iso8601, "it is not after occurredAt")
    }
    guard until <= now + Self.maxSnooze else {
      throw Rejection(
        .invalidField, field: "data.until", value: until.iso8601, "an action can be snoozed for 90 days at most")
    }
  }
}
