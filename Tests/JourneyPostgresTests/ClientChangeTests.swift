import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import TestSupport
import Testing

/// The feed of changes: each change of a client is said once, through the outbox.
@Suite(.timeLimit(.minutes(3))) struct ClientChangeTests: CommitTesting {
  private func data(_ message: ActionMessage) throws -> JSONValue {
    try #require(try JSONDocument(parsing: message.body).root["data"])
  }

  @Test func eachChangeIsToldOnce() async throws {
    try await withStores(followsChanges: true) { stores, other in
      let first = try #require(try await stores[0].commitAll([event("1")]).outbox)
      let changes = first.actions.filter { $0.kind == .clientChange }
      #expect(changes.map(\.routingKey) == ["billing.low"])
      let said = try data(changes[0])
      #expect(said["changes"]?["stage"]?["to"]?.string == "billing")
      #expect(said["changes"]?["stage"]?["from"] == nil)
      #expect(said["changes"]?["nextAction"]?["to"]?.string == "send_voice_message")
      #expect(said["cause"]?["id"]?.string == "1")
      // The same outcome again changes nothing.
      #expect(try await stores[0].commitAll([event("2")]).outbox == nil)
      // Three signs of life end the only risk, and with it the recommendation.
      let third = try #require(try await stores[0].commitAll([event("3")]).outbox)
      let ended = try data(try #require(third.actions.first { $0.kind == .clientChange }))
      #expect(ended["changes"]?["nextAction"]?["from"]?.string == "send_voice_message")
      #expect(ended["changes"]?["nextAction"]?["to"] == nil && ended["changes"]?["stage"] == nil)
    }
  }

  @Test func whatACrashLeavesBehindIsPublishedByAnother() async throws {
    try await withStores(at: [.seconds(0), .seconds(0)], followsChanges: true) { stores, other in
      let first = try #require(try await stores[0].commitAll([event("1"), event("2", of: 1)]).outbox)
      try await other.run("UPDATE journey_outbox SET instance = 4711, next_attempt_at = now()")
      let left = try await stores[1].claimAbandoned(limit: 100).flatMap(\.actions)
      #expect(Set(left.map(\.id)) == Set(first.actions.map(\.id)))
      #expect(
        Set(left.map { String(decoding: $0.body, as: UTF8.self) })
          == Set(first.actions.map { String(decoding: $0.body, as: UTF8.self) }))
      // What no exchange takes waits in a batch of its own.
      let change = try #require(first.actions.first { $0.kind == .clientChange })
      try await stores[1].release(ReleasedActions(failed: [change.id], because: "no exchange"), of: first.id)
      #expect(try await stores[1].unpublished(of: first.actions.map(\.id)) == [change.id])
      try await other.run("UPDATE journey_outbox SET next_attempt_at = now() WHERE confirmed_at IS NULL")
      #expect(try await stores[0].claimAbandoned(limit: 100).flatMap(\.actions).map(\.id) == [change.id])
      // They leave with their batch.
      try await other.run(
        """
        UPDATE journey_outbox SET confirmed_at = now() - interval '8 days';
        UPDATE journey_client_changes SET outbox_id = '00000000-0000-7000-8000-000000000001';
        UPDATE journey_outbox SET id = '00000000-0000-7000-8000-000000000001' WHERE id = (SELECT min(id::text)::uuid FROM journey_outbox)
        """)
      #expect(try await stores[0].forgetPublished(limit: 10) >= 1)
      #expect(try await other.rows("SELECT count(*) FROM journey_client_changes") == ["0"])
    }
  }

  @Test func withoutTheFeedNothingIsRecorded() async throws {
    try await withStores { stores, other in
      _ = try await stores[0].commitAll([event("1")])
      #expect(try await other.rows("SELECT count(*) FROM journey_client_changes") == ["0"])
      #expect(try await other.rows("SELECT count(next_action) FROM journey_client_state") == ["0"])
    }
  }
}
