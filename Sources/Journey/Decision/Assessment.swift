/// The assessment of a client at one moment: its state, and the possible actions, best first.
public struct Assessment: Hashable, Sendable {
  public var stage: Stage
  public var risks: [DetectedRisk]
  public var level: RiskLevel
  public var score: Double
  /// The parts of the score, in the order in which they are added.
  public var contributions: [Contribution]
  /// Each action once, best first.
  public var candidates: [Candidate]
  /// The next moment at which the risks change without an event.
  public var nextChange: Timestamp?

  public var priority: Priority
}

/// One part of a score.
public struct Contribution: Hashable, Sendable {
  /// The origin of a part; as text e.g. `ai_score`, `base`, `stage:billing`, `risk:late_invoices`, `minimum`.
  public enum Source: Hashable, Sendable {
    case aiScore, base, minimum
    case stage(Stage)
    case risk(Risk)
  }

  public var source: Source
  public var points: Double
}

extension Contribution.Source: CustomStringConvertible {
  public var description: String { "\(label)" }

  var label: StaticString {
    switch self {
    case .aiScore: "ai_score"
    case .base: "base"
    case .minimum: "minimum"
    case .stage(let stage): stage.label
    case .risk(let risk): risk.label
    }
  }
}

/// An action that could be taken, and the reason for it.
public struct Candidate: Hashable, Sendable {
  public enum Trigger: Hashable, Sendable {
    case stage(Stage)
    case risk(Risk)
  }

  public var action: ActionKind
  public var channel: Channel
  public var trigger: Trigger
  public var reason: String
}

extension Candidate.Trigger: CustomStringConvertible {
  public var description: String { "\(label)" }

  var label: StaticString {
    switch self {
    case .stage(let stage): stage.label
    case .risk(let risk): risk.label
    }
  }
}

extension DecisionRules {
  /// Assesses a client. Pure.
  ///
  /// - Parameters:
  ///   - aiScore: the contact's `ai_score`. As in the design document, nil, 0 and NaN mean that there is none.
  ///   - now: the moment at which time windows end.
  ///   - frozenSince: as of when risks that come from silence are judged; nil: `now`.
  public func assess(
    _ summary: ClientSummary, aiScore: Double?, at now: Timestamp, frozenSince: Timestamp? = nil
  ) -> Assessment {
    let stage = summary.stage?.stage ?? .lead
    let risks = self.risks.detect(in: summary, at: now, frozenSince: frozenSince)
    let level = levels.level(risks: risks.count)
    let (total, contributions) = add(stage: stage, risks: risks, aiScore: aiScore)
    return Assessment(
      stage: stage, risks: risks, level: level, score: total, contributions: contributions,
      candidates: candidates(stage: stage, risks: risks, level: level),
      nextChange: self.risks.nextChange(of: summary, after: now, frozenSince: frozenSince),
      priority: levels.priorities[level] ?? .low)
  }

  /// Uses doubles in the order of the design document, so that fractional scores are identical.
  private func add(stage: Stage, risks: [DetectedRisk], aiScore: Double?) -> (Double, [Contribution]) {
    var parts: [Contribution] = []
    parts.reserveCapacity(risks.count + 3)
    if let aiScore, aiScore != 0, !aiScore.isNaN {
      parts.append(Contribution(source: .aiScore, points: aiScore))
    } else {
      parts.append(Contribution(source: .base, points: score.base))
    }
    parts.append(Contribution(source: .stage(stage), points: Double(stage.index) * score.perStage))
    let beforeRisks = parts[0].points + parts[1].points
    for risk in risks { parts.append(Contribution(source: .risk(risk.risk), points: -score.perRisk)) }
    let total = beforeRisks - Double(risks.count) * score.perRisk
    guard total < score.minimum else { return (total, parts) }
    parts.append(Contribution(source: .minimum, points: score.minimum - total))
    return (score.minimum, parts)
  }

  private func candidates(stage: Stage, risks: [DetectedRisk], level: RiskLevel) -> [Candidate] {
    var found: [Candidate] = []
    found.reserveCapacity(risks.count + 1)
    func add(_ choice: ActionRules.Choice, _ trigger: Candidate.Trigger) {
      guard !found.contains(where: { $0.action == choice.action }) else { return }
      let reason = choice.reason ?? actions.reasons[choice.action] ?? "Action recommended based on journey analysis"
      found.append(
        Candidate(
          action: choice.action, channel: actions.channel(of: choice.action), trigger: trigger,
          reason: reason.text(at: level)))
    }
    if let choice = actions.byStage[stage] { add(choice, .stage(stage)) }
    for entry in actions.byRisk where risks.contains(where: { $0.risk == entry.risk }) {
      add(entry.choice, .risk(entry.risk))
    }
    if let classes = actions.contact?.classes, found.contains(where: { classes[$0.action] == .mandatory }) {
      return found.filter { classes[$0.action] == .mandatory } + found.filter { classes[$0.action] != .mandatory }
    }
    return found
  }
}
