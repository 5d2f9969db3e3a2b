import FoundationEssentials
import Journey
import Testing

/// How earlier actions shape the next decision, and how they end.
@Suite struct ActionHistoryTests {
  private static let rules: DecisionRules = {
    var rules = DecisionRules()
    rules.actions.life = LifeRules()
    return rules
  }()

  /// A lead of whom nothing is heard: e-mail for the stage, then a voice message for the risk.
  private static let lead: ClientSummary = {
    var summary = ClientSummary()
    summary.insert("1", at: .present - .days(40), stage: .lead)
    return summary
  }()

  /// A client with a late invoice, and otherwise at peace.
  private static let late: ClientSummary = {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: .billing) }
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present)])
    return summary
  }()

  private struct Outcome {
    var client: ClientSnapshot
    var evaluation: Evaluation
    var action: UUID? { evaluation.decision.verdicts.contains(.chosen) ? evaluation.id : nil }
    var changes: [ActionState?] { client.actionChanges.map(\.state) }
  }

  private func evaluate(
    _ summary: ClientSummary, _ history: ActionHistory = ActionHistory(), after span: TimeSpan = .seconds(0),
    rules: DecisionRules = Self.rules
  ) -> Outcome {
    var client = ClientSnapshot.test(summary: summary, actionHistory: history, now: .present + span)
    var random = SystemRandomNumberGenerator()
    let evaluation = rules.evaluate(&client, without: .time, random: &random)
    return Outcome(client: client, evaluation: evaluation)
  }

  private func reported(
    _ outcome: ActionOutcome, of decided: Outcome, after span: TimeSpan = .hours(1), until: Timestamp? = nil
  ) -> ActionHistory {
    var history = decided.client.actionHistory, life = ActionLife()
    let report = OutcomeReport(
      actionID: decided.evaluation.id, outcome: outcome, occurredAt: .present + span, until: until, reporter: "w",
      orgID: nil)
    _ = life.apply(report)
    history.apply(report, to: life, .emailOutreach, on: .email, countsContacts: false)
    return history
  }

  @Test func aRepetitionCountsForTheOpenAction() {
    let first = evaluate(Self.late)
    let again = evaluate(Self.late, first.client.actionHistory, after: .hours(1))
    #expect(again.evaluation.decision.verdicts == [.open(actionID: first.evaluation.id, times: 1)])
    #expect(again.client.actionHistory.last[.emailOutreach]?.repeats == 1)
    #expect(again.client.actionHistory.entries.count == 1)
  }

  @Test func anActionWithoutItsCauseIsRevokedOnce() {
    let first = evaluate(Self.late)
    var paid = Self.late
    paid.lateInvoices = LateInvoices()
    let second = evaluate(paid, first.client.actionHistory, after: .hours(1))
    #expect(second.changes == [.revoked])
    #expect(second.client.actionChanges.first?.actionID == first.evaluation.id)
    #expect(second.client.actionChanges.first?.detail == "risk:late_invoices no longer holds")
    #expect(evaluate(paid, second.client.actionHistory, after: .hours(2)).changes == [])
    // The client may have had it all the same, so the cooldown holds.
    let third = evaluate(Self.late, second.client.actionHistory, after: .hours(3))
    #expect(third.action == nil)
    #expect(evaluate(Self.late, third.client.actionHistory, after: .hours(73)).action != nil)
  }

  /// Both stages of a lead ask for an e-mail.
  @Test func whatAnotherCauseAsksForIsNotRevoked() {
    let first = evaluate(Self.lead)
    var qualified = Self.lead
    qualified.insert("2", at: .present - .days(39), stage: .qualifiedLead)
    #expect(evaluate(qualified, first.client.actionHistory, after: .hours(1)).changes == [])
    qualified.insert("3", at: .present - .days(38), stage: .billing)
    #expect(evaluate(qualified, first.client.actionHistory, after: .hours(2)).changes == [.revoked])
  }

  @Test func whatWasRunIsNotRevoked() {
    let first = evaluate(Self.late)
    var paid = Self.late
    paid.lateInvoices = LateInvoices()
    let history = reported(.delivered, of: first)
    #expect(evaluate(paid, history, after: .hours(2)).changes == [])
    var rules = Self.rules
    rules.actions.life?.revokes = false
    #expect(evaluate(paid, first.client.actionHistory, after: .hours(2), rules: rules).changes == [])
  }

  @Test func whatNobodyRunsExpiresAndIsPossibleAgainADayLater() {
    let first = evaluate(Self.late)
    #expect(first.evaluation.assessment.nextChange == .present + .hours(72))
    let second = evaluate(Self.late, first.client.actionHistory, after: .hours(72))
    #expect(second.changes == [.expired])
    #expect(
      second.evaluation.decision.verdicts == [
        .pausing(actionID: first.evaluation.id, after: .expired, until: .present + .hours(96))
      ])
    #expect(evaluate(Self.late, second.client.actionHistory, after: .hours(96)).action != nil)
  }

  @Test func whatNobodyAnswersEndsAndThenTheNextBestIsTried() {
    let first = evaluate(Self.lead)
    let delivered = reported(.delivered, of: first)
    let waiting = evaluate(Self.lead, delivered, after: .hours(80))
    #expect(waiting.changes == [])
    let second = evaluate(Self.lead, waiting.client.actionHistory, after: .days(5))
    #expect(second.changes == [.noResponse])
    #expect(second.evaluation.decision.verdicts.last == .chosen)
    #expect(second.client.actionHistory.last[.sendVoiceMessage]?.actionID == second.evaluation.id)
  }

  @Test func whatTheClientHasRejectedIsPassedOver() {
    let first = evaluate(Self.lead)
    let second = evaluate(Self.lead, reported(.rejected, of: first), after: .hours(2))
    #expect(
      second.evaluation.decision.verdicts == [
        .pausing(actionID: first.evaluation.id, after: .rejected, until: .present + .hours(1) + .days(30)), .chosen,
      ])
  }

  @Test func aChannelThatDoesNotReachTheClientIsPassedOver() {
    let first = evaluate(Self.lead)
    for outcome in [ActionOutcome.bounced, .unsubscribed] {
      let second = evaluate(Self.lead, reported(outcome, of: first), after: .days(400))
      #expect(second.evaluation.decision.verdicts == [.unreachable(actionID: first.evaluation.id), .chosen])
    }
  }

  @Test func growingRisksReplaceAnOpenAction() {
    let first = evaluate(Self.late)
    var worse = Self.late
    for id in ["4", "5"] { worse.insert(id, at: .present, stage: .billing) { $0.isNegative = true } }
    let second = evaluate(worse, first.client.actionHistory, after: .hours(1))
    #expect(second.changes == [.superseded])
    #expect(second.client.actionChanges.first?.detail == "replaced by \(second.evaluation.id.text)")
    #expect(second.action != nil && second.client.actionHistory.entries.count == 1)
  }

  @Test func aSnoozedActionWaitsAndThenIsOpenAgain() {
    let first = evaluate(Self.late)
    let until = Timestamp.present + .days(10)
    let history = reported(.snoozed, of: first, until: until)
    let during = evaluate(Self.late, history, after: .days(9))
    #expect(during.evaluation.decision.verdicts == [.snoozed(actionID: first.evaluation.id, until: until)])
    #expect(during.changes == [] && during.evaluation.assessment.nextChange == until)
    let after = evaluate(Self.late, during.client.actionHistory, after: .days(10))
    #expect(after.evaluation.decision.verdicts == [.open(actionID: first.evaluation.id, times: 1)])
    #expect(evaluate(Self.late, after.client.actionHistory, after: .days(13)).changes == [.expired])
  }

  @Test func withoutALifeNothingEnds() {
    let first = evaluate(Self.late, rules: DecisionRules())
    var paid = Self.late
    paid.lateInvoices = LateInvoices()
    let second = evaluate(paid, first.client.actionHistory, after: .days(30), rules: DecisionRules())
    #expect(second.changes == [] && second.client.actionHistory.last[.emailOutreach]?.trigger == nil)
  }

  /// Storage is bounded, and what ended goes first.
  @Test func theHistoryIsBounded() {
    var history = ActionHistory()
    for kind in ActionKind.allCases {
      for stage in Stage.allCases {
        history.record(
          kind, id: UUID(), at: .present + .hours(Int64(stage.index)), priority: .low, trigger: .stage(stage))
      }
    }
    #expect(history.entries.count == 16)
  }

  /// What a merge has put together is read as one.
  @Test func twoHistoriesInARowAreOne() throws {
    let first = evaluate(Self.late).client.actionHistory
    let bounced = reported(.bounced, of: evaluate(Self.lead))
    let both = try #require(ActionHistory(encoded: first.encoded() + bounced.encoded()))
    #expect(Set(both.entries) == Set(first.entries + bounced.entries))
    #expect(both.blocks == bounced.blocks)
    #expect(ActionHistory(encoded: both.encoded() + first.encoded()) == both)
  }
}
