import FoundationEssentials
import Journey
import Testing

/// What would have to be otherwise: each proposed change does it, and nothing less does.
@Suite struct WhatIfTests {
  private static let seeds: [UInt64] = Array(1...20)
  private static let clientsPerSeed = 50

  /// 1,000 random clients.
  @Test(arguments: seeds)
  func eachChangeDoesItAndNothingLessDoes(seed: UInt64) {
    var random = SeededRandom(seed: seed), proposed = 0
    for number in 0..<Self.clientsPerSeed {
      let rules = random.pick(Self.rules)
      let (client, latest) = Self.client(under: rules, using: &random)
      let found = rules.whatIf(client, after: latest)
      let now = rules.outcome(of: client, with: [], after: latest)
      for (changes, differs) in [(found.winner, Self.isOtherWinner), (found.level, Self.isOtherLevel)] {
        proposed += changes.count
        #expect(changes.count <= 5 && Set(changes.map(\.facts)).count == changes.count)
        #expect(changes.map(\.facts.count) == changes.map(\.facts.count).sorted(), "the smallest first")
        for change in changes {
          let record = Comment(rawValue: "seed \(seed), client \(number), rules \(rules.version): \(change)")
          #expect((1...2).contains(change.facts.count) && change.from == now, record)
          let outcome = outcome(of: client, with: change.facts, after: latest, under: rules)
          #expect(outcome == change.to && differs(now, outcome), record)
          for less in Self.allLess(than: change.facts) {
            let outcome = self.outcome(of: client, with: less, after: latest, under: rules)
            #expect(!differs(now, outcome), "\(less) is enough; \(record)")
          }
        }
      }
    }
    #expect(proposed > 2 * Self.clientsPerSeed, "most clients could get another action, and be at another level")
  }

  @Test func whatIsAskedForIsFound() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present + .days(-2), stage: .billing) }
    for id in ["t1", "t2", "t3"] {
      summary.insert(id, at: .present + .days(-20)) {
        $0.isTicketOpened = true
        $0.isOwn = false
      }
    }
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present + .days(-9))])
    let found = DecisionRules().whatIf(.test(summary: summary), after: nil)
    let settled = found.winner.first { $0.facts == [.settledInvoices(1)] }
    #expect(settled?.from.winner == .emailOutreach && settled?.to.winner == nil)
    let wanted: [[Fact]] = [
      [.silence(until: .present + .days(10) + .microsecond)], [.settledInvoices(1)], [.fewerTickets(1)], [.delay],
      [.usageUnder(20)],
    ]
    #expect(found.level.map(\.facts) == wanted)
    let levels: [RiskLevel] = [.low, .low, .low, .high, .high]
    #expect(found.level.map(\.to.level) == levels && found.level[0].from.level == .medium)
  }

  /// Two risks less than the level asks for: one fact is not enough.
  @Test func twoFactsAreProposedWhereOneIsNotEnough() {
    var summary = ClientSummary(), rules = DecisionRules()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: .retention) }
    rules.levels.medium = 3
    let found = rules.whatIf(.test(summary: summary), after: nil)
    #expect(found.level.isEmpty, "three would be needed")
    rules.levels.medium = 2
    let pairs = rules.whatIf(.test(summary: summary), after: nil).level
    #expect(!pairs.isEmpty && pairs.allSatisfy { $0.facts.count == 2 && $0.to.level == .medium })
  }

  @Test func invoicesAreSettledTogetherOnlyWhereAllCount() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: .billing) }
    summary.lateInvoices = LateInvoices(
      count: 7, oldest: ["a", "b", "c"].map { .init(id: $0, overdueAt: .present + .days(-9)) })
    let found = DecisionRules().whatIf(.test(summary: summary), after: nil).winner.flatMap(\.facts)
    #expect(found.filter { $0.topic == .invoices } == [.settledInvoices(7)])
  }

  @Test func aClosedChannelIsAReason() {
    let rules = Self.rules[1]
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: .awaitingFeedback) }
    var history = ActionHistory(), life = ActionLife()
    let report = OutcomeReport(
      actionID: UUID(), outcome: .bounced, occurredAt: .present + .days(-100), reporter: "w", orgID: nil)
    _ = life.apply(report)
    history.apply(report, to: life, .emailOutreach, on: .email, countsContacts: true)
    let found = rules.whatIf(.test(summary: summary, actionHistory: history), after: nil)
    #expect(found.winner.contains { $0.facts == [.reachable(.email)] && $0.to.winner == .triggerSatisfactionSurvey })
  }

  /// Time opens what a pause forbids.
  @Test func anOpenActionSaysWhenItEnds() {
    var rules = DecisionRules(), random = SystemRandomNumberGenerator()
    rules.actions.life = LifeRules()
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: .onboarding) }
    var client = ClientSnapshot.test(summary: summary)
    _ = rules.evaluate(&client, without: .time, random: &random)
    client.now = .present + .hours(1)
    let verdict = rules.standing(of: client, after: nil).decision.verdicts[0]
    #expect(rules.opens(verdict, in: client.actionHistory) == .present + .hours(72 + 24))
    #expect(rules.opens(.chosen, in: client.actionHistory) == nil)
  }

  // MARK: Helpers

  private static func isOtherWinner(_ a: WhatIf.Outcome, _ b: WhatIf.Outcome) -> Bool { a.winner != b.winner }
  private static func isOtherLevel(_ a: WhatIf.Outcome, _ b: WhatIf.Outcome) -> Bool { a.level != b.level }

  private func outcome(
    of client: ClientSnapshot, with facts: [Fact], after latest: UUID?, under rules: DecisionRules
  ) -> WhatIf.Outcome {
    var client = client
    for fact in facts { fact.apply(to: &client, under: rules) }
    return WhatIf.Outcome(rules.standing(of: client, after: latest))
  }

  /// Everything that is less than these facts: without some of them, or with less of some.
  private static func allLess(than facts: [Fact]) -> [[Fact]] {
    facts.reduce([[]]) { sets, fact in
      sets.flatMap { set in ([nil, fact] + less(than: fact)).map { set + [$0].compactMap(\.self) } }
    }
    .filter { $0 != facts && !$0.isEmpty }
  }

  private static func less(than fact: Fact) -> [Fact] {
    switch fact {
    case .settledInvoices(let count): (1..<count).map { .settledInvoices($0) }
    case .moreClientEvents(let count): (1..<count).map { .moreClientEvents($0) }
    case .fewerClientEvents(let count): (1..<count).map { .fewerClientEvents($0) }
    case .moreNegativeEvents(let count): (1..<count).map { .moreNegativeEvents($0) }
    case .fewerNegativeEvents(let count): (1..<count).map { .fewerNegativeEvents($0) }
    case .moreTickets(let count): (1..<count).map { .moreTickets($0) }
    case .fewerTickets(let count): (1..<count).map { .fewerTickets($0) }
    case .silence(let until): [.silence(until: until + TimeSpan(microseconds: -1))]
    default: []
    }
  }

  private static let rules: [DecisionRules] = {
    var full = DecisionRules(), policy = ContactPolicy()
    full.version = "full"
    policy.limits = [
      .email: .init(most: 1, window: .days(7), gap: .hours(16)), .voice: .init(most: 1, window: .days(7)),
    ]
    policy.pauses[.triggerSatisfactionSurvey] = .days(90)
    policy.unsuitable[.offerCreditPack] = [.lateInvoices, .negativeSentiment]
    let utc = ZoneOffsets(
      periods: [.init(begin: .present + .days(-9999), offset: .seconds(0))], end: .present + .days(9999))
    policy.quietHours = QuietHours(
      begin: .hours(21), end: .hours(8), channels: [.email, .voice], zone: "UTC", zones: TimeZones { _, _ in utc })
    full.actions.life = LifeRules()
    full.actions.contact = policy
    full.actions.byRisk += [
      .init(.slowProjectProgress, .init(.scheduleMeeting)),
      .init(.highSupportTickets, .init(.conciergePersonalIntervention)),
      .init(.lowFeatureUsage, .init(.scheduleMeeting)),
    ]
    return [DecisionRules(), full, .literal]
  }()

  /// A client with events, invoices, and what came of earlier actions.
  private static func client(
    under rules: DecisionRules, using random: inout SeededRandom
  ) -> (ClientSnapshot, latest: UUID?) {
    let events = HistoryEvent.random(
      count: Int.random(in: 1...30, using: &random), around: .present, using: &random)
    var summary = ClientSummary(of: events), invoices = InvoiceRows()
    for event in events { invoices.apply(event) }
    summary.lateInvoices = invoices.late
    var client = ClientSnapshot.test(aiScore: random.pick([nil, 40, 72.5]), summary: summary)
    var latest: UUID?
    for _ in 0..<Int.random(in: 0...3, using: &random) {
      client.now = .present + .hours(-Int64.random(in: 1...200, using: &random))
      let evaluation = rules.evaluate(&client, without: .time, random: &random)
      latest = evaluation.id
      guard let winner = evaluation.decision.winner(of: evaluation.assessment), random.chance(0.5) else { continue }
      let report = OutcomeReport(
        actionID: evaluation.id, outcome: random.pick([.delivered, .rejected, .failed, .bounced]),
        occurredAt: client.now + .microsecond, reporter: "w", orgID: nil)
      var life = ActionLife()
      _ = life.apply(report)
      client.actionHistory.apply(report, to: life, winner.action, on: winner.channel, countsContacts: true)
    }
    client.now = .present
    return (client, random.chance(0.5) ? latest : nil)
  }
}
