extension Fact {
  /// Makes the fact true of a client.
  /// - Parameter rules: what they count as one thing is one thing here.
  public func apply(to client: inout ClientSnapshot, under rules: DecisionRules) {
    let now = client.now
    if let late = client.lateInvoices {
      client.summary.lateInvoices = late
      client.lateInvoices = nil
    }
    switch self {
    case .settledInvoices(let count): client.summary.lateInvoices.settle(count)
    case .overdueInvoice:
      client.summary.lateInvoices.add(overdueAt: now)
      client.summary.overdueNotice = Self.stamp(0, now)
    case .moreClientEvents(let count): Self.insert(count, into: &client) { $0.isOwn = true }
    case .fewerClientEvents(let count): client.forgetEngagement(count, rules.risks)
    case .moreNegativeEvents(let count): Self.insert(count, into: &client) { $0.isNegative = true }
    case .fewerNegativeEvents(let count): client.summary.soften(count, rules.risks)
    case .moreTickets(let count):
      Self.insert(count, into: &client) {
        $0.isTicketOpened = true
        $0.isOwn = true
      }
    case .fewerTickets(let count): client.forgetTickets(count, rules.risks)
    case .progress: client.summary.progress = .init(stamp: Self.stamp(0, now), kind: .advanced)
    case .delay: client.summary.progress = .init(stamp: Self.stamp(0, now), kind: .delayed)
    case .usage(let percent): client.summary.usage = .init(stamp: Self.stamp(0, now), percent: percent)
    case .usageUnder(let percent): client.summary.usage = .init(stamp: Self.stamp(0, now), percent: percent.nextDown)
    case .reachable(let channel): client.actionHistory.blocks.removeAll { $0.channel == channel && !$0.isWish }
    case .wanted(let channel): client.actionHistory.blocks.removeAll { $0.channel == channel && $0.isWish }
    case .consent(let channel, let purpose):
      client.actionHistory.consents.removeAll { $0.channel == channel && $0.purpose == purpose }
      client.actionHistory.add(
        ActionHistory.Consent(channel: channel, purpose: purpose, isGranted: true, id: .zero, at: now))
    case .silence(let until): client.now = until
    case .stage(let stage):
      client.summary.setStage = .init(stamp: Self.stamp(0, now), stage: stage)
      client.summary.raises = []
    }
  }

  /// A source that no publisher has.
  private static func stamp(_ number: Int, _ now: Timestamp) -> EventStamp {
    EventStamp(at: now, id: "what-if-\(number)", source: "journey.what-if")
  }

  private static func insert(_ count: Int, into client: inout ClientSnapshot, _ change: (inout Signals) -> Void) {
    var signals = Signals()
    signals.isOwn = false
    change(&signals)
    for number in 0..<count {
      // Each of a kind of its own, so that none counts as a repetition of another, whatever the rules say of sources.
      let name = "what-if-\(signals.isOwn)-\(signals.isNegative)-\(signals.isTicketOpened)-\(number)"
      signals.kind = UInt32(truncatingIfNeeded: name.stableHash)
      client.summary.insert(
        EventStamp(at: client.now, id: name, source: "journey.what-if"), stage: nil, signals: signals)
    }
  }
}

extension LateInvoices {
  /// The longest overdue go first. Of those that are left at least one is known, or they would be no risk.
  fileprivate mutating func settle(_ settled: Int) {
    count = max(0, count - settled)
    let known = min(count, 1)
    oldest.removeFirst(min(settled, max(0, oldest.count - known)))
  }

  fileprivate mutating func add(overdueAt: Timestamp) {
    count = min(count + 1, Self.countLimit)
    if oldest.count < Self.oldestLimit { oldest.append(Item(id: "what-if", overdueAt: overdueAt)) }
  }
}

extension ClientSnapshot {
  /// As of when silence is judged.
  private var silence: Timestamp { frozenSince.map { min($0, now) } ?? now }

  /// The events that count against `low_engagement`, newest first.
  func engagement(_ rule: RiskRules.LowEngagement) -> [ClientSummary.Entry] {
    let begin = silence - rule.window
    return Array((rule.counts == .own ? summary.own : summary.recent).prefix { $0.at >= begin })
  }

  func countedTickets(_ rule: RiskRules.HighTickets) -> [ClientSummary.Entry] {
    let begin = now - rule.window
    return Array(summary.tickets.prefix { $0.at >= begin })
  }

  fileprivate mutating func forgetEngagement(_ fewer: Int, _ rules: RiskRules) {
    guard let rule = rules.lowEngagement else { return }
    for entry in EventCount(rules.overlap).newest(fewer, of: engagement(rule)) {
      if rule.counts == .own {
        // The event itself stays: it may be one of those that sentiment is looked for in.
        for index in summary.recent.indices where summary.recent[index].isSameEvent(as: entry) {
          summary.recent[index].isOwn = false
        }
      } else {
        summary.recent.removeAll { $0.isSameEvent(as: entry) }
      }
      summary.olderOwn.removeAll { $0.isSameEvent(as: entry) }
    }
  }

  fileprivate mutating func forgetTickets(_ fewer: Int, _ rules: RiskRules) {
    guard let rule = rules.highTickets else { return }
    for entry in EventCount(rules.overlap).newest(fewer, of: countedTickets(rule)) {
      summary.tickets.removeAll { $0.isSameEvent(as: entry) }
    }
  }
}

extension ClientSummary {
  /// The negative events that count, newest first.
  func negative(_ rule: RiskRules.NegativeSentiment) -> [Entry] { recent.prefix(rule.among).filter(\.isNegative) }

  fileprivate mutating func soften(_ fewer: Int, _ rules: RiskRules) {
    guard let rule = rules.negativeSentiment else { return }
    for entry in EventCount(rules.overlap).newest(fewer, of: negative(rule)) {
      for index in recent.indices where recent[index].isSameEvent(as: entry) { recent[index].isNegative = false }
    }
  }
}

extension EventCount {
  /// The newest entries without which the count is so much less.
  fileprivate func newest(_ fewer: Int, of entries: [ClientSummary.Entry]) -> ArraySlice<ClientSummary.Entry> {
    let target = max(0, count(entries) - fewer)
    let end = entries.indices.first { count(entries[$0...]) <= target } ?? entries.endIndex
    return entries[..<end]
  }
}
