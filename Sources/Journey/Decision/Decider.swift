/// Evaluates one client and builds its action messages.
///
/// The event store calls it inside its transaction: outside of it, two instances could overwrite each other's update of
/// a client.
public struct Decider: Sendable {
  public let rules: DecisionRules
  /// Marks stored summaries, see `DecisionRules.stateFingerprint`.
  public let fingerprint: UInt64
  public let expectations: ExpectationReader
  /// Builds the message of an action. Pure, so that the message can be rebuilt from what is stored.
  public let message: @Sendable (RecommendedAction) -> ActionMessage

  public init(rules: DecisionRules, message: @escaping @Sendable (RecommendedAction) -> ActionMessage) {
    self.rules = rules
    fingerprint = rules.stateFingerprint
    expectations = ExpectationReader(rules.expectations)
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

  public func recompute(_ client: inout ClientSnapshot, publishes: Bool, random: inout some RandomNumberGenerator)
    -> Evaluation
  {
    rules.evaluate(&client, without: .recomputation, publishes: publishes, random: &random)
  }
}
