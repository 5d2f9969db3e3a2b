import FoundationEssentials
import Journey
import Testing

@Suite struct DecisionTests {
  private static let quietLead: ClientSummary = {
    var summary = ClientSummary()
    summary.insert("1", at: .present - .days(40), stage: .lead)
    return summary
  }()

  // MARK: Candidates

  @Test func theStagesActionComesFirstThenTheRisksInTheOrderOfTheRules() {
    var rules = DecisionRules()
    var summary = Self.quietLead
    for id in ["2", "3"] { summary.insert(id, at: .present - .days(39), stage: .onboarding) { $0.isNegative = true } }
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present)])
    func assess() -> [Candidate] { rules.assess(summary, aiScore: nil, at: .present).candidates }
    #expect(
      assess().map(\.action) == [.scheduleMeeting, .sendVoiceMessage, .emailOutreach, .conciergePersonalIntervention])
    #expect(
      assess().map(\.trigger.description)
        == ["stage:onboarding", "risk:low_engagement", "risk:late_invoices", "risk:negative_sentiment"])
    #expect(assess().map(\.channel) == [.human, .voice, .email, .human])
    rules.actions.byRisk.reverse()
    #expect(
      assess().map(\.action) == [.scheduleMeeting, .conciergePersonalIntervention, .emailOutreach, .sendVoiceMessage])
  }

  @Test func anActionThatTwoTriggersAskForIsThereOnceForTheFirstOfThem() {
    var summary = Self.quietLead
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present)])
    let candidates = DecisionRules().assess(summary, aiScore: nil, at: .present).candidates
    #expect(candidates.map(\.action) == [.emailOutreach, .sendVoiceMessage])
    #expect(candidates.first?.trigger == .stage(.lead))
  }

  @Test func aTriggersOwnReasonPrecedesTheActionsAndIncludesTheLevel() {
    var rules = DecisionRules()
    rules.actions.byStage[.lead] = .init(.emailOutreach, reason: "{level}: say hello ({level})")
    rules.actions.byRisk = [.init(.lowEngagement, .init(.offerCreditPack))]
    let candidates = rules.assess(Self.quietLead, aiScore: nil, at: .present).candidates
    #expect(candidates.map(\.reason) == ["LOW: say hello (LOW)", "Good candidate for additional services"])
  }

  @Test func anActionWithoutAReasonOrAChannelHasAGeneralOne() {
    var rules = DecisionRules()
    rules.actions.reasons = [:]
    rules.actions.channels = [:]
    let first = rules.assess(Self.quietLead, aiScore: nil, at: .present).candidates.first
    #expect(first?.reason == "Action recommended based on journey analysis")
    #expect(first?.channel == .human)
  }

  @Test func noCandidateNoDecision() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: .billing) }
    let rules = DecisionRules()
    let assessment = rules.assess(summary, aiScore: nil, at: .present)
    let decision = rules.decide(assessment, actionHistory: ActionHistory(), at: .present)
    #expect(assessment.candidates.isEmpty)
    #expect(decision.verdicts.isEmpty)
    #expect(decision.winner(of: assessment) == nil)
  }

  // MARK: Score and level

  @Test(arguments: [
    (0, RiskLevel.low, Priority.low), (1, .low, .low), (2, .medium, .medium), (3, .high, .high),
    (4, .critical, .urgent),
    (6, .critical, .urgent),
  ])
  func theNumberOfRisksMakesTheLevelAndThePriority(risks: Int, level: RiskLevel, priority: Priority) {
    let rules = LevelRules()
    #expect(rules.level(risks: risks) == level)
    #expect(rules.priorities[level] == priority)
  }

  @Test func theContributionsAddUpToTheScore() {
    let rules = DecisionRules()
    var random = SeededRandom(seed: 3)
    for _ in 0..<200 {
      let summary = ClientSummary(of: HistoryEvent.random(count: 12, around: .present, using: &random))
      let assessment = rules.assess(summary, aiScore: Double(Int.random(in: -80...100, using: &random)), at: .present)
      #expect(assessment.contributions.reduce(0) { $0 + $1.points } == assessment.score)
      #expect(assessment.score >= 0)
    }
  }

  @Test func theScoreNamesItsParts() {
    let assessment = DecisionRules().assess(Self.quietLead, aiScore: -20, at: .present)
    #expect(
      assessment.contributions.map(\.source.description) == [
        "ai_score", "stage:lead", "risk:low_engagement", "minimum",
      ])
    #expect(assessment.contributions.map(\.points) == [-20, 0, -10, 30])
    for missing in [nil, 0, -0.0, .nan] as [Double?] {
      let assessment = DecisionRules().assess(Self.quietLead, aiScore: missing, at: .present)
      #expect(assessment.contributions.first?.source == .base && assessment.contributions.first?.points == 50)
      #expect(assessment.score == 40)
    }
  }

  @Test func weightsAndMinimumFollowTheRules() {
    var rules = DecisionRules()
    rules.score.base = 7
    rules.score.perStage = 2
    rules.score.perRisk = 100
    rules.score.minimum = -50
    var summary = ClientSummary()
    summary.insert("1", at: .present, stage: .churnRisk)
    #expect(rules.assess(summary, aiScore: nil, at: .present).score == -50)
    for id in ["2", "3"] { summary.insert(id, at: .present) }
    #expect(rules.assess(summary, aiScore: nil, at: .present).score == 23)
  }

  // MARK: Cooldown

  @Test func anActionThatWasPublishedHoldsBackTheSameOneUntilItsCooldownEnds() {
    var rules = DecisionRules()
    rules.actions.expiry = nil
    var actionHistory = ActionHistory()
    let id = UUID(), end = Timestamp.present + .days(7)
    actionHistory.record(.emailOutreach, id: id, at: .present, priority: nil)
    for moment in [Timestamp.present, end - .microsecond] {
      let assessment = rules.assess(Self.quietLead, aiScore: nil, at: moment)
      let decision = rules.decide(assessment, actionHistory: actionHistory, at: moment)
      #expect(decision.verdicts == [.coolingDown(actionID: id, until: end), .outranked(by: .emailOutreach)])
      #expect(decision.winner(of: assessment) == nil)
    }
    let assessment = rules.assess(Self.quietLead, aiScore: nil, at: end)
    let decision = rules.decide(assessment, actionHistory: actionHistory, at: end)
    #expect(decision.verdicts == [.chosen, .outranked(by: .emailOutreach)])
    #expect(decision.winner(of: assessment)?.action == .emailOutreach)
  }

  @Test func anActionThatHasExpiredHoldsNothingBack() {
    let rules = DecisionRules()
    var actionHistory = ActionHistory()
    let id = UUID(), end = Timestamp.present + .hours(72)
    actionHistory.record(.emailOutreach, id: id, at: .present, priority: .urgent)
    func first(at moment: Timestamp) -> Decision.Verdict? {
      rules.decide(rules.assess(Self.quietLead, aiScore: nil, at: moment), actionHistory: actionHistory, at: moment)
        .verdicts
        .first
    }
    #expect(first(at: end - .microsecond) == .coolingDown(actionID: id, until: end))
    #expect(first(at: end) == .chosen)
  }

  @Test func anActionOfALowerPriorityDoesNotHoldBackOneOfAHigher() {
    let rules = DecisionRules()
    for last in Priority.allCases.map(Optional.some) + [nil] {
      for now in Priority.allCases {
        var actionHistory = ActionHistory()
        actionHistory.record(.emailOutreach, id: UUID(), at: .present, priority: last)
        var assessment = rules.assess(Self.quietLead, aiScore: nil, at: .present)
        assessment.priority = now
        let isHeldBack =
          rules.decide(assessment, actionHistory: actionHistory, at: .present).winner(of: assessment) == nil
        #expect(isHeldBack == (last.map { now <= $0 } ?? true), "\(String(describing: last)), then \(now)")
      }
    }
  }

  @Test func anotherActionIsNotHeldBack() {
    let rules = DecisionRules()
    var actionHistory = ActionHistory()
    actionHistory.record(.sendVoiceMessage, id: UUID(), at: .present, priority: .low)
    let assessment = rules.assess(Self.quietLead, aiScore: nil, at: .present)
    #expect(
      rules.decide(assessment, actionHistory: actionHistory, at: .present).winner(of: assessment)?.action
        == .emailOutreach)
  }

  @Test func aCooldownOfNothingHoldsNothingBack() {
    var rules = DecisionRules()
    rules.actions.cooldown = .seconds(0)
    var actionHistory = ActionHistory()
    actionHistory.record(.emailOutreach, id: UUID(), at: .present, priority: .urgent)
    let assessment = rules.assess(Self.quietLead, aiScore: nil, at: .present)
    #expect(
      rules.decide(assessment, actionHistory: actionHistory, at: .present).winner(of: assessment)?.action
        == .emailOutreach)
  }
}
