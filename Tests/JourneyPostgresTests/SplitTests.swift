import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

@testable import TestSupport

/// Merges that are undone: what goes back, and what may merge the two again.
@Suite struct SplitTests: CommitTesting {
  private static let owners = "SELECT source_event_id, client_id FROM client_journey_events ORDER BY 1"

  private func split(
    _ client: UUID, _ other: PostgresWorker, org: UUID = CommitFixture.org, keepsApart: Bool = true,
    allowsPart: Bool = false, isRehearsal: Bool = false
  ) async throws -> SplitOutcome {
    try await IdentityRepository(worker: other, actor: "test").split(
      orgID: org, client: client, keepsApart: keepsApart, allowsPart: allowsPart, why: "test", isRehearsal: isRehearsal)
  }

  private func merging(_ id: String, _ first: Int, with other: String) -> IncomingEvent {
    event(id, of: ClientReference(id: Self.clients[first], merged: [other]))
  }

  /// An event may name a contact by its own id: then this contact is merged, whether or not the source knows it.
  @Test func aMergeNamesAContactByItsOwnID() async throws {
    try await withStore { store, other in
      expect(try await store.commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      try await store.deliver([merging("m", 0, with: Self.clients[1].text)])
      try await store.deliver([event("f2", of: 1)])
      #expect(Set(try await other.rows("SELECT client_id FROM client_journey_events")) == [Self.clients[0].text])
      #expect(try await other.rows("SELECT external_id FROM journey_identities") == [])
      guard case .split(let result) = try await split(Self.clients[1], other) else {
        Issue.record("not split")
        return
      }
      #expect(result.events == 2)
      #expect(
        try await other.rows(Self.owners)
          == ["e1", "f1", "f2", "m"].map { "\($0)|\(Self.clients[$0.hasPrefix("f") ? 1 : 0].text)" })
    }
  }

  @Test func aSplitIsTriedAndRefusedWhereThereIsNothing() async throws {
    try await withStore { store, other in
      expect(try await store.commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      #expect(try await split(Self.clients[1], other) == .separate(parts: []))
      try await store.deliver([merging("m", 0, with: Self.clients[1].text)])
      let before = try await other.rows("SELECT * FROM client_journey_events ORDER BY source_event_id")
      let states = try await other.rows("SELECT * FROM journey_client_state ORDER BY client_id")
      guard case .split(let result) = try await split(Self.clients[1], other, isRehearsal: true) else {
        Issue.record("not tried")
        return
      }
      #expect(result.events == 1 && result.scores >= 1)
      #expect(try await other.rows("SELECT * FROM client_journey_events ORDER BY source_event_id") == before)
      #expect(try await other.rows("SELECT * FROM journey_client_state ORDER BY client_id") == states)
      #expect(try await split(Self.clients[0], other) == .separate(parts: [Self.clients[1]]))
      // Another organisation reaches nothing.
      let org = UUID()
      try await other.run("INSERT INTO organizations (id, name) VALUES ('\(org)', 'Lang')")
      #expect(try await split(Self.clients[1], other, org: org) == .unknownClient)
    }
  }

  @Test(arguments: [true, false]) func whatMayMergeThemAgain(_ keepsApart: Bool) async throws {
    try await withStore { store, other in
      expect(try await store.commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      let merge = merging("m", 0, with: Self.clients[1].text)
      try await store.deliver([merge])
      _ = try await split(Self.clients[1], other, keepsApart: keepsApart)
      let merged = "SELECT count(*) FROM journey_client_state WHERE merged_into IS NOT NULL"
      // The same event again is a duplicate, and merges nothing.
      expect(try await store.commitAll([merge]), ["duplicate"])
      #expect(try await other.rows(merged) == ["0"])
      try await store.deliver([merging("m2", 0, with: Self.clients[1].text)])
      #expect(try await other.rows(merged) == [keepsApart ? "0" : "1"])
      guard keepsApart else { return }
      // From either side, and by way of a third client.
      try await store.deliver([merging("m3", 1, with: Self.clients[0].text)])
      let third = event("t1", of: ClientReference(externalID: "third", creation: NewClient()))
      try await store.deliver([third])
      try await store.deliver([merging("m4", 1, with: "third")])
      #expect(try await other.rows(merged) == ["1"])
      try await store.deliver([merging("m5", 0, with: "third")])
      #expect(try await other.rows(merged) == ["1"])
      // A person decides otherwise.
      let identities = IdentityRepository(worker: other, actor: "test")
      _ = try await identities.merge(orgID: Self.org, from: Self.clients[1], into: Self.clients[0], why: nil)
      #expect(try await other.rows(merged) == ["2"])
      #expect(try await other.rows("SELECT count(*) FROM journey_kept_apart") == ["0"])
      #expect(
        try await other.rows("SELECT DISTINCT client_id FROM client_journey_events") == [Self.clients[0].text])
    }
  }

  @Test func contactLimitsComeBack() async throws {
    try await withStore { store, other in
      expect(try await store.commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      func actions(_ client: Int) async throws -> Set<UUID>? {
        let rows = try await other.rows(
          "SELECT encode(outreach, 'hex') FROM journey_client_state WHERE client_id = '\(Self.clients[client])'")
        guard let hex = rows.first.map({ Array($0) }), !hex.isEmpty else { return nil }
        let bytes = stride(from: 0, to: hex.count, by: 2).compactMap { UInt8(String(hex[$0...$0 + 1]), radix: 16) }
        return Set(try #require(ActionHistory(encoded: bytes)).entries.map(\.actionID))
      }
      let ids = [UUID(), UUID()]
      for (client, kind) in [ActionKind.emailOutreach, .sendVoiceMessage].enumerated() {
        var history = ActionHistory()
        history.record(
          kind, id: ids[client], at: Timestamp(seconds: 1_795_200_000), priority: .low, trigger: .stage(.lead))
        let hex = history.encoded().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        try await other.run(
          "UPDATE journey_client_state SET outreach = '\\x\(hex)' WHERE client_id = '\(Self.clients[client])'")
      }
      try await store.deliver([merging("m", 0, with: Self.clients[1].text)])
      #expect(try await actions(0) == Set(ids))
      #expect(try await actions(1) == nil)
      // What was done for either counts for both.
      _ = try await split(Self.clients[1], other)
      #expect(try await actions(0) == Set(ids))
      #expect(try await actions(1) == Set(ids))
    }
  }

  /// The contact in the middle of a chain is deleted: what became part of it can be split nevertheless.
  @Test func aChainOutlivesItsMiddle() async throws {
    try await withStore { store, other in
      let third = event("t1", of: ClientReference(externalID: "third", creation: NewClient()))
      try await store.deliver([event("e1"), event("f1", of: 1), third])
      let id = try #require(UUID(uuidString: try await other.rows("SELECT client_id FROM journey_identities")[0]))
      try await store.deliver([merging("m1", 1, with: "third")])
      try await store.deliver([merging("m2", 0, with: Self.clients[1].text)])
      try await other.run("DELETE FROM contacts WHERE id = '\(Self.clients[1])'")
      guard case .split(let result) = try await split(id, other) else {
        Issue.record("not split")
        return
      }
      #expect(result.remainingID == Self.clients[0])
      let rows = try await other.rows(Self.owners)
      #expect(rows.filter { $0.hasSuffix(id.text) } == ["t1|\(id.text)"])
      // The ids of the deleted contact mean the client that it was part of.
      try await store.deliver([event("e2")])
    }
  }

  /// A merge from before the upgrade: whose events are whose is not known, but some ids and what comes later are.
  @Test func aMergeFromBeforeIsSplitInPart() async throws {
    let url = try await TestServers.shared().makeDatabase()
    let (org, a, b) = (UUID(), UUID(), UUID())
    try await withDatabase(url) { worker in
      let files = try ShippedMigrations.load()
      _ = try await Migrator(worker, files: files.filter { $0.version < 130 }).apply()
      try await worker.run(
        """
        INSERT INTO organizations (id, name) VALUES ('\(org)', 'Lang');
        INSERT INTO contacts (id, org_id, name) VALUES ('\(a)', '\(org)', 'Ada'), ('\(b)', '\(org)', 'Bo');
        INSERT INTO journey_identities (org_id, source, external_id, client_id) VALUES
          ('\(org)', 'crm', 'a', '\(a)'), ('\(org)', 'crm', 'b', '\(b)');
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, source, source_event_id) VALUES
          ('\(a)', '\(org)', 'lead', 'x', 'crm', 'old-a'), ('\(b)', '\(org)', 'lead', 'x', 'crm', 'old-b');
        SELECT journey_merge_clients('\(org)', '\(b)', '\(a)');
        INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, other_client_id, actor)
          VALUES ('\(org)', 'merged', 'crm', 'b', '\(a)', '\(b)', 'journey serve')
        """)
    }
    try await withStore(in: url) { store, other in
      try await store.deliver([event("new-b", of: ClientReference(externalID: "b"), org: org)])
      guard case .unrecorded(let into, _) = try await split(b, other, org: org) else {
        Issue.record("not refused")
        return
      }
      #expect(into == a)
      guard case .split(let done) = try await split(b, other, org: org, allowsPart: true) else {
        Issue.record("not split")
        return
      }
      #expect(done.events == 1 && done.identities == 1)
      #expect(try await other.rows(Self.owners) == ["new-b|\(b.text)", "old-a|\(a.text)", "old-b|\(a.text)"])
    }
  }
}
