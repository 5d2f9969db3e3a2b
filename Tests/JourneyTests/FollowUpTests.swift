import FoundationEssentials
import Journey
import Testing

/// A client at great risk is not forgotten because it is silent.
@Suite struct FollowUpTests {
  private static func rules(from level: RiskLevel? = .critical, critical: Int = 1) -> DecisionRules {
    var rules = DecisionRules()
    rules.actions.life = LifeRules()
    rules.actions.life?.followUpFrom = level
    rules.risks.lowEngagement = nil
    (rules.levels.medium, rules.levels.high, rules.levels.critical) = (1, 1, critical)
    return rules
  }

  /// A client with an invoice that is late.
  private func client() -> ClientSnapshot {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: .billing) }
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present)])
    return ClientSnapshot.test(summary: summary, now: .present)
  }

  private func evaluate(_ client: inout ClientSnapshot, _ rules: DecisionRules, after span: TimeSpan) -> Evaluation {
    var random = SystemRandomNumberGenerator()
    client.now = .present + span
    return rules.evaluate(&client, without: .time, random: &random)
  }

  private func report(_ outcome: ActionOutcome, of action: UUID, after span: TimeSpan, in client: inout ClientSnapshot)
  {
    var life = ActionLife()
    let report = OutcomeReport(
      actionID: action, outcome: outcome, occurredAt: .present + span, until: nil, reporter: "w", orgID: nil)
    _ = life.apply(report)
    client.actionHistory.apply(report, to: life, .emailOutreach, on: .email, countsContacts: false)
  }

  @Test func whatIsStillNeededIsConsideredAgain() {
    let rules = Self.rules()
    var client = client()
    let first = evaluate(&client, rules, after: .seconds(0))
    #expect(first.decision.verdicts == [.chosen])
    #expect(first.assessment.nextChange == .present + .hours(72), "when it would expire")
    report(.accepted, of: first.id, after: .hours(1), in: &client)
    let second = evaluate(&client, rules, after: .hours(72))
    #expect(second.decision.verdicts == [.coolingDown(actionID: first.id, until: .present + .days(7))])
    #expect(second.assessment.nextChange == .present + .days(7))
    let third = evaluate(&client, rules, after: .days(7))
    #expect(third.decision.verdicts == [.chosen])
    report(.rejected, of: third.id, after: .days(8), in: &client)
    let fourth = evaluate(&client, rules, after: .days(10))
    #expect(fourth.assessment.nextChange == .present + .days(38), "30 days after the client has declined")
    #expect(evaluate(&client, rules, after: .days(38)).decision.verdicts == [.chosen])
  }

  /// Whatever becomes of its actions, there is always a moment at which it is looked at.
  @Test func itIsAlwaysLookedAtAgain() throws {
    let rules = Self.rules()
    for outcome in ActionOutcome.allCases.map(Optional.some) + [nil] {
      var client = client(), span = TimeSpan.seconds(0), chosen = 0
      while span < .days(100) {
        let evaluation = evaluate(&client, rules, after: span)
        if evaluation.decision.verdicts.contains(.chosen) {
          chosen += 1
          if let outcome, outcome != .snoozed {
            report(
              outcome, of: evaluation.id, after: TimeSpan(microseconds: span.microseconds + 60_000_000), in: &client)
          }
        }
        // Where it cannot be reached, nothing is to be considered again.
        guard outcome?.blocksChannel != true else { break }
        let next = try #require(evaluation.assessment.nextChange, "\(outcome.map { "\($0)" } ?? "no answer")")
        #expect(next > client.now)
        span = TimeSpan(microseconds: next.microseconds - Timestamp.present.microseconds)
      }
      if outcome?.blocksChannel != true { #expect(chosen >= 3, "\(outcome.map { "\($0)" } ?? "no answer"): \(chosen)") }
    }
  }

  /// Who is no longer at that risk is not followed up, also if history has made the difference.
  @Test func itEndsWithTheRisk() {
    let rules = Self.rules()
    var client = client()
    _ = evaluate(&client, rules, after: .seconds(0))
    #expect(client.actionHistory.followUpAt != nil)
    #expect(ActionHistory(encoded: client.actionHistory.encoded()) == client.actionHistory)
    let before = client.actionHistory
    client.summary.lateInvoices = LateInvoices()
    var random = SystemRandomNumberGenerator()
    client.now = .present + .hours(80)
    let evaluation = rules.evaluate(&client, without: .time, decides: false, random: &random)
    #expect(client.actionHistory.followUpAt == nil)
    #expect(!before.isWaitOver(at: client.now, client.actionHistory, evaluation.assessment.level, rules.actions.life))
    #expect(before.isWaitOver(at: client.now, client.actionHistory, .critical, rules.actions.life))
  }

  @Test func othersWaitForAnEvent() {
    for rules in [Self.rules(from: nil), Self.rules(critical: 2)] {
      var client = client()
      let first = evaluate(&client, rules, after: .seconds(0))
      report(.accepted, of: first.id, after: .hours(1), in: &client)
      let second = evaluate(&client, rules, after: .hours(72))
      #expect(second.decision.verdicts == [.coolingDown(actionID: first.id, until: .present + .days(7))])
      #expect(second.assessment.nextChange == nil)
    }
    var client = client()
    #expect(evaluate(&client, Self.rules(from: .high, critical: 2), after: .seconds(0)).assessment.nextChange != nil)
  }
}
