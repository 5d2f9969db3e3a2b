import FoundationEssentials
import Journey
import PostgresClient
import Testing

@testable import JourneyPostgres
@testable import TestSupport

/// History that is loaded leads to no action, and hides no decision that is still to be made.
@Suite(.timeLimit(.minutes(5))) struct BackfillStoreTests: CommitTesting {
  private static let rules: DecisionRules = {
    var rules = DecisionRules(), policy = ContactPolicy()
    policy.limits[.email] = ContactPolicy.Limit(most: 1, window: .days(7), gap: .hours(16))
    rules.actions.life = LifeRules()
    rules.actions.contact = policy
    rules.risks.lowEngagement = nil
    rules.evaluatesOverTime = true
    return rules
  }()
  private static let verdicts =
    "SELECT c->>'verdict' FROM client_journey_scores s, json_array_elements(s.explanation->'candidates') c ORDER BY s.generated_at"
  private static let actions = "SELECT action FROM journey_actions ORDER BY decided_at"

  private func moved(
    _ id: String, to stage: Stage, hoursAgo: Int64 = 0, isBackfill: Bool = true
  ) -> IncomingEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let event = JourneyEvent(
      orgID: Self.org, source: "crm", sourceEventID: id, client: ClientReference(id: Self.clients[0]), type: "moved",
      stage: stage, occurredAt: now + .hours(-hoursAgo), metadata: Array("{}".utf8))
    return IncomingEvent(
      id: UUID.v7(at: now, using: &random), event: event, signals: Self.signals(of: event), isBackfill: isBackfill)
  }

  private func sweep(_ store: PostgresEventStore) async throws -> OutboxBatch? {
    try await store.evaluateDue(limit: 10, passingOver: PassedOver()).outbox
  }

  @Test func aNewClientGetsNoAction() async throws {
    try await withStores(at: [.seconds(0), .days(3)], rules: Self.rules) { stores, other in
      let loaded = try await stores[0].commitAll([moved("1", to: .lead)])
      #expect(loaded.outbox == nil)
      #expect(try await other.rows(Self.verdicts).first == "withheld")
      #expect(try await other.rows("SELECT redecide FROM journey_client_state") == ["f"])
      #expect(try await sweep(stores[0]) == nil)
      #expect(try await sweep(stores[1]) == nil)
      let live = try await stores[1].commitAll([moved("2", to: .lead, isBackfill: false)])
      #expect(live.outbox?.actions.count == 1)
    }
  }

  /// What the host wrote, and what a hold has left, is decided although history came in between.
  @Test func whatIsStillToBeDecidedStaysSo() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      _ = try await stores[0].commitAll([moved("1", to: .billing, hoursAgo: 9)])
      try await other.run(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type)
        VALUES ('\(Self.clients[0])', '\(Self.org)', 'lead', 'called')
        """)
      let loaded = try await stores[0].commitAll([moved("2", to: .retention, hoursAgo: 8)])
      #expect(loaded.outbox == nil)
      let decided = try await sweep(stores[0])
      #expect(decided?.actions.count == 1)
      #expect(try await sweep(stores[0]) == nil, "once")
    }
    // A candidate that has to wait is no reason to forget the mark either.
    try await withStores(rules: Self.rules) { stores, other in
      let first = try #require(try await stores[0].commitAll([moved("1", to: .lead, isBackfill: false)]).outbox)
      try await stores[0].markPublished([first.id])
      try await other.run("UPDATE journey_client_state SET redecide = true, check_at = now() + interval '1 hour'")
      _ = try await stores[0].commitAll([moved("2", to: .awaitingFeedback)])
      #expect(try await other.rows("SELECT redecide FROM journey_client_state") == ["t"])
    }
  }

  @Test func itIsNoSignOfLife() {
    let feeds = FeedActivity()
    feeds.hear([moved("1", to: .lead)])
    #expect(feeds.removeAll().isEmpty)
    feeds.hear([moved("1", to: .lead), moved("2", to: .lead, isBackfill: false)])
    #expect(feeds.removeAll().count == 1)
  }
}
