import FoundationEssentials
import Testing

@testable import Journey

/// History that is loaded later counts like any other event, and leads to no action.
@Suite struct BackfillTests {
  private static let perEvent: DecisionRules = {
    var rules = DecisionRules()
    rules.evaluation = .perEvent
    rules.actions.cooldown = .seconds(0)
    return rules
  }()
  private static let withLife: DecisionRules = {
    var rules = DecisionRules()
    rules.evaluation = .perBatch
    rules.actions.life = LifeRules()
    rules.risks.lowEngagement = nil
    return rules
  }()

  private func incoming(
    _ id: String, _ stage: Stage, hoursAgo: Int64 = 0, isBackfill: Bool = true
  ) -> IncomingEvent {
    let event = JourneyEvent(
      orgID: UUID(), source: "crm", sourceEventID: id, client: ClientReference(id: UUID()), type: "moved",
      stage: stage, occurredAt: .present + .hours(-hoursAgo), metadata: Array("{}".utf8))
    return IncomingEvent(id: UUID(), event: event, signals: Signals(), isBackfill: isBackfill)
  }

  private func evaluate(
    _ client: inout ClientSnapshot, _ events: [IncomingEvent], _ rules: DecisionRules
  ) -> [Evaluation] {
    var random = SystemRandomNumberGenerator()
    return rules.evaluate(&client, taking: events, random: &random)
  }

  @Test func itCountsAndLeadsToNoAction() {
    var client = ClientSnapshot.test(summary: ClientSummary(), now: .present)
    let loaded = evaluate(
      &client, [incoming("1", .billing, hoursAgo: 2), incoming("2", .lead, hoursAgo: 1)], Self.withLife)
    #expect(loaded.count == 1 && client.summary.stage?.stage == .lead)
    #expect(loaded[0].assessment.candidates.first != nil && loaded[0].decision.winner(of: loaded[0].assessment) == nil)
    #expect(loaded[0].decision.verdicts.first == .withheld)
    #expect(client.actionHistory == ActionHistory())
    // What comes afterwards is decided as ever.
    let later = evaluate(&client, [incoming("3", .awaitingFeedback, isBackfill: false)], Self.withLife)
    #expect(later[0].decision.winner(of: later[0].assessment) != nil)
  }

  @Test func aBatchWithANewEventIsDecided() {
    var client = ClientSnapshot.test(summary: ClientSummary(), now: .present)
    let mixed = [incoming("1", .awaitingFeedback, hoursAgo: 2), incoming("2", .lead, hoursAgo: 1, isBackfill: false)]
    #expect(evaluate(&client, mixed, Self.withLife)[0].decision.verdicts.contains(.chosen))
    client = ClientSnapshot.test(summary: ClientSummary(), now: .present)
    let each = evaluate(&client, mixed, Self.perEvent)
    #expect(each.map { $0.decision.verdicts.contains(.chosen) } == [false, true])
  }

  /// What was sent and has lost its cause is taken back all the same, and what waits for the channel is decided soon.
  @Test func whatHasLostItsCauseIsTakenBack() {
    var rules = Self.withLife, policy = ContactPolicy()
    policy.limits[.email] = ContactPolicy.Limit(most: 1, window: .days(7))
    rules.actions.contact = policy
    var client = ClientSnapshot.test(summary: ClientSummary(), now: .present)
    _ = evaluate(&client, [incoming("1", .lead, hoursAgo: 2, isBackfill: false)], rules)
    #expect(client.actionHistory.entries.count { $0.end == nil } == 1)
    client.actionHistory.reconsiderAt = client.now + .days(7)
    client.now = client.now + .hours(1)
    let loaded = evaluate(&client, [incoming("2", .retention, hoursAgo: 1)], rules)
    #expect(client.actionHistory.entries.count { $0.end == nil } == 0)
    #expect(client.actionHistory.reconsiderAt == client.now)
    #expect(loaded[0].assessment.nextChange.map { $0 <= client.now + .seconds(1) } == true)
  }

  /// At night there is nothing to wait for: nobody decides in the morning.
  @Test func itIsWithheldAtNightToo() {
    let zones = TimeZones { _, time in
      ZoneOffsets(periods: [ZoneOffsets.Period(begin: time, offset: .seconds(0))], end: time + .days(1))
    }
    var rules = Self.withLife, policy = ContactPolicy()
    policy.quietHours = QuietHours(begin: .hours(0), end: .hours(23), channels: [.email], zone: "Z", zones: zones)
    rules.actions.contact = policy
    var client = ClientSnapshot.test(summary: ClientSummary(), now: Timestamp(seconds: 1_800_000_000))
    let live = evaluate(&client, [incoming("1", .lead, isBackfill: false)], rules)
    guard case .quiet? = live[0].decision.verdicts.first else {
      Issue.record("\(live[0].decision)")
      return
    }
    #expect(live[0].isDecided && client.actionHistory.reconsiderAt != nil)
    client = ClientSnapshot.test(summary: ClientSummary(), now: Timestamp(seconds: 1_800_000_000))
    let loaded = evaluate(&client, [incoming("1", .lead)], rules)
    #expect(loaded[0].decision.verdicts.first == .withheld && !loaded[0].isDecided)
    #expect(client.actionHistory.reconsiderAt == nil)
  }
}
