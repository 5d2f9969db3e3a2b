import FoundationEssentials
import Journey
import Testing

/// How often a client is contacted: each rule forbids what it says, and nothing else.
@Suite struct ContactPolicyTests {
  private struct Outcome {
    var client: ClientSnapshot
    var evaluation: Evaluation
    var history: ActionHistory { client.actionHistory }
    var verdicts: [Decision.Verdict] { evaluation.decision.verdicts }
  }

  private static func rules(_ change: (inout ContactPolicy) -> Void) -> DecisionRules {
    var rules = DecisionRules(), policy = ContactPolicy()
    change(&policy)
    rules.actions.life = LifeRules()
    rules.actions.contact = policy
    rules.risks.lowEngagement = nil
    return rules
  }

  private static let weekly = rules { $0.limits[.email] = ContactPolicy.Limit(most: 1, window: .days(7)) }

  private func limited(_ rule: ContactPolicy.Rule, hours: Int64) -> [Decision.Verdict] {
    [.limited(by: rule, until: .present + .hours(hours))]
  }

  private func summary(_ stage: Stage, lateInvoices: Int = 0) -> ClientSummary {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: stage) }
    if lateInvoices > 0 {
      summary.lateInvoices = LateInvoices(count: lateInvoices, oldest: [.init(id: "in_1", overdueAt: .present)])
    }
    return summary
  }

  private func evaluate(
    _ summary: ClientSummary, _ history: ActionHistory = ActionHistory(), after span: TimeSpan = .seconds(0),
    by rules: DecisionRules
  ) -> Outcome {
    var client = ClientSnapshot.test(summary: summary, actionHistory: history, now: .present + span)
    var random = SystemRandomNumberGenerator()
    let evaluation = rules.evaluate(&client, without: .time, random: &random)
    return Outcome(client: client, evaluation: evaluation)
  }

  private func reported(_ outcomes: ActionOutcome..., of decided: Outcome) -> ActionHistory {
    reported(outcomes, of: decided)
  }

  private func reported(_ outcomes: [ActionOutcome], of decided: Outcome) -> ActionHistory {
    var history = decided.history, life = ActionLife()
    let kind = decided.verdicts.firstIndex(of: .chosen).map { decided.evaluation.assessment.candidates[$0].action }
    for outcome in outcomes {
      let report = OutcomeReport(
        actionID: decided.evaluation.id, outcome: outcome, occurredAt: .present + .hours(1), until: nil, reporter: "w",
        orgID: nil)
      _ = life.apply(report)
      history.apply(report, to: life, kind, on: .email, countsContacts: true)
    }
    return history
  }

  /// An e-mail about an invoice that the client has got, and afterwards a reason for another one.
  @Test func aChannelHasALimit() {
    let first = evaluate(summary(.billing, lateInvoices: 1), by: Self.weekly)
    #expect(first.verdicts == [.chosen])
    let history = reported(.delivered, .accepted, of: first)
    let upsell = summary(.upsellCandidate)
    let second = evaluate(upsell, history, after: .days(2), by: Self.weekly)
    #expect(second.verdicts == limited(.limit, hours: 169))
    #expect(second.evaluation.assessment.nextChange == .present + .hours(169), "it is considered again")
    #expect(evaluate(upsell, second.history, after: .hours(169), by: Self.weekly).verdicts == [.chosen])
    let voiceOnly = Self.rules { $0.limits[.voice] = ContactPolicy.Limit(most: 1, window: .days(7)) }
    #expect(evaluate(upsell, history, after: .days(2), by: voiceOnly).verdicts == [.chosen])
  }

  @Test func twoMayBeAllowed() {
    let rules = Self.rules { $0.limits[.email] = ContactPolicy.Limit(most: 2, window: .days(7), gap: .hours(16)) }
    let first = evaluate(summary(.billing, lateInvoices: 1), by: rules)
    let history = reported(.delivered, .accepted, of: first)
    let early = evaluate(summary(.upsellCandidate), history, after: .hours(2), by: rules)
    #expect(early.verdicts == limited(.gap, hours: 17))
    let second = evaluate(summary(.upsellCandidate), history, after: .hours(17), by: rules)
    #expect(second.verdicts == [.chosen])
    let third = evaluate(
      summary(.awaitingFeedback), reported(.delivered, .accepted, of: second), after: .days(3), by: rules)
    #expect(third.verdicts == limited(.limit, hours: 169))
  }

  @Test func aKindPauses() {
    let rules = Self.rules { $0.pauses[.triggerSatisfactionSurvey] = .days(90) }
    let first = evaluate(summary(.awaitingFeedback), by: rules)
    let history = reported(.delivered, .accepted, of: first)
    let later = evaluate(summary(.awaitingFeedback), history, after: .days(60), by: rules)
    #expect(later.verdicts == limited(.pause, hours: 2161))
    #expect(evaluate(summary(.awaitingFeedback), later.history, after: .hours(2161), by: rules).verdicts == [.chosen])
  }

  @Test func nothingIsOfferedToWhoOwesOrIsUnhappy() {
    let rules = Self.rules { $0.unsuitable[.offerCreditPack] = [.lateInvoices] }
    let outcome = evaluate(summary(.upsellCandidate, lateInvoices: 1), by: rules)
    #expect(outcome.verdicts == [.unsuitable(with: .lateInvoices), .chosen])
    #expect(evaluate(summary(.upsellCandidate), by: rules).verdicts == [.chosen])
    #expect(evaluate(summary(.upsellCandidate, lateInvoices: 1), by: Self.weekly).verdicts.first == .chosen)
  }

  /// What never reached the client leaves the channel free: taken back, expired, failed.
  @Test func whatWasNotRunDoesNotCount() {
    let first = evaluate(summary(.billing, lateInvoices: 1), by: Self.weekly), upsell = summary(.upsellCandidate)
    #expect(evaluate(upsell, first.history, after: .hours(2), by: Self.weekly).verdicts == [.chosen], "revoked")
    let failed = reported(.failed, of: first)
    #expect(evaluate(upsell, failed, after: .hours(2), by: Self.weekly).verdicts == [.chosen])
    let expired = evaluate(summary(.billing, lateInvoices: 1), first.history, after: .days(3), by: Self.weekly)
    #expect(evaluate(upsell, expired.history, after: .hours(73), by: Self.weekly).verdicts == [.chosen])
    // It was run all the same.
    let revoked = evaluate(summary(.billing), first.history, after: .hours(1), by: Self.weekly)
    var life = ActionLife(history: [ActionChange(actionID: first.evaluation.id, state: .revoked, at: .present)])
    let report = OutcomeReport(
      actionID: first.evaluation.id, outcome: .delivered, occurredAt: .present + .hours(2), until: nil, reporter: "w",
      orgID: nil)
    _ = life.apply(report)
    var history = revoked.history
    history.apply(report, to: life, .emailOutreach, on: .email, countsContacts: true)
    #expect(
      evaluate(upsell, history, after: .hours(3), by: Self.weekly).verdicts
        == limited(.limit, hours: 7 * 24 + 2))
  }

  /// It was mailed, the worker died before it could say so, and the client has opened it.
  @Test func whatTheClientHasOpenedCountsAlthoughItFailed() {
    let first = evaluate(summary(.billing, lateInvoices: 1), by: Self.weekly)
    for outcomes in [[ActionOutcome.failed, .opened], [.opened, .failed]] {
      let history = reported(outcomes, of: first)
      let second = evaluate(summary(.upsellCandidate), history, after: .hours(2), by: Self.weekly)
      #expect(second.verdicts == limited(.limit, hours: 7 * 24 + 1))
    }
  }

  /// In whatever order the reports come, the first time counts.
  @Test func whatTheClientDoesLaterMakesNoNewContact() {
    let first = evaluate(summary(.billing, lateInvoices: 1), by: Self.weekly)
    for order in [[0, 1], [1, 0]] {
      var history = first.history, life = ActionLife()
      for index in order {
        let report = OutcomeReport(
          actionID: first.evaluation.id, outcome: [.delivered, .opened][index],
          occurredAt: .present + [.hours(1), .days(3)][index], until: nil, reporter: "w", orgID: nil)
        _ = life.apply(report)
        history.apply(report, to: life, .emailOutreach, on: .email, countsContacts: true)
      }
      let second = evaluate(summary(.upsellCandidate), history, after: .days(4), by: Self.weekly)
      #expect(second.verdicts == limited(.limit, hours: 7 * 24 + 1))
    }
  }

  @Test func anOfferIsTakenBackOnceItIsUnsuitable() {
    let rules = Self.rules { $0.unsuitable[.offerCreditPack] = [.lateInvoices] }
    let first = evaluate(summary(.upsellCandidate), by: rules)
    let second = evaluate(summary(.upsellCandidate, lateInvoices: 1), first.history, after: .hours(1), by: rules)
    #expect(second.client.actionChanges.map(\.state) == [.revoked])
    #expect(second.verdicts == [.unsuitable(with: .lateInvoices), .chosen])
  }

  /// After a split both know the action, one of them as it was before.
  @Test func whatWasRunCountsForMoreThanWhatIsOutOfDate() throws {
    let first = evaluate(summary(.billing, lateInvoices: 1), by: Self.weekly)
    let later = reported([.delivered, .accepted], of: first)
    for bytes in [first.history.encoded() + later.encoded(), later.encoded() + first.history.encoded()] {
      let both = try #require(ActionHistory(encoded: bytes))
      #expect(both.entries.map(\.isRun) == [true] && both.entries.map(\.end?.state) == [.accepted])
    }
  }

  @Test func aMoreUrgentActionTakesTheOpenOnesPlace() {
    let rules = Self.weekly
    let first = evaluate(summary(.billing, lateInvoices: 1), by: rules)
    var worse = summary(.billing, lateInvoices: 1)
    for id in ["4", "5"] { worse.insert(id, at: .present, stage: .billing) { $0.isNegative = true } }
    let second = evaluate(worse, first.history, after: .hours(1), by: rules)
    #expect(second.verdicts.first == .chosen)
    #expect(second.history.contacts.map(\.actionID) == [second.evaluation.id])
  }

  @Test func transactionalKindsKeepToNoLimit() {
    let rules = Self.rules {
      $0.limits[.email] = ContactPolicy.Limit(most: 1, window: .days(7))
      $0.classes[.offerCreditPack] = .transactional
    }
    let first = evaluate(summary(.billing, lateInvoices: 1), by: rules)
    let second = evaluate(
      summary(.upsellCandidate), reported(.delivered, .accepted, of: first), after: .days(1), by: rules)
    #expect(second.verdicts == [.chosen])
    #expect(second.history.contacts.count == 2, "it counts")
  }

  @Test func contactsAreStored() {
    let first = evaluate(summary(.billing, lateInvoices: 1), by: Self.weekly)
    let second = evaluate(
      summary(.upsellCandidate), reported(.delivered, .accepted, of: first), after: .days(2), by: Self.weekly)
    #expect(second.history.reconsiderAt != nil && second.history.contacts.count == 1)
    #expect(ActionHistory(encoded: second.history.encoded()) == second.history)
    // Two of a merge.
    let both = ActionHistory(encoded: first.history.encoded() + second.history.encoded())
    #expect(both?.contacts == second.history.contacts && both?.reconsiderAt == second.history.reconsiderAt)
  }
}
