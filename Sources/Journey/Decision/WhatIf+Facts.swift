import FoundationEssentials

/// Which facts are worth trying: those that a rule looks at, from one to as many as it takes.
extension DecisionRules {
  /// Facts that could be otherwise: what comes by itself, what makes a client better off, what makes it worse off, and
  /// other stages, the nearest first; less of the same before more of it.
  func facts(about client: ClientSnapshot, after latest: UUID?) -> [Fact] {
    var client = client
    if let late = client.lateInvoices { client.summary.lateInvoices = late }
    let summary = client.summary, stage = summary.stage?.stage ?? .lead
    let ofRisks =
      invoiceFacts(summary) + progressFacts(summary) + usageFacts(summary) + ticketFacts(client)
      + sentimentFacts(summary) + engagementFacts(client)
    return silences(client, after: latest) + ofRisks.filter(\.isBetter)
      + permissionFacts(client) + ofRisks.filter { !$0.isBetter }
      + Stage.allCases.filter { $0 != stage }.sorted {
        ($0.distance(to: stage), $0.index) < ($1.distance(to: stage), $1.index)
      }
      .map { .stage($0) }
  }

  private func permissionFacts(_ client: ClientSnapshot) -> [Fact] {
    var facts: [Fact] = []
    for block in client.actionHistory.blocks {
      let fact = block.isWish ? Fact.wanted(block.channel) : .reachable(block.channel)
      if !facts.contains(fact) { facts.append(fact) }
    }
    let needed = (actions.contact?.consent ?? [:]).sorted { $0.key.rawValue < $1.key.rawValue }
    for (channel, purpose) in needed
    where !client.actionHistory.consents.contains(where: {
      $0.channel == channel && $0.purpose == purpose && $0.isGiven(at: client.now)
    }) {
      facts.append(.consent(channel, purpose: purpose))
    }
    return facts
  }

  private func invoiceFacts(_ summary: ClientSummary) -> [Fact] {
    guard let rule = risks.lateInvoices else { return [] }
    let count = summary.lateInvoices.count
    var facts: [Fact] = count == 0 || rule == .everOverdue ? [.overdueInvoice] : []
    // Beyond the limit nobody knows how many there are.
    if rule == .untilSettled, count > 0, count < LateInvoices.countLimit {
      // Of many, only whether one may be left matters.
      facts += Set(1...min(count, 8)).union([max(1, count - 1), count]).sorted().map { .settledInvoices($0) }
    }
    return facts
  }

  private func progressFacts(_ summary: ClientSummary) -> [Fact] {
    guard risks.slowProgress != nil else { return [] }
    return summary.progress?.kind == .delayed ? [.progress] : [.progress, .delay]
  }

  private func usageFacts(_ summary: ClientSummary) -> [Fact] {
    guard let rule = risks.lowUsage else { return [] }
    if let usage = summary.usage, usage.percent < rule.percent { return [.usage(rule.percent)] }
    return rule.percent > 0 ? [.usageUnder(rule.percent)] : []
  }

  private func ticketFacts(_ client: ClientSnapshot) -> [Fact] {
    guard let rule = risks.highTickets else { return [] }
    let count = EventCount(risks.overlap).count(client.countedTickets(rule))
    guard count >= rule.tickets else { return numbers(upTo: rule.tickets - count).map { .moreTickets($0) } }
    // With the list full, older ones would take the place of those that are gone, and they are not known.
    if client.summary.tickets.count == ClientSummary.keptTickets { return [] }
    return numbers(upTo: count - rule.tickets + 1).map { .fewerTickets($0) }
  }

  private func sentimentFacts(_ summary: ClientSummary) -> [Fact] {
    guard let rule = risks.negativeSentiment else { return [] }
    let count = EventCount(risks.overlap).count(summary.negative(rule))
    // New events push older ones out, so as many as the rule asks for are tried.
    if count < rule.events { return numbers(upTo: rule.events).map { .moreNegativeEvents($0) } }
    return numbers(upTo: count - rule.events + 1).map { .fewerNegativeEvents($0) }
  }

  private func engagementFacts(_ client: ClientSnapshot) -> [Fact] {
    guard let rule = risks.lowEngagement else { return [] }
    let count = EventCount(risks.overlap).count(client.engagement(rule))
    guard count >= rule.events else { return numbers(upTo: rule.events - count).map { .moreClientEvents($0) } }
    let known = rule.counts == .own ? client.summary.own : client.summary.recent
    if known.count == ClientSummary.recentLimit { return [] }
    return numbers(upTo: count - rule.events + 1).map { .fewerClientEvents($0) }
  }

  /// The moments at which something begins, ends or opens by itself.
  private func silences(_ client: ClientSnapshot, after latest: UUID?) -> [Fact] {
    // While a source is silent, nobody knows when silence counts again.
    if client.frozenSince != nil { return [] }
    var moments: [Timestamp] = []
    var later = client
    for _ in 0..<Self.silenceLimit {
      let standing = standing(of: later, after: latest)
      let opening = standing.decision.verdicts.compactMap { opens($0, in: client.actionHistory) }
      let next = (opening + [standing.assessment.nextChange].compactMap { $0 }).filter { $0 > later.now }.min()
      guard let next, next <= client.now + .days(366) else { break }
      moments.append(next)
      later.now = next
    }
    return moments.map { .silence(until: $0) }
  }

  private static let silenceLimit = 5

  private func numbers(upTo last: Int) -> ClosedRange<Int> { 1...max(1, min(last, ClientSummary.recentLimit)) }

  /// When what stands in the way of a candidate is over by itself, at the latest; nil: nothing does, or time alone does
  /// not change it.
  public func opens(_ verdict: Decision.Verdict, in history: ActionHistory) -> Timestamp? {
    switch verdict {
    case .coolingDown(_, let until), .snoozed(_, let until), .pausing(_, _, let until), .limited(_, let until),
      .quiet(let until, _):
      until
    case .open(let actionID, _):
      history.entries.first { $0.actionID == actionID }.flatMap { actions.opens(after: $0) }
    default: nil
    }
  }
}

extension Fact {
  /// Whether it ends a risk rather than beginning one.
  fileprivate var isBetter: Bool {
    switch self {
    case .settledInvoices, .progress, .usage, .fewerTickets, .fewerNegativeEvents, .moreClientEvents: true
    default: false
    }
  }
}

extension Stage {
  fileprivate func distance(to other: Stage) -> Int { abs(index - other.index) }
}
