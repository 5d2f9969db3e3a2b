public import FoundationEssentials

/// What would have to be otherwise for a client to get another action, or to be at another risk level.
///
/// Each change is the least of its kind: it was tried, and so was everything less. Smaller changes come first.
public struct WhatIf: Hashable, Sendable {
  /// What an evaluation leads to.
  public struct Outcome: Hashable, Sendable {
    /// The action that is published; nil: none.
    public var winner: ActionKind?
    public var level: RiskLevel

    public init(_ evaluation: Evaluation) {
      winner = evaluation.decision.winner(of: evaluation.assessment)?.action
      level = evaluation.assessment.level
    }
  }

  /// One or two facts that lead to another outcome together.
  public struct Change: Hashable, Sendable {
    /// In the order in which they are applied.
    public var facts: [Fact]
    public var from: Outcome
    public var to: Outcome
  }

  /// What leads to another winner.
  public var winner: [Change] = []
  /// What leads to another level.
  public var level: [Change] = []

  /// So many facts are tried at most, and all pairs of them: fewer than 2,000 evaluations.
  public static let factLimit = 60
}

extension DecisionRules {
  /// The outcome for a reader, if some facts held.
  /// - Parameter latest: see `standing(of:after:)`.
  public func outcome(of client: ClientSnapshot, with facts: [Fact], after latest: UUID?) -> WhatIf.Outcome {
    var client = client
    for fact in facts { fact.apply(to: &client, under: self) }
    return WhatIf.Outcome(standing(of: client, after: latest))
  }

  /// The least changes that lead to another winner or level than a reader sees.
  /// - Parameters:
  ///   - latest: see `standing(of:after:)`.
  ///   - limit: how many changes of the winner, and of the level.
  public func whatIf(_ client: ClientSnapshot, after latest: UUID?, limit: Int = 5) -> WhatIf {
    var search = ChangeSearch(rules: self, client: client, latest: latest)
    return WhatIf(
      winner: search.changes(limit: limit) { $0.winner != $1.winner },
      level: search.changes(limit: limit) { $0.level != $1.level })
  }
}

/// Tries facts on a client, each once.
private struct ChangeSearch {
  private let rules: DecisionRules
  private let client: ClientSnapshot
  private let latest: UUID?
  private let facts: [Fact]
  /// For each fact the indices of those that are less of the same.
  private let less: [[Int]]
  private let from: WhatIf.Outcome
  private let alone: [WhatIf.Outcome]
  /// By `first * facts.count + second`.
  private var pairs: [Int: WhatIf.Outcome] = [:]

  init(rules: DecisionRules, client: ClientSnapshot, latest: UUID?) {
    self.rules = rules
    self.client = client
    self.latest = latest
    let facts = Array(rules.facts(about: client, after: latest).prefix(WhatIf.factLimit))
    self.facts = facts
    less = facts.map { fact in facts.indices.filter { facts[$0].isLess(than: fact) } }
    from = rules.outcome(of: client, with: [], after: latest)
    alone = facts.map { rules.outcome(of: client, with: [$0], after: latest) }
  }

  /// - Parameter differs: whether two outcomes differ in what is asked for.
  mutating func changes(limit: Int, _ differs: (WhatIf.Outcome, WhatIf.Outcome) -> Bool) -> [WhatIf.Change] {
    let flips = alone.map { differs(from, $0) }
    var found: [WhatIf.Change] = []
    for index in facts.indices where flips[index] && !less[index].contains(where: { flips[$0] }) {
      if case .silence(let until) = facts[index], isSooner(than: until, differs) { continue }
      found.append(WhatIf.Change(facts: [facts[index]], from: from, to: alone[index]))
    }
    // A fact that does it alone, or less of it, makes every pair with it larger than needed.
    let rest = facts.indices.filter { index in !flips[index] && !less[index].contains { flips[$0] } }
    for first in rest {
      for second in rest where second > first && isPair(facts[first], facts[second]) {
        if found.count >= limit { return Array(found.prefix(limit)) }
        let outcome = outcome(first, second)
        guard differs(from, outcome), !isLessEnough(first, second, differs) else { continue }
        found.append(WhatIf.Change(facts: [facts[first], facts[second]], from: from, to: outcome))
      }
    }
    return Array(found.prefix(limit))
  }

  /// Whether the outcome is another one already before that time: at a moment that nobody foresees, such as the
  /// beginning of quiet hours.
  private func isSooner(than until: Timestamp, _ differs: (WhatIf.Outcome, WhatIf.Outcome) -> Bool) -> Bool {
    let before = Fact.silence(until: until - TimeSpan(microseconds: 1))
    return differs(from, rules.outcome(of: client, with: [before], after: latest))
  }

  /// Two of one topic would contradict each other. Until a time of which nothing happens, nothing else happens either.
  private func isPair(_ a: Fact, _ b: Fact) -> Bool { a.topic != b.topic && a.topic != .time && b.topic != .time }

  /// Whether less of either fact, with less or as much of the other, leads to another outcome too.
  private mutating func isLessEnough(
    _ first: Int, _ second: Int, _ differs: (WhatIf.Outcome, WhatIf.Outcome) -> Bool
  ) -> Bool {
    for a in less[first] + [first] {
      for b in less[second] + [second] where a != first || b != second {
        if differs(from, outcome(a, b)) { return true }
      }
    }
    return false
  }

  private mutating func outcome(_ first: Int, _ second: Int) -> WhatIf.Outcome {
    let key = first * facts.count + second
    if let known = pairs[key] { return known }
    let outcome = rules.outcome(of: client, with: [facts[first], facts[second]], after: latest)
    pairs[key] = outcome
    return outcome
  }
}
