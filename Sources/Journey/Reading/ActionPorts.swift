public import FoundationEssentials

/// An action with its life, for whoever reports on it or takes it back.
public struct StandingAction: Hashable, Sendable {
  public var id: UUID
  public var orgID: UUID
  public var clientID: UUID
  public var channel: Channel
  public var state: ActionState
  /// Whether its time has run out, whether that is recorded or not.
  public var isExpired: Bool
  public var life: ActionLife

  public init(
    id: UUID, orgID: UUID, clientID: UUID, channel: Channel, state: ActionState, isExpired: Bool, life: ActionLife
  ) {
    self.id = id
    self.orgID = orgID
    self.clientID = clientID
    self.channel = channel
    self.state = state
    self.isExpired = isExpired
    self.life = life
  }
}

/// Takes what people report of actions. It is published to the broker and processed like any other report.
public protocol OutcomeIntake: Sendable {
  /// - Throws: `IntakeError`. After `.unavailable` the report may have been published: a repetition changes nothing.
  func publish(_ report: OutcomeReport) async throws(IntakeError)
}

/// What has become of an attempt to revoke an action.
public enum RevocationResult: Hashable, Sendable {
  /// The workers are told once it is certain that the action was published.
  case revoked(StandingAction)
  /// It was revoked before.
  case repeated(StandingAction)
  /// The reason, for people.
  case refused(StandingAction, String)
  case unknown
}

/// Takes actions back.
public protocol ActionRevoker: Sendable {
  /// - Parameters:
  ///   - reason: for the record, and for the workers.
  ///   - actor: `person:<name>`.
  func revoke(_ action: UUID, because reason: String, by actor: String) async throws(StoreError) -> RevocationResult
}

extension OutcomeReport {
  /// How far a reporter's clock may be ahead and behind.
  private static let maxAhead = TimeSpan.seconds(600), maxBehind = TimeSpan.hours(24)
  /// How long an action may be put off.
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
