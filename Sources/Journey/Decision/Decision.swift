public import FoundationEssentials

/// What became of the candidates of an assessment.
public struct Decision: Hashable, Sendable {
  public enum Verdict: Hashable, Sendable {
    case chosen
    /// A better candidate was there; the name says which.
    case outranked(by: ActionKind)
    /// The best candidate was published for this client not long ago; it can come again at `until`.
    case coolingDown(actionID: UUID, until: Timestamp)
    /// The best candidate, of a client that was only made anew: nothing was to be published.
    case withheld
  }

  /// One verdict a candidate, in the candidates' order.
  public var verdicts: [Verdict]

  /// The same where nothing is to be published, whatever was chosen.
  var withholding: Decision { Decision(verdicts: verdicts.map { $0 == .chosen ? .withheld : $0 }) }

  /// The candidate to publish, or nil where nothing is to be done.
  public func winner(of assessment: Assessment) -> Candidate? {
    verdicts.firstIndex(of: .chosen).map { assessment.candidates[$0] }
  }
}

extension DecisionRules {
  /// Arbitrates: the best candidate wins, unless the same action was published for the client within the cooldown. Then
  /// nothing is published: the best next step is under way already, and a lesser one on top of it would be noise.
  ///
  /// An action that has expired holds nothing back, nor does one of a lower priority: things have become worse since.
  public func decide(_ assessment: Assessment, actionHistory: ActionHistory, at now: Timestamp) -> Decision {
    guard let best = assessment.candidates.first else { return Decision(verdicts: []) }
    var first = Decision.Verdict.chosen
    if let last = actionHistory.last[best.action] {
      let until = last.decidedAt + actions.hold
      let isEscalated = last.priority.map { $0 < assessment.priority } ?? false
      if now < until, !isEscalated { first = .coolingDown(actionID: last.actionID, until: until) }
    }
    let others = assessment.candidates.dropFirst().map { _ in Decision.Verdict.outranked(by: best.action) }
    return Decision(verdicts: [first] + others)
  }
}
