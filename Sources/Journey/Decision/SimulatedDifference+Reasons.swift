/// Why two sets of rules do not publish the same.
extension SimulatedDifference {
  public enum Reason: Hashable, Sendable {
    /// Only the changed rules find the risk, or only the current ones.
    case risk(Risk, isInChanged: Bool)
    case stage(current: Stage, changed: Stage)
    case level(current: RiskLevel, changed: RiskLevel)
    /// An action that only one of them considers.
    case candidate(ActionKind, isInChanged: Bool)
    /// An action that both consider, with another verdict.
    case verdict(ActionKind)
    /// One of them did not evaluate the client at this moment.
    case time(isInChanged: Bool)
  }

  /// The causes before what follows from them. Never empty.
  public var reasons: [Reason] {
    guard let a = current.evaluation, let b = changed.evaluation else {
      return [.time(isInChanged: changed.evaluation != nil)]
    }
    let risks = (Set(a.assessment.risks.map(\.risk)), Set(b.assessment.risks.map(\.risk)))
    var reasons = Risk.allCases.compactMap { risk -> Reason? in
      risks.0.contains(risk) == risks.1.contains(risk) ? nil : .risk(risk, isInChanged: risks.1.contains(risk))
    }
    if a.assessment.stage != b.assessment.stage {
      reasons.append(.stage(current: a.assessment.stage, changed: b.assessment.stage))
    }
    if a.assessment.level != b.assessment.level {
      reasons.append(.level(current: a.assessment.level, changed: b.assessment.level))
    }
    // What was said of an action at another time is no reason.
    guard isSameMoment(a.at, b.at) else { return reasons + [.time(isInChanged: a.at < b.at)] }
    for action in ActionKind.allCases where action == current.action || action == changed.action {
      switch (a.verdict(on: action), b.verdict(on: action)) {
      case (nil, nil): break
      case (_?, nil): reasons.append(.candidate(action, isInChanged: false))
      case (nil, _?): reasons.append(.candidate(action, isInChanged: true))
      case (let verdict?, let other?): if verdict != other { reasons.append(.verdict(action)) }
      }
    }
    return reasons.isEmpty ? [.time(isInChanged: changed.action != nil)] : reasons
  }
}

extension Evaluation {
  /// The verdict on an action; nil: it is no candidate.
  fileprivate func verdict(on action: ActionKind) -> Decision.Verdict? {
    assessment.candidates.firstIndex { $0.action == action }.map { decision.verdicts[$0] }
  }
}
