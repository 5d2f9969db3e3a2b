import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

/// Batch commits beside other transactions, and with duplicate events.
@Suite struct CommitTests: CommitTesting {
  @Test func anEventThatIsThereAlreadyOrComesTwiceIsStoredOnce() async throws {
    try await withStore { store, other in
      let first = try await store.commitAll([event("b"), event("a"), event("b", of: 1), event("a")])
      #expect(codes(first) == ["stored", "stored", "duplicate", "duplicate"])
      // Equivalent in Unicode, but different bytes.
      let second = try await store.commit(
        EventBatch(events: [event("a"), event("\u{e9}"), event("e\u{301}"), event("b", of: 1), event("\u{e9}")]))
      #expect(codes(second) == ["duplicate", "stored", "stored", "duplicate", "duplicate"])
      #expect(
        try await other.rows("SELECT count(*), count(DISTINCT source_event_id) FROM client_journey_events") == ["4|4"])
    }
  }

  @Test
  func
    `an event of a client without a state is left for another batch, and holds up none of this one`()
    async throws
  {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1")])
      let events = [
        event("2"), event("3", of: 1), event("4", of: ClientReference(externalID: "nobody")), event("5", of: 1),
      ]
      expect(try await store.commit(EventBatch(events: events)), ["stored", "met", "unknown_client", "met"])
      expect(try await store.commit(EventBatch(events: events)), ["duplicate", "stored", "unknown_client", "stored"])
      #expect(try await other.rows("SELECT count(*) FROM client_journey_events") == ["4"])
    }
  }

  @Test func aClientWhoseEvaluationFailsIsRetriedAlone() async throws {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1")])
      try await other.run("REVOKE INSERT ON journey_client_state FROM journey_adapter")
      expect(try await store.commit(EventBatch(events: [event("2"), event("3", of: 1)])), ["stored", "deferred"])
      do throws(StoreError) {
        _ = try await store.commit(EventBatch(events: [event("3", of: 1)]))
        Issue.record("a state was added without the right to")
      } catch {
        #expect(error.kind == .permanent, "\(error)")
      }
      try await other.run("GRANT INSERT ON journey_client_state TO journey_adapter")
      expect(try await store.commitAll([event("3", of: 1)]), ["stored"])
    }
  }

  @Test(.timeLimit(.minutes(5)))
  func aCommitDoesNotWaitForAClientThatTheHostIsWriting() async throws {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1")])
      let insert = """
        INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, occurred_at)
        VALUES (gen_random_uuid(), '\(Self.clients[1])', '\(Self.org)', 'retention', 'renewed', now() + interval '1 hour')
        """
      try await withOpenTransaction(insert, on: other) {
        let result = try await store.commit(EventBatch(events: [event("2"), event("3", of: 1)]))
        #expect(codes(result) == ["stored", "deferred"])
      }
      expect(try await store.commit(EventBatch(events: [event("3", of: 1)])), ["stored"])
      #expect(
        try await other.rows("SELECT stage FROM journey_client_state WHERE client_id = '\(Self.clients[1])'") == [
          "retention"
        ])
    }
  }

  @Test(.timeLimit(.minutes(5))) func aLockedClientIsSkipped() async throws {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1"), event("2", of: 1)])
      let lock = "SELECT 1 FROM journey_client_state WHERE client_id = '\(Self.clients[0])' FOR UPDATE"
      let events = [event("3"), event("4", of: 1), event("1")]
      try await withOpenTransaction(lock, on: other) {
        expect(try await store.commit(EventBatch(events: events)), ["deferred", "stored", "deferred"])
      }
      expect(try await store.commit(EventBatch(events: events)), ["stored", "duplicate", "duplicate"])
    }
  }

  @Test(.timeLimit(.minutes(5)))
  func aConcurrentStoreForAnotherClientDoesNotStoreAnEventTwice() async throws {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1"), event("2", of: 1)])
      let insert = """
        INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, source, source_event_id)
        VALUES (gen_random_uuid(), '\(Self.clients[1])', '\(Self.org)', 'billing', 'note_added', 'crm', '3')
        """
      let batch = EventBatch(events: [event("3"), event("4")])
      try await withTransaction(insert, on: other) {
        do throws(StoreError) {
          _ = try await store.commit(batch)
          Issue.record("the event was stored twice")
        } catch {
          #expect(error.kind == .transient, "\(error)")
        }
      }
      let again = try await store.commit(batch)
      #expect(codes(again) == ["duplicate", "stored"])
    }
  }

  @Test(.timeLimit(.minutes(5)))
  func anUncommittedEventOfTheHostIsPartOfTheFirstEvaluation() async throws {
    try await withStore { store, other in
      let insert = """
        INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, occurred_at)
        VALUES (gen_random_uuid(), '\(Self.clients[0])', '\(Self.org)', 'retention', 'renewed', now() + interval '1 hour')
        """
      try await withOpenTransaction(insert, on: other) {
        expect(try await store.commitAll([event("1")]), ["deferred"])
      }
      expect(try await store.commitAll([event("1")]), ["stored"])
      #expect(
        try await other.rows("SELECT stage FROM journey_client_state WHERE client_id = '\(Self.clients[0])'") == [
          "retention"
        ])
    }
  }

  @Test func hostColumnsMayHaveAnyTextOrNumericType() async throws {
    try await withStore { store, other in
      try await other.run(
        """
        CREATE EXTENSION citext;
        CREATE DOMAIN title AS varchar(80);
        ALTER TABLE contacts ALTER email TYPE citext, ALTER name TYPE title, ALTER phone TYPE varchar(20), ALTER ai_score TYPE int;
        UPDATE contacts SET email = 'Ada@Example.com', phone = '1', ai_score = 70 WHERE id = '\(Self.clients[0])'
        """)
      let byEmail = ClientReference(
        externalID: "e", creation: NewClient(name: "Ada", email: "ada@example.com", phone: "2"),
        email: "ada@example.com")
      let new = ClientReference(externalID: "n", creation: NewClient(name: "Bo", email: "bo@example.com", phone: "3"))
      expect(
        try await store.commitAll([event("1", of: byEmail), event("2", of: new), event("3")]),
        ["stored", "stored", "stored"])
      try await other.run("UPDATE journey_outbox SET instance = NULL")
      #expect(try await store.claimAbandoned(limit: 10).count >= 1)
      #expect(try await other.rows("SELECT count(*) FROM contacts") == ["3"])
    }
  }

  @Test
  func everyKindOfReferenceFindsTheRightClient()
    async throws
  {
    try await withStore { store, other in
      let (foreignOrg, foreignClient) = (UUID(), UUID())
      try await other.run("INSERT INTO organizations (id, name) VALUES ('\(foreignOrg)', 'Blau')")
      try await other.run("INSERT INTO contacts (id, org_id, name) VALUES ('\(foreignClient)', '\(foreignOrg)', 'Bob')")
      for (org, id, client) in [
        (Self.org, "crm-0", Self.clients[0]), (Self.org, "crm-1", Self.clients[1]),
        (foreignOrg, "crm-0", foreignClient),
      ] {
        try await other.run(
          "INSERT INTO journey_identities (org_id, source, external_id, client_id) VALUES ('\(org)', 'crm', '\(id)', '\(client)')"
        )
      }
      func batch(_ round: Int) -> [IncomingEvent] {
        [
          event("\(round)a"), event("\(round)b", of: ClientReference(externalID: "crm-0")),
          event("\(round)c", of: ClientReference(externalID: "crm-1")),
          event("\(round)d", of: ClientReference(externalID: "crm-0"), org: foreignOrg),
          event("\(round)e", of: ClientReference(id: foreignClient), org: foreignOrg),
          // The two references before this one lock its client.
          event("\(round)f", of: ClientReference(id: foreignClient)),
          event("\(round)g", of: ClientReference(id: Self.clients[0]), org: foreignOrg),
          event("\(round)h", of: ClientReference(externalID: "nobody")),
          // A UUID that is only the source's external id.
          event("\(round)i", of: ClientReference(id: UUID(), externalID: "crm-1")),
          event("\(round)j", of: ClientReference(id: foreignClient, externalID: "crm-1")),
        ]
      }
      // New clients in the first round, known ones in the second.
      for round in 1...2 {
        let result = try await store.commitAll(batch(round))
        #expect(
          codes(result)
            == [
              "stored", "stored", "stored", "stored", "stored", "foreign_client", "foreign_client", "unknown_client",
              "stored", "stored",
            ])
      }
      let wanted: [(UUID, UUID, Int)] = [
        (Self.clients[0], Self.org, 4), (Self.clients[1], Self.org, 6), (foreignClient, foreignOrg, 4),
      ]
      for (client, org, count) in wanted {
        let stored = try await other.rows(
          "SELECT org_id, count(*) FROM client_journey_events WHERE client_id = '\(client)' GROUP BY org_id")
        #expect(stored == ["\(org.uuidString.lowercased())|\(count)"])
      }
    }
  }
}
