import Journey
import Testing

/// Each risk at its edges: when it holds, what it shows, since when.
@Suite struct RiskTests {
  private let rules = RiskRules()

  private func found(_ risk: Risk, in summary: ClientSummary, at now: Timestamp = .present, _ rules: RiskRules? = nil)
    -> DetectedRisk?
  {
    (rules ?? self.rules).detect(in: summary, at: now).first { $0.risk == risk }
  }

  // MARK: Engagement

  @Test func threeEventsInThirtyDaysAreEngagementToTheMicrosecond() {
    var summary = ClientSummary()
    for (id, age) in [("1", 2), ("2", 5), ("3", 30)] { summary.insert(id, at: .present - .days(Int64(age))) }
    #expect(found(.lowEngagement, in: summary) == nil)
    let start = Timestamp.present + .microsecond
    let risk = found(.lowEngagement, in: summary, at: start)
    #expect(risk?.evidence == "2 events by the client in the last 30 days, fewer than 3")
    #expect(risk?.since == start)
    #expect(rules.nextChange(of: summary, after: .present) == start)
    #expect(rules.nextChange(of: summary, after: start) == nil)
  }

  @Test func aClientThatNeverHadThreeEventsIsNotKnownToHaveSlackened() {
    var summary = ClientSummary()
    #expect(found(.lowEngagement, in: summary)?.evidence == "0 events by the client in the last 30 days, fewer than 3")
    summary.insert("1", at: .present)
    let risk = found(.lowEngagement, in: summary)
    #expect(risk?.evidence == "1 event by the client in the last 30 days, fewer than 3")
    #expect(risk != nil && risk?.since == nil)
    #expect(rules.nextChange(of: summary, after: .present) == nil)
  }

  @Test func eventsOfTheFutureCountAsInTheDesignDocument() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present + .days(2)) }
    #expect(found(.lowEngagement, in: summary) == nil)
  }

  @Test func theNumberAndTheWindowOfEventsCanBeSet() {
    var rules = RiskRules()
    rules.lowEngagement?.events = 10
    rules.lowEngagement?.window = .days(1)
    var summary = ClientSummary()
    for id in 1...9 { summary.insert("\(id)", at: .present) }
    #expect(
      found(.lowEngagement, in: summary, rules)?.evidence == "9 events by the client in the last 1 days, fewer than 10")
    summary.insert("10", at: .present - .days(1))
    #expect(found(.lowEngagement, in: summary, rules) == nil)
  }

  // MARK: Invoices

  @Test func aLateInvoiceIsARiskUntilItIsSettled() {
    var summary = ClientSummary()
    summary.insert("1", at: .present - .days(9), stage: .billing) { $0.isOverdueNotice = true }
    #expect(found(.lateInvoices, in: summary) == nil, "the notice alone says nothing about the invoice")
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present - .days(9))])
    let one = found(.lateInvoices, in: summary)
    #expect(one?.evidence == "1 invoice overdue, the oldest (in_1) since 2026-11-11")
    #expect(one?.since == .present - .days(9))
    summary.lateInvoices.count = 2
    #expect(found(.lateInvoices, in: summary)?.evidence == "2 invoices overdue, the oldest (in_1) since 2026-11-11")
    summary.lateInvoices.count = LateInvoices.countLimit
    #expect(
      found(.lateInvoices, in: summary)?.evidence == "100 or more invoices overdue, the oldest (in_1) since 2026-11-11")
    summary.lateInvoices = LateInvoices()
    #expect(found(.lateInvoices, in: summary) == nil)
  }

  @Test func underTheDesignDocumentsRuleANoticeIsARiskForGood() {
    var summary = ClientSummary()
    let rules = DecisionRules.literal.risks
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present)])
    #expect(found(.lateInvoices, in: summary, rules) == nil)
    summary.insert("1", at: .present - .days(400), stage: .billing) { $0.isOverdueNotice = true }
    let risk = found(.lateInvoices, in: summary, rules)
    #expect(risk?.evidence == "an invoice was overdue, last on 2025-10-16")
    #expect(risk?.since == .present - .days(400))
  }

  // MARK: Sentiment

  @Test func twoNegativeEventsAmongTheNewestTenAreARisk() {
    var summary = ClientSummary()
    summary.insert("n1", at: .present - .days(20)) { $0.isNegative = true }
    for id in 0..<8 { summary.insert("e\(id)", at: .present - .days(10)) }
    #expect(found(.negativeSentiment, in: summary) == nil)
    summary.insert("n2", at: .present - .days(2)) { $0.isNegative = true }
    let risk = found(.negativeSentiment, in: summary)
    #expect(risk?.evidence == "2 of the last 10 events negative, the newest on 2026-11-18")
    #expect(risk?.since == .present - .days(20))
    summary.insert("e9", at: .present)
    #expect(found(.negativeSentiment, in: summary) == nil, "the older one is the eleventh now")
  }

  @Test func howManyEventsAreLookedAtCanBeSet() {
    var rules = RiskRules()
    rules.negativeSentiment?.among = 2
    rules.negativeSentiment?.events = 1
    var summary = ClientSummary()
    summary.insert("n", at: .present) { $0.isNegative = true }
    #expect(
      found(.negativeSentiment, in: summary, rules)?.evidence
        == "1 of the last 1 event negative, the newest on 2026-11-20")
    summary.insert("a", at: .present + .microsecond)
    #expect(found(.negativeSentiment, in: summary, rules) != nil)
    summary.insert("b", at: .present + .microsecond)
    #expect(found(.negativeSentiment, in: summary, rules) == nil)
  }

  // MARK: Progress

  @Test func anActiveProjectInWhichNothingMovesForThreeWeeksIsSlow() {
    var summary = ClientSummary()
    let start = Timestamp.present - .days(21)
    summary.insert("1", at: start, stage: .activeProject)
    #expect(found(.slowProjectProgress, in: summary, at: .present - .microsecond) == nil)
    let risk = found(.slowProjectProgress, in: summary)
    #expect(risk?.evidence == "no progress in the active project since 2026-10-30 (21 days)")
    #expect(risk?.since == .present)
    summary.insert("2", at: start + .days(3)) { $0.progress = .advanced }
    #expect(found(.slowProjectProgress, in: summary) == nil)
    #expect(found(.slowProjectProgress, in: summary, at: .present + .days(3))?.since == .present + .days(3))
    summary.insert("3", at: start + .days(4), stage: .billing)
    #expect(found(.slowProjectProgress, in: summary, at: .present + .days(90)) == nil, "the project is over")
  }

  @Test func silenceIsCountedFromTheStageWhereTheLastProgressWasBeforeIt() {
    var summary = ClientSummary()
    summary.insert("1", at: .present - .days(50)) { $0.progress = .advanced }
    summary.insert("2", at: .present - .days(20), stage: .activeProject)
    #expect(found(.slowProjectProgress, in: summary) == nil)
    #expect(found(.slowProjectProgress, in: summary, at: .present + .days(1)) != nil)
  }

  @Test func aDelayIsSlowAtOnceAndUntilTheNextProgressInAnyStage() {
    var summary = ClientSummary()
    summary.insert("1", at: .present, stage: .activeProject) { $0.progress = .delayed }
    let risk = found(.slowProjectProgress, in: summary)
    #expect(risk?.evidence == "delayed since 2026-11-20, no progress after that")
    #expect(risk?.since == .present)
    #expect(rules.nextChange(of: summary, after: .present) == nil, "it is slow already, and stays so")
    summary.insert("2", at: .present + .days(1), stage: .billing)
    #expect(found(.slowProjectProgress, in: summary) != nil)
    summary.insert("3", at: .present + .days(2)) { $0.progress = .advanced }
    #expect(found(.slowProjectProgress, in: summary) == nil)
  }

  // MARK: Usage

  @Test(arguments: [
    (19.99, "usage 19.99 % on 2026-11-20, under 20 %"), (0, "usage 0 % on 2026-11-20, under 20 %"), (20, nil),
    (100, nil),
  ])
  func usageUnderTheThresholdIsLow(percent: Double, evidence: String?) {
    var summary = ClientSummary()
    summary.insert("1", at: .present) { $0.usage = percent }
    let risk = found(.lowFeatureUsage, in: summary)
    #expect(risk?.evidence == evidence)
    #expect(risk?.since == (evidence == nil ? nil : .present))
  }

  @Test func onlyTheNewestUsageCounts() {
    var summary = ClientSummary()
    summary.insert("1", at: .present) { $0.usage = 90 }
    summary.insert("0", at: .present - .days(1)) { $0.usage = 1 }
    #expect(found(.lowFeatureUsage, in: summary) == nil)
  }

  // MARK: Tickets

  @Test func threeTicketsInThirtyDaysAreManyToTheMicrosecond() {
    var summary = ClientSummary()
    for (id, age) in [("1", 30), ("2", 29)] {
      summary.insert(id, at: .present - .days(Int64(age))) { $0.isTicketOpened = true }
    }
    #expect(found(.highSupportTickets, in: summary) == nil)
    summary.insert("3", at: .present) { $0.isTicketOpened = true }
    let risk = found(.highSupportTickets, in: summary)
    #expect(risk?.evidence == "3 tickets opened in the last 30 days, 3 are many")
    #expect(risk?.since == .present - .days(30))
    let end = Timestamp.present + .microsecond
    #expect(found(.highSupportTickets, in: summary, at: end) == nil)
    // At the same moment the third event leaves the window of engagement too.
    #expect(rules.nextChange(of: summary, after: .present) == end)
  }

  @Test func aGreatManyTicketsAreSaidToBeNoFewerThanAreKept() {
    var summary = ClientSummary()
    for id in 0..<34 { summary.insert("\(id)", at: .present) { $0.isTicketOpened = true } }
    #expect(
      found(.highSupportTickets, in: summary)?.evidence == "30 or more tickets opened in the last 30 days, 3 are many")
  }

  // MARK: All of them

  @Test func theDesignDocumentsRisksComeFirstInOrder() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] {
      summary.insert(id, at: .present - .days(25), stage: .activeProject) {
        $0.isNegative = true
        $0.isTicketOpened = true
        $0.usage = 1
      }
    }
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present)])
    var rules = self.rules
    rules.lowEngagement?.window = .days(20)
    #expect(
      rules.detect(in: summary, at: .present).map(\.risk)
        == [
          .lowEngagement, .lateInvoices, .negativeSentiment, .slowProjectProgress, .lowFeatureUsage,
          .highSupportTickets,
        ])
  }

  @Test func aRiskThatIsSwitchedOffNeverHoldsAndNeverComesDue() {
    var rules = RiskRules()
    rules.lowEngagement = nil
    rules.lateInvoices = nil
    rules.negativeSentiment = nil
    rules.slowProgress = nil
    rules.lowUsage = nil
    rules.highTickets = nil
    var random = SeededRandom(seed: 11)
    for _ in 0..<50 {
      let summary = ClientSummary(of: HistoryEvent.random(count: 20, around: .present, using: &random))
      #expect(rules.detect(in: summary, at: .present).isEmpty)
      #expect(rules.nextChange(of: summary, after: .present - .days(100)) == nil)
    }
  }

  /// The due moment is exact: the risks differ there from a microsecond before, and do not change on the way to it.
  @Test(arguments: propertySeeds)
  func theNextChangeIsTheFirstMomentAtWhichTheRisksDiffer(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<100 {
      let summary = ClientSummary(
        of: HistoryEvent.random(count: Int.random(in: 0...25, using: &random), around: .present, using: &random))
      func risks(at moment: Timestamp) -> [Risk] { rules.detect(in: summary, at: moment).map(\.risk) }
      var now = Timestamp.present - .days(90)
      while true {
        let before = risks(at: now)
        let end = rules.nextChange(of: summary, after: now)
        let last = end.map { $0 - .microsecond } ?? .present + .days(4000)
        #expect(risks(at: last) == before)
        for _ in 0..<5 {
          let between = Timestamp(microseconds: .random(in: now.microseconds...last.microseconds, using: &random))
          #expect(risks(at: between) == before)
        }
        guard let end else { break }
        #expect(risks(at: end) != before)
        now = end
      }
    }
  }

  @Test func anAssessmentSaysWhenItWillChange() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present) }
    let assessment = DecisionRules().assess(summary, aiScore: nil, at: .present)
    #expect(assessment.nextChange == .present + .days(30) + .microsecond)
  }
}
