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
  /// Its worker is informed once it is certain that the action was published.
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
