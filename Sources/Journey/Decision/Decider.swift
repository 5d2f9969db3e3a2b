/// The decision as the ledger calls it, inside its transaction: evaluates one client and words its actions.
///
/// It has to run there: decided outside, two instances that meet one client would lose one of their updates.
public struct Decider: Sendable {
  public let rules: DecisionRules
  /// Marks stored summaries; see `DecisionRules.stateFingerprint`.
  public let fingerprint: UInt64
  /// Makes the message of an action. A pure function, so that an action can be sent again from what is stored of it.
  public let message: @Sendable (RecommendedAction) -> ActionMessage

  public init(rules: DecisionRules, message: @escaping @Sendable (RecommendedAction) -> ActionMessage) {
    self.rules = rules
    fingerprint = rules.stateFingerprint
    self.message = message
  }

  public func evaluate(
    _ client: inout ClientSnapshot, taking events: [IncomingEvent], random: inout some RandomNumberGenerator
  ) -> [Evaluation] {
    rules.evaluate(&client, taking: events, random: &random)
  }

  /// - Parameter historyChanged: whether its stored events are others now; otherwise time has passed.
  public func evaluateWithoutEvent(
    _ client: inout ClientSnapshot, historyChanged: Bool, random: inout some RandomNumberGenerator
  ) -> Evaluation {
    rules.evaluate(&client, without: historyChanged ? .historyChange : .time, random: &random)
  }

  public func recompute(_ client: inout ClientSnapshot, publishes: Bool, random: inout some RandomNumberGenerator)
    -> Evaluation
  {
    rules.evaluate(&client, without: .recomputation, publishes: publishes, random: &random)
  }
}
