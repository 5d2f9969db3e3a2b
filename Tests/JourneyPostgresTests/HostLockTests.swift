import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

/// The host application locks or deletes rows that the adapter's foreign keys refer to. Its transaction blocks no other
/// client's events and causes no deadlock.
@Suite(.timeLimit(.minutes(5))) struct HostLockTests: CommitTesting {
  private static let fast = Duration.seconds(5)

  @Test(arguments: ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE", "FOR KEY SHARE"])
  func aLockedContactDefersOnlyItsOwnEvents(_ lock: String) async throws {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1"), event("2", of: 1)])
      try await withOpenTransaction("SELECT 1 FROM contacts WHERE id = '\(Self.clients[0])' \(lock)", on: other) {
        let start = ContinuousClock.now
        let result = try await store.commit(EventBatch(events: [event("3"), event("4", of: 1)]))
        #expect(codes(result) == [lock == "FOR UPDATE" ? "deferred" : "stored", "stored"])
        #expect(start.duration(to: .now) < Self.fast)
      }
      let again = codes(try await store.commit(EventBatch(events: [event("3"), event("4", of: 1)])))
      #expect(again == [lock == "FOR UPDATE" ? "stored" : "duplicate", "duplicate"])
    }
  }

  @Test func aLockedOrganisationDefersOnlyItsOwnClients() async throws {
    try await withStore { store, other in
      let (org, client) = (UUID(), UUID())
      try await other.run("INSERT INTO organizations (id, name) VALUES ('\(org)', 'Blau')")
      try await other.run("INSERT INTO contacts (id, org_id, name) VALUES ('\(client)', '\(org)', 'Bob')")
      _ = try await store.commitAll([event("1"), event("2", of: ClientReference(id: client), org: org)])
      let new = ClientReference(externalID: "new", creation: NewClient(name: "New"))
      let events = [
        event("3"), event("4", of: ClientReference(id: client), org: org), event("5", of: new), event("6", of: 1),
      ]
      try await withOpenTransaction("SELECT 1 FROM organizations WHERE id = '\(Self.org)' FOR UPDATE", on: other) {
        let start = ContinuousClock.now
        expect(try await store.commit(EventBatch(events: events)), ["deferred", "stored", "deferred", "deferred"])
        #expect(start.duration(to: .now) < Self.fast)
      }
      expect(try await store.commitAll(events), ["stored", "duplicate", "stored", "stored"])
    }
  }

  @Test func aNewClientGetsAStateAfterItsContactIsUnlocked() async throws {
    try await withStore { store, other in
      try await withOpenTransaction("SELECT 1 FROM contacts WHERE id = '\(Self.clients[0])' FOR UPDATE", on: other) {
        expect(try await store.commitAll([event("1"), event("2", of: 1)]), ["deferred", "stored"])
      }
      expect(try await store.commitAll([event("1")]), ["stored"])
    }
  }

  @Test func aLockedClientFoundByAddressIsNotCreatedAgain()
    async throws
  {
    try await withStore { store, other in
      try await other.run("UPDATE contacts SET email = 'ada@example.com' WHERE id = '\(Self.clients[0])'")
      let byEmail = ClientReference(
        externalID: "e-1", creation: NewClient(name: "Ada", email: "ada@example.com"), email: "ada@example.com")
      try await withOpenTransaction("SELECT 1 FROM contacts WHERE id = '\(Self.clients[0])' FOR UPDATE", on: other) {
        expect(try await store.commitAll([event("1", of: byEmail), event("2", of: 1)]), ["deferred", "stored"])
      }
      expect(try await store.commitAll([event("1", of: byEmail)]), ["stored"])
      #expect(try await other.rows("SELECT count(*) FROM contacts") == ["2"])
      #expect(
        try await other.rows("SELECT client_id FROM client_journey_events WHERE source_event_id = '1'") == [
          "\(Self.clients[0].text)"
        ])
    }
  }

  @Test func clientsBecomeOneOnlyWhileTheHostHoldsNeither() async throws {
    try await withStore { store, other in
      for (id, client) in [("a", Self.clients[0]), ("b", Self.clients[1])] {
        try await other.run(
          "INSERT INTO journey_identities (org_id, source, external_id, client_id) VALUES ('\(Self.org)', 'crm', '\(id)', '\(client)')"
        )
      }
      _ = try await store.commitAll([event("1"), event("2", of: 1)])
      let merging = event("3", of: ClientReference(externalID: "a", merged: ["b"]))
      for held in [
        "SELECT 1 FROM contacts WHERE id = '\(Self.clients[1])' FOR UPDATE",
        "SELECT 1 FROM journey_client_state WHERE client_id = '\(Self.clients[1])' FOR UPDATE",
      ] {
        try await withOpenTransaction(held, on: other) {
          expect(try await store.commitAll([merging]), ["deferred"])
        }
      }
      expect(try await store.commitAll([merging]), ["stored"])
      #expect(
        try await other.rows("SELECT DISTINCT client_id FROM client_journey_events") == ["\(Self.clients[0].text)"])
    }
  }

  @Test func aClientThatTheHostDeletesBlocksNoOther() async throws {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1"), event("2", of: 1)])
      try await withOpenTransaction("DELETE FROM contacts WHERE id = '\(Self.clients[0])'", on: other) {
        expect(try await store.commitAll([event("3"), event("4", of: 1)]), ["deferred", "stored"])
      }
      expect(try await store.commitAll([event("3")]), ["unknown_client"])
      try await withOpenTransaction("DELETE FROM organizations WHERE id = '\(Self.org)'", on: other) {
        expect(try await store.commitAll([event("5", of: 1)]), ["deferred"])
      }
      expect(try await store.commitAll([event("5", of: 1)]), ["unknown_organization"])
    }
  }

  /// The commit sees an old version of the row. The server then waits for the newest version in spite of SKIP LOCKED.
  @Test(arguments: [
    "UPDATE contacts SET name = 'b' WHERE id = '$CLIENT'; SELECT 1 FROM contacts WHERE id = '$CLIENT' FOR UPDATE",
    "UPDATE contacts SET name = 'b' WHERE id = '$CLIENT'; DELETE FROM contacts WHERE id = '$CLIENT'",
    "UPDATE organizations SET name = 'b' WHERE id = '$ORG'; DELETE FROM organizations WHERE id = '$ORG'",
  ])
  func aChangedAndLockedRowCausesOnlyAShortWait(_ statements: String) async throws {
    try await withStore { store, other in
      let (org, client) = (UUID(), UUID())
      try await other.run("INSERT INTO organizations (id, name) VALUES ('\(org)', 'Blau')")
      try await other.run("INSERT INTO contacts (id, org_id, name) VALUES ('\(client)', '\(org)', 'Bob')")
      let held = event("3", of: ClientReference(id: client), org: org)
      _ = try await store.commitAll([event("1"), event("2", of: ClientReference(id: client), org: org)])
      let text = statements.replacing("$CLIENT", with: client.text).replacing("$ORG", with: org.text)
      try await withOpenTransaction(text, on: other) {
        let start = ContinuousClock.now
        do throws(StoreError) {
          let result = try await store.commit(EventBatch(events: [held]))
          #expect(codes(result) == ["deferred"])
        } catch {
          #expect(error.kind == .contended, "\(error)")
        }
        expect(try await store.commit(EventBatch(events: [event("4")])), ["stored"])
        // Without its own lock timeout the commit would wait for 10 s, the session's limit.
        #expect(start.duration(to: .now) < .seconds(8))
      }
    }
  }

  @Test func aClientWhoseOrganisationIsMissingIsAnAnswerNotALoop() async throws {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1")])
      try await other.run("ALTER TABLE contacts DROP CONSTRAINT contacts_org_id_fkey")
      try await other.run(
        "SET session_replication_role = replica; DELETE FROM organizations WHERE id = '\(Self.org)'; SET session_replication_role = origin"
      )
      expect(
        try await store.commitAll([event("2"), event("3", of: 1)]), ["unknown_organization", "unknown_organization"])
    }
  }
}
