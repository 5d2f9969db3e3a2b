import Foundation
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres
@testable import TestSupport

/// Limits on contacts hold in the database, and what had to wait is decided again.
@Suite(.timeLimit(.minutes(5))) struct ContactPolicyStoreTests: CommitTesting {
  private static let rules: DecisionRules = {
    var rules = DecisionRules(), policy = ContactPolicy()
    policy.limits[.email] = ContactPolicy.Limit(most: 1, window: .days(7), gap: .hours(16))
    rules.actions.life = LifeRules()
    rules.actions.contact = policy
    rules.actions.cooldown = .seconds(0)
    rules.risks.lowEngagement = nil
    return rules
  }()

  private func delivered(_ action: UUID) -> IncomingEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let report = OutcomeReport(
      actionID: action, outcome: .accepted, occurredAt: now, reporter: "worker:w", orgID: Self.org)
    let event = JourneyEvent(
      orgID: Self.org, source: OutcomeReport.source, sourceEventID: "\(action)/accepted",
      client: ClientReference(externalID: action.text), type: "action_accepted", stage: nil, occurredAt: now,
      metadata: Array("{}".utf8))
    return IncomingEvent(id: UUID.v7(at: now, using: &random), event: event, signals: Signals(), report: report)
  }

  @Test func whatHadToWaitIsDecidedAgain() async throws {
    try await withStores(at: [.seconds(0), .days(6), .hours(7 * 24 + 1)], rules: Self.rules) { stores, other in
      let first = try #require(try await stores[0].commitAll([moved("1", to: .lead)]).outbox)
      try await stores[0].markPublished([first.id])
      expect(try await stores[0].commitAll([delivered(first.actions[0].id)]), ["stored"])
      #expect(try await stores[0].commitAll([moved("2", to: .upsellCandidate)]).outbox == nil)
      let verdict = "SELECT explanation->'candidates'->0->>'verdict' FROM client_journey_scores ORDER BY generated_at"
      #expect(try await other.rows(verdict) == ["chosen", "limited"])
      #expect(try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).outbox == nil)
      let later = try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(later.outbox?.actions.count == 1)
      #expect(
        try await other.rows("SELECT action FROM journey_actions ORDER BY decided_at DESC LIMIT 1") == [
          "offer_credit_pack"
        ])
      #expect(try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver()).outbox == nil, "once")
    }
  }

  /// The contact's zone comes before its organisation's.
  @Test func whatComesAtNightWaitsForTheMorning() async throws {
    let now = SystemClock().now(), day = TimeSpan.days(1).microseconds
    /// Zones in which it is a full hour now.
    let zones = TimeZones { name, _ in
      guard let hour = ["Night": Int64(23), "Day": 12][name] else { return nil }
      let offset = TimeSpan(microseconds: TimeSpan.hours(hour).microseconds - now.microseconds % day)
      return ZoneOffsets(periods: [ZoneOffsets.Period(begin: now - .days(9), offset: offset)], end: now + .days(9))
    }
    var rules = Self.rules
    rules.actions.contact?.quietHours = QuietHours(
      begin: .hours(21), end: .hours(8), channels: [.email], zone: "Day", zones: zones)
    try await withStores(at: [.seconds(0), .hours(8), .hours(10)], rules: rules) { stores, other in
      try await other.run(
        """
        UPDATE organizations SET time_zone = 'Night';
        UPDATE contacts SET time_zone = 'Day' WHERE id = '\(Self.clients[1])'
        """)
      let outbox = try #require(
        try await stores[0].commitAll([moved("1", to: .lead), moved("2", to: .lead, of: 1)]).outbox)
      try await stores[0].markPublished([outbox.id])
      let actions = "SELECT client_id FROM journey_actions ORDER BY decided_at"
      #expect(try await other.rows(actions) == [Self.clients[1].text])
      let verdicts = """
        SELECT explanation->'candidates'->0->>'verdict' FROM client_journey_scores
        ORDER BY client_id = '\(Self.clients[1])'
        """
      #expect(try await other.rows(verdicts) == ["quiet_hours", "chosen"])
      #expect(try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).outbox == nil)
      #expect(try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver()).outbox?.actions.count == 1)
      #expect(try await other.rows(actions) == [Self.clients[1].text, Self.clients[0].text])
      #expect(try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver()).outbox == nil, "once")
    }
  }

  /// The action that it waits for has expired without having been run.
  @Test func aChannelThatBecomesFreeIsUsed() async throws {
    var rules = Self.rules
    rules.actions.life?.revokes = false
    try await withStores(at: [.seconds(0), .hours(73)], rules: rules) { stores, _ in
      let first = try #require(try await stores[0].commitAll([moved("1", to: .lead)]).outbox)
      try await stores[0].markPublished([first.id])
      #expect(try await stores[0].commitAll([moved("2", to: .awaitingFeedback)]).outbox == nil)
      #expect(try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).outbox?.actions.count == 1)
    }
  }

  /// Rounds of each test below; the long form has 10,000.
  private static let rounds = ProcessInfo.processInfo.environment["JOURNEY_CONTACT_ROUNDS"].flatMap(Int.init) ?? 50

  /// Instances that decide at the same moment, each with a reason of its own, send one of the actions.
  @Test(.timeLimit(.minutes(60)), arguments: [2, 3])
  func instancesKeepTheLimitTogether(_ instances: Int) async throws {
    // Nothing is taken back, so all reasons go on.
    var rules = Self.rules
    rules.actions.life?.revokes = false
    let stages = [Stage.lead, .awaitingFeedback, .upsellCandidate]
    try await withStores(rules: Array(repeating: rules, count: instances)) { stores, other in
      for round in 0..<Self.rounds {
        let batches = try await withThrowingTaskGroup { group in
          for (number, store) in stores.enumerated() {
            group.addTask {
              try await store.commitAll([
                moved("\(number)a\(round)", to: stages[number]), moved("\(number)b\(round)", to: stages[number], of: 1),
              ])
            }
          }
          return try await group.reduce(into: []) { $0.append($1) }
        }
        for batch in batches {
          for action in batch.outbox?.actions ?? [] {
            expect(try await stores[0].commitAll([delivered(action.id)]), ["stored"])
          }
        }
        let sent = try await other.rows(
          "SELECT count(*) FROM journey_actions WHERE channel = 'email' AND state = 'accepted' GROUP BY client_id")
        #expect(sent == ["1", "1"], "round \(round)")
        guard sent == ["1", "1"] else { return }
        try await other.run(
          """
          UPDATE journey_client_state SET outreach = ''; DELETE FROM journey_action_states;
          TRUNCATE client_journey_scores, journey_outbox CASCADE
          """)
      }
    }
  }
}
