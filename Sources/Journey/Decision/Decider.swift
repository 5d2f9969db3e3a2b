/// Evaluates one client and builds its action messages.
///
/// The event store calls it inside its transaction: outside of it, two instances could overwrite each other's update of
/// a client.
public struct Decider: Sendable {
  public let rules: DecisionRules
  /// Marks stored summaries, see `DecisionRules.stateFingerprint`.
  public let fingerprint: UInt64
  /// Builds the message of an action. Pure, so that the message can be rebuilt from what is stored.
  public let message: @Sendable (RecommendedAction) -> ActionMessage
  /// Builds the message that takes an action back; nil: none is sent.
  public let revocation: (@Sendable (RevokedAction) -> ActionMessage)?

  /// Builds the message that tells what has changed of a client; nil: none is sent.
  public let change: (@Sendable (ClientChange) -> ActionMessage)?
  /// Whether changes of clients are recorded, for the feed of changes.
  public let followsChanges: Bool

  public init(
    rules: DecisionRules, revocation: (@Sendable (RevokedAction) -> ActionMessage)? = nil,
    change: (@Sendable (ClientChange) -> ActionMessage)? = nil, followsChanges: Bool = false,
    message: @escaping @Sendable (RecommendedAction) -> ActionMessage
  ) {
    self.rules = rules
    self.revocation = revocation
    self.change = change
    self.followsChanges = followsChanges
    fingerprint = rules.stateFingerprint
    self.message = message
  }

  public func evaluate(
    _ client: inout ClientSnapshot, taking events: [IncomingEvent], random: inout some RandomNumberGenerator
  ) -> [Evaluation] {
    rules.evaluate(&client, taking: events, random: &random)
  }

  /// - Parameter historyChanged: whether the client's stored events have changed; if false, time has passed.
  public func evaluateWithoutEvent(
    _ client: inout ClientSnapshot, historyChanged: Bool, random: inout some RandomNumberGenerator
  ) -> Evaluation {
    rules.evaluate(&client, without: historyChanged ? .historyChange : .time, random: &random)
  }

  /// Evaluates as time passes where the outcome is what it was: actions end, and none is recommended.
  public func evaluateWithoutDecision(_ client: inout ClientSnapshot, random: inout some RandomNumberGenerator)
    -> Evaluation
  {
    rules.evaluate(&client, without: .time, decides: false, random: &random)
  }

  public func recompute(_ client: inout ClientSnapshot, publishes: Bool, random: inout some RandomNumberGenerator)
    -> Evaluation
  {
    rules.evaluate(&client, without: .recomputation, publishes: publishes, random: &random)
  }
}
