public import FoundationEssentials

/// An action that is taken back, with what its worker needs to know. It can be rebuilt from what is stored.
public struct RevokedAction: Sendable {
  public var id: UUID
  public var orgID: UUID
  public var clientID: UUID
  public var action: ActionKind
  public var channel: Channel
  public var priority: Priority
  /// `revoked` or `superseded`.
  public var state: ActionState
  /// For people.
  public var reason: String?
  public var at: Timestamp
  public var traceparent: String?
  /// The time until the action expires; nil: it does not.
  public var timeToLive: TimeSpan?

  public init(
    id: UUID, orgID: UUID, clientID: UUID, action: ActionKind, channel: Channel, priority: Priority, state: ActionState,
    reason: String?, at: Timestamp, traceparent: String?, timeToLive: TimeSpan? = nil
  ) {
    self.id = id
    self.orgID = orgID
    self.clientID = clientID
    self.action = action
    self.channel = channel
    self.priority = priority
    self.state = state
    self.reason = reason
    self.at = at
    self.traceparent = traceparent
    self.timeToLive = timeToLive
  }
}
