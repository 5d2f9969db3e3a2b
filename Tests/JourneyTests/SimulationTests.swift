import FoundationEssentials
import Journey
import Testing

/// What changed rules would have done: the replay of stored events under two sets of rules.
@Suite struct SimulationTests {
  private static let begin = Timestamp.present + .days(-30)

  private func replay(
    _ events: [JourneyEvent], _ changed: DecisionRules, current: DecisionRules = DecisionRules(),
    client: ClientSnapshot = .test()
  ) -> SimulatedClient {
    let simulation = Simulation(current: current, changed: changed, begin: Self.begin, end: .present)
    var replay = simulation.replay(of: client)
    for event in events.sorted(by: { $0.stamp < $1.stamp }) { replay.take(event) }
    return replay.finish()
  }

  private func event(
    _ type: String, daysAgo: Int64, stage: Stage? = nil, _ metadata: String = "{}", id: String? = nil
  ) -> JourneyEvent {
    JourneyEvent(
      orgID: UUID(), source: "crm", sourceEventID: id ?? "\(type)-\(daysAgo)",
      client: ClientReference(externalID: "c"), type: type, stage: stage, occurredAt: .present + .days(-daysAgo),
      metadata: Array(metadata.utf8))
  }

  /// A retained client that is busy: nothing is to be done.
  private var busy: [JourneyEvent] {
    [event("subscription_renewed", daysAgo: 40, stage: .retention)]
      + [12, 11, 10].map { event("logged_in", daysAgo: $0) }
  }

  @Test func aRiskThatOnlyTheChangedRulesFindIsTheReason() throws {
    var changed = DecisionRules()
    changed.risks.highTickets?.tickets = 2
    changed.actions.byRisk.append(.init(.highSupportTickets, .init(.conciergePersonalIntervention)))
    let result = replay(
      busy + [event("ticket_opened", daysAgo: 5), event("ticket_opened", daysAgo: 3)], changed)
    #expect(result.events == 5)
    let difference = try #require(result.difference)
    #expect(difference.at == Timestamp.present + .days(-3))
    #expect(difference.current.action == nil && difference.changed.action == .conciergePersonalIntervention)
    let reasons: [SimulatedDifference.Reason] = [
      .risk(.highSupportTickets, isInChanged: true), .candidate(.conciergePersonalIntervention, isInChanged: true),
    ]
    #expect(difference.reasons == reasons)
    #expect(result.changed[.conciergePersonalIntervention] == 1)
    #expect(result.current[.conciergePersonalIntervention] == nil)
  }

  @Test func aVerdictOfTheContactPolicyIsTheReason() throws {
    var current = DecisionRules()
    current.actions.life = LifeRules()
    var changed = current, policy = ContactPolicy()
    policy.limits[.email] = .init(most: 1, window: .days(20))
    changed.actions.contact = policy
    let events =
      busy + [
        event("survey_sent", daysAgo: 9, stage: .awaitingFeedback),
        event("usage_high", daysAgo: 8, stage: .upsellCandidate),
      ]
    // The survey is not run, so the offer takes nobody's place: it is revoked, and its channel free.
    #expect(replay(events, changed, current: current).difference == nil)
    changed.actions.life?.revokes = false
    let difference = try #require(replay(events, changed, current: current).difference)
    #expect(difference.at == Timestamp.present + .days(-8))
    #expect(difference.current.action == .offerCreditPack && difference.changed.action == nil)
    #expect(difference.reasons == [SimulatedDifference.Reason.verdict(.offerCreditPack)])
  }

  /// What is due at night is decided in the morning, by time alone.
  @Test func whatWaitsIsDecidedWhenTheWaitIsOver() throws {
    var current = DecisionRules()
    current.actions.life = LifeRules()
    var changed = current, policy = ContactPolicy()
    let utc = ZoneOffsets(
      periods: [.init(begin: .present + .days(-99), offset: .seconds(0))], end: .present + .days(99))
    policy.quietHours = QuietHours(
      begin: .hours(9), end: .hours(11), channels: [.email], zone: "UTC", zones: TimeZones { _, _ in utc })
    changed.actions.contact = policy
    // At 10:00.
    let result = replay(busy + [event("survey_sent", daysAgo: 9, stage: .awaitingFeedback)], changed, current: current)
    #expect(result.current[.triggerSatisfactionSurvey] == 1 && result.changed == result.current)
    let difference = try #require(result.difference)
    #expect(difference.at == Timestamp.present + .days(-9) && difference.changed.action == nil)
    #expect(difference.reasons == [SimulatedDifference.Reason.verdict(.triggerSatisfactionSurvey)])
  }

  /// Twenty days after its last events the client counts as silent, and thirty days by the current rules.
  @Test func whatTimeChangesIsEvaluatedAtItsTime() throws {
    var changed = DecisionRules()
    changed.risks.lowEngagement?.window = .days(8)
    let result = replay(busy, changed)
    let difference = try #require(result.difference)
    let silent = Timestamp.present + .days(-4) + .microsecond
    #expect(difference.at == silent)
    #expect(difference.changed.action == .sendVoiceMessage && difference.current.action == nil)
    #expect(difference.reasons.first == .risk(.lowEngagement, isInChanged: true))
    changed.evaluatesOverTime = false
    #expect(replay(busy, changed).difference == nil)
  }

  /// An action that ran out is not recommended again while the outcome stays the same, as the sweep does it.
  @Test func whatHasRunOutIsNotRepeatedByItself() {
    var rules = DecisionRules()
    rules.actions.life = LifeRules()
    let result = replay([event("survey_sent", daysAgo: 20, stage: .onboarding)], rules, current: rules)
    #expect(result.current[.scheduleMeeting] == 1 && result.difference == nil)
  }

  @Test func eventsBeforeTheBeginningOnlyBuildTheState() {
    let old = [
      event("invoice_overdue", daysAgo: 50, stage: .billing, #"{"invoiceId":"in_1"}"#),
      event("invoice_overdue", daysAgo: 49, stage: .billing, #"{"invoiceId":"in_2"}"#),
    ]
    let before = replay(old, DecisionRules())
    #expect(before.events == 0 && before.current.isEmpty)
    let paid = event("invoice_paid", daysAgo: 9, stage: .billing, #"{"invoiceId":"in_1"}"#)
    let after = replay(busy + old + [paid], DecisionRules())
    #expect(after.current[.emailOutreach] == 1, "the other invoice is late")
    let all = replay(
      busy + old + [paid, event("invoice_paid", daysAgo: 13, #"{"invoiceId":"in_2"}"#)], DecisionRules())
    #expect(all.current[.emailOutreach] == 1, "late until the second payment, four days later")
  }

  @Test func anEventOfTheFutureCountsAtTheEnd() {
    let result = replay([event("contract_signed", daysAgo: -3, stage: .onboarding)], DecisionRules())
    #expect(result.events == 1 && result.current[.scheduleMeeting] == 1)
  }

  /// Under the same rules nothing differs; and event by event it is what `evaluate` says.
  @Test(arguments: propertySeeds)
  func theSameRulesMakeNoDifference(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var silent = DecisionRules(), lively = DecisionRules()
    silent.evaluatesOverTime = false
    lively.actions.life = LifeRules()
    lively.actions.contact = ContactPolicy()
    lively.actions.contact?.limits[.email] = .init(most: 1, window: .days(7), gap: .hours(16))
    for _ in 0..<10 {
      let events = Self.randomEvents(using: &random)
      for rules in [lively, silent, .literal] {
        let result = replay(events, rules, current: rules)
        #expect(result.difference == nil && result.current == result.changed)
      }
      #expect(replay(events, silent).changed == reference(events, silent))
    }
  }

  // MARK: Helpers

  private static func randomEvents(using random: inout SeededRandom) -> [JourneyEvent] {
    let types = ["ticket_opened", "logged_in", "invoice_overdue", "invoice_paid", "milestone_delayed", "survey_sent"]
    return (0..<Int.random(in: 1...30, using: &random)).map { number in
      let mood = random.chance(0.3) ? #","sentiment":"negative""# : ""
      return JourneyEvent(
        orgID: UUID(), source: random.pick(["crm", "billing"]), sourceEventID: "e\(number)",
        client: ClientReference(externalID: "c"), type: random.pick(types),
        stage: random.chance(0.4) ? random.pick(Stage.allCases) : nil,
        // All apart, so that each is a batch of its own.
        occurredAt: .present + .seconds(-Int64.random(in: 0...3_000_000, using: &random) * 2 - Int64(number) * 7),
        metadata: Array(#"{"invoiceId":"in_\#(Int.random(in: 0...3, using: &random))"\#(mood)}"#.utf8))
    }
  }

  /// The same without time, written out.
  private func reference(_ events: [JourneyEvent], _ rules: DecisionRules) -> [ActionKind: Int] {
    let reader = SignalReader(rules.signals)
    var client = ClientSnapshot.test(), invoices = InvoiceRows(), counts: [ActionKind: Int] = [:]
    var random = SystemRandomNumberGenerator()
    for event in events.sorted(by: { $0.stamp < $1.stamp }) {
      guard let metadata = try? JSONDocument(parsing: event.metadata).root else { continue }
      let signals = reader.signals(
        type: event.type, stage: event.stage, actor: nil, sourceEventID: event.sourceEventID, metadata: metadata)
      invoices.apply(HistoryEvent(stamp: event.stamp, stage: event.stage, signals: signals))
      client.lateInvoices = invoices.late
      client.now = event.occurredAt
      let isBefore = event.occurredAt < Self.begin
      let incoming = IncomingEvent(id: UUID(), event: event, signals: signals, isBackfill: isBefore)
      for evaluation in rules.evaluate(&client, taking: [incoming], random: &random) {
        guard let winner = evaluation.decision.winner(of: evaluation.assessment) else { continue }
        counts[winner.action, default: 0] += 1
      }
    }
    return counts
  }
}
