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

  private func loaded(_ id: String, to stage: Stage, hoursAgo: Int64 = 0) -> IncomingEvent {
    moved(id, to: stage, hoursAgo: hoursAgo, isBackfill: true)
  }

  private func sweep(_ store: PostgresEventStore) async throws -> OutboxBatch? {
    try await store.evaluateDue(limit: 10, passingOver: PassedOver()).outbox
  }

  @Test func aNewClientGetsNoAction() async throws {
    try await withStores(at: [.seconds(0), .days(3)], rules: Self.rules) { stores, other in
      let first = try await stores[0].commitAll([loaded("1", to: .lead)])
      #expect(first.outbox == nil)
      #expect(try await other.rows(Self.verdicts).first == "withheld")
      #expect(try await other.rows("SELECT redecide FROM journey_client_state") == ["f"])
      #expect(try await sweep(stores[0]) == nil)
      #expect(try await sweep(stores[1]) == nil)
      let live = try await stores[1].commitAll([moved("2", to: .lead)])
      #expect(live.outbox?.actions.count == 1)
    }
  }

  /// What the host wrote, and what a hold has left, is decided although history came in between.
  @Test func whatIsStillToBeDecidedStaysSo() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      _ = try await stores[0].commitAll([loaded("1", to: .billing, hoursAgo: 9)])
      try await other.run(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type)
        VALUES ('\(Self.clients[0])', '\(Self.org)', 'lead', 'called')
        """)
      let second = try await stores[0].commitAll([loaded("2", to: .retention, hoursAgo: 8)])
      #expect(second.outbox == nil)
      let decided = try await sweep(stores[0])
      #expect(decided?.actions.count == 1)
      #expect(try await sweep(stores[0]) == nil, "once")
    }
    // A candidate that has to wait is no reason to forget the mark either.
    var rules = Self.rules
    rules.actions.life?.revokes = false
    try await withStores(rules: rules) { stores, other in
      let first = try #require(try await stores[0].commitAll([moved("1", to: .lead)]).outbox)
      try await stores[0].markPublished([first.id])
      try await other.run("UPDATE journey_client_state SET redecide = true, check_at = now() + interval '1 hour'")
      _ = try await stores[0].commitAll([loaded("2", to: .awaitingFeedback)])
      #expect(try await other.rows(Self.verdicts) == ["chosen", "limited"])
      #expect(try await other.rows("SELECT redecide FROM journey_client_state") == ["t"])
    }
  }

  @Test func itIsNoSignOfLife() {
    let feeds = FeedActivity()
    feeds.hear([loaded("1", to: .lead)])
    #expect(feeds.removeAll().isEmpty)
    feeds.hear([loaded("1", to: .lead), moved("2", to: .lead)])
    #expect(feeds.removeAll().count == 1)
  }
}
