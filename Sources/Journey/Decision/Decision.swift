public import FoundationEssentials

/// The verdicts on the candidates of an assessment.
public struct Decision: Hashable, Sendable {
  public enum Verdict: Hashable, Sendable {
    case chosen
    /// The named action was a better candidate.
    case outranked(by: ActionKind)
    /// The best candidate, but it was published for this client recently. It is possible again at `until`.
    case coolingDown(actionID: UUID, until: Timestamp)
    /// The best candidate, but the client was only recomputed, without publishing.
    case withheld
  }

  /// One verdict per candidate, in the same order.
  public var verdicts: [Verdict]

  /// The same decision without publishing: a chosen candidate is withheld.
  var withholding: Decision { Decision(verdicts: verdicts.map { $0 == .chosen ? .withheld : $0 }) }

  /// The candidate to publish; nil if there is none.
  public func winner(of assessment: Assessment) -> Candidate? {
    verdicts.firstIndex(of: .chosen).map { assessment.candidates[$0] }
  }
}

extension DecisionRules {
  /// Chooses the best candidate. If the same action was published for the client within the cooldown, nothing is
  /// published: a lesser action would only be noise.
  ///
  /// An expired action does not count, nor does one of a lower priority, since the risks have grown.
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
