import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import TestSupport
import Testing

@testable import TestSupport

/// Events of groups: who gets them, and what is kept until somebody does.
@Suite struct GroupTests: GroupTesting {
  @Test func aGroupsEventsWaitForItsOwner() async throws {
    try await withStore { store, other in
      expect(
        try await store.commitAll([ofGroup("g1", daysAgo: 3), ofGroup("g2"), ofGroup("g1")]),
        ["stored", "stored", "duplicate"])
      expect(try await store.commitAll([ofGroup("g2")]), ["duplicate"])
      #expect(try await other.rows(Self.kept) == ["g1", "g2"])
      #expect(try await store.claimAbandoned(limit: 10).isEmpty)
      #expect(try await other.rows(Self.kept) == ["g1", "g2"], "nobody gets them")
      #expect(try await own("acme", 1, other) == .changed(from: nil, to: Self.clients[1], kept: 2))
      #expect(try await own("acme", 1, other) == .same(Self.clients[1], kept: 2))
      // Actions that follow are published by whoever claims them.
      #expect(try await store.claimAbandoned(limit: 10).flatMap(\.actions).count >= 1)
      #expect(try await other.rows(Self.kept) == [])
      #expect(try await other.rows(Self.events) == ["g1", "g2"].map { "\($0)|\(Self.clients[1].text)" })
      // Its objects are the owner's now; its id is nobody's.
      #expect(
        try await other.rows("SELECT external_id, client_id FROM journey_identities")
          == ["deal:acme|\(Self.clients[1].text)"])
      expect(try await store.commitAll([ofGroup("g1"), ofGroup("g3")]), ["duplicate", "stored"])
      // Without an owner events are kept again, and what somebody has got stays with them.
      #expect(try await own("acme", nil, other) == .changed(from: Self.clients[1], to: nil, kept: 0))
      expect(try await store.commitAll([ofGroup("g2"), ofGroup("g4")]), ["duplicate", "stored"])
      #expect(try await other.rows(Self.kept) == ["g4"])
      #expect(
        try await other.rows("SELECT action, source, external_id, client_id FROM journey_identity_log ORDER BY id")
          == ["owner_set", "owner_cleared"].map { "\($0)|crm|acme|\(Self.clients[1].text)" })
      #expect(try await other.rows("SELECT count(*) FROM journey_group_members") == ["0"])
    }
  }

  /// An event counts alike whether it comes before the owner is known or after.
  @Test(arguments: [0, 1, 2, 3]) func theOrderDoesNotMatter(_ early: Int) async throws {
    try await withStores(at: [.seconds(0), .seconds(0)]) { stores, other in
      let all = [
        ofGroup("a1", "early", daysAgo: 9), ofGroup("a2", "early", daysAgo: 2), ofGroup("a3", "early", daysAgo: 1),
      ]
      let same = all.map { incoming in
        var event = incoming.event
        (event.client.group, event.client.linked) = ("late", [])
        event.sourceEventID = "b" + event.sourceEventID.dropFirst()
        var random = IDRandom()
        return IncomingEvent(
          id: UUID.v7(at: SystemClock().now(), using: &random), event: event, signals: incoming.signals)
      }
      _ = try await own("early", 0, other)
      try await stores[0].deliver(all)
      try await stores[0].deliver(Array(same[..<early]))
      _ = try await own("late", 1, other)
      async let first = stores[0].claimAbandoned(limit: 10)
      async let second = stores[1].claimAbandoned(limit: 10)
      try await stores[1].deliver(Array(same[early...].reversed()))
      _ = try await (first, second)
      // A client that the other instance holds gets its events after a pause.
      try await eventually("the kept events are delivered") {
        _ = try await stores[0].claimAbandoned(limit: 10)
        return try await other.rows(Self.kept).isEmpty
      }
      let states = try await other.rows(
        "SELECT stage, stage_at, score, risk_level, risks, last_event_at FROM journey_client_state ORDER BY client_id")
      #expect(states.count == 2)
      #expect(Set(states).count == 1, "\(states)")
      #expect(try await other.rows("SELECT count(*) FROM client_journey_events") == ["6"])
      let recomputed = try await Recompute().run(on: stores[0])
      #expect(recomputed.changed + recomputed.refreshed == 0)
    }
  }

  @Test func theOnlyMemberGetsThem() async throws {
    try await withStore { store, other in
      expect(try await store.commitAll([ofGroup("g1")]), ["stored"])
      expect(try await store.commitAll([member("m1", 0), member("m2", 0)]), ["stored", "stored"])
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.events).contains("g1|\(Self.clients[0].text)"))
      expect(try await store.commitAll([ofGroup("g2")]), ["stored"])
      // Of two members neither is right, until they are one.
      expect(try await store.commitAll([member("m3", 1)]), ["stored"])
      expect(try await store.commitAll([ofGroup("g3")]), ["stored"])
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == ["g3"])
      let identities = IdentityRepository(worker: other, actor: "test")
      _ = try await identities.merge(orgID: Self.org, from: Self.clients[0], into: Self.clients[1], why: nil)
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == [])
      #expect(
        try await other.rows("SELECT DISTINCT client_id FROM client_journey_events") == [Self.clients[1].text])
      // After a split each has its own again; the group's last event went to the client that both were.
      guard
        case .split(let result) = try await identities.split(
          orgID: Self.org, client: Self.clients[0], keepsApart: true, allowsPart: false, why: "test",
          isRehearsal: false)
      else {
        Issue.record("not split")
        return
      }
      #expect(result.events == 4)
      #expect(try await other.rows(Self.events).contains("g3|\(Self.clients[1].text)"))
      expect(try await store.commitAll([ofGroup("g4")]), ["stored"])
      #expect(try await other.rows(Self.kept) == ["g4"])
    }
  }

  @Test(arguments: [GroupEvents.keep, .reject]) func theSettingDecides(_ mode: GroupEvents) async throws {
    try await withStores(rules: [DecisionRules()], groupEvents: mode) { stores, other in
      _ = try await own("acme", 0, other)
      let result = try await stores[0].commitAll([ofGroup("g1"), member("m1", 0)])
      expect(result, [mode == .keep ? "stored" : "missing_field", "stored"])
      _ = try await stores[0].claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == (mode == .keep ? ["g1"] : []))
      #expect(try await other.rows(Self.events) == ["m1|\(Self.clients[0].text)"])
    }
  }

  @Test func organisationsStayApart() async throws {
    try await withStore { store, other in
      let (org, client) = (UUID(), UUID())
      try await other.run("INSERT INTO organizations (id, name) VALUES ('\(org)', 'Lang')")
      try await other.run("INSERT INTO contacts (id, org_id, name) VALUES ('\(client)', '\(org)', 'Bo')")
      _ = try await own("acme", 0, other)
      let foreign = event("g1", ClientReference(group: "acme"), org: org)
      let nowhere = event("g1", ClientReference(group: "acme"), org: UUID())
      expect(
        try await store.commitAll([foreign, ofGroup("g1"), nowhere]), ["stored", "stored", "unknown_organization"])
      #expect(try await other.rows("SELECT org_id FROM journey_group_events") == [org.text])
      // Nobody of another organisation becomes the owner.
      let groups = GroupRepository(worker: other, actor: "test")
      let key = GroupKey(orgID: org, source: "crm", groupID: "acme")
      #expect(
        try await groups.setOwner(of: key, to: Self.clients[0].text, why: "", isRehearsal: false) == .unknownClient)
      #expect(
        try await groups.setOwner(of: key, to: client.text, why: "", isRehearsal: true)
          == .changed(from: nil, to: client, kept: 1))
      #expect(try await groups.list(orgID: org, source: nil, onlyKept: true, limit: 9).map(\.ownerID) == [nil])
      try await other.run("DELETE FROM organizations WHERE id = '\(org)'")
      #expect(try await other.rows(Self.kept) == [])
    }
  }

  /// A client is no owner once it is deleted, and what comes then is kept.
  @Test func aDeletedOwnerOwnsNothing() async throws {
    try await withStore { store, other in
      _ = try await own("acme", 0, other)
      expect(try await store.commitAll([ofGroup("g1")]), ["stored"])
      try await other.run("DELETE FROM contacts WHERE id = '\(Self.clients[0])'")
      expect(try await store.commitAll([ofGroup("g2")]), ["stored"])
      #expect(try await other.rows(Self.kept) == ["g2"])
    }
  }

  /// A lock delays what is kept, and loses nothing.
  @Test func aLockedOwnerGetsThemLater() async throws {
    try await withStore { store, other in
      expect(try await store.commitAll([event("m0", ClientReference(id: Self.clients[0]))]), ["stored"])
      expect(try await store.commitAll([ofGroup("g1")]), ["stored"])
      _ = try await own("acme", 0, other)
      try await withOpenTransaction(
        "SELECT FROM journey_client_state WHERE client_id = '\(Self.clients[0])' FOR UPDATE", on: other
      ) {
        _ = try await store.claimAbandoned(limit: 10)
      }
      #expect(try await other.rows(Self.kept) == ["g1"])
      try await other.run("UPDATE journey_groups SET due_at = now()")
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == [])
    }
  }

  // MARK: Several ids

  @Test func theFirstIDThatIsKnownCounts() async throws {
    try await withStore { store, other in
      let known = ClientReference(externalID: "user", creation: NewClient(), linked: ["device"])
      expect(try await store.commitAll([event("e1", known)]), ["stored"])
      let several = { ClientReference(externalID: $0, creation: NewClient(), alternatives: $1) }
      expect(
        try await store.commitAll([
          event("e2", several("new", ["device"])), event("e3", several("new", ["other"])),
          event("e4", several("new2", [Self.clients[1].text, "user"])),
        ]), ["stored", "stored", "stored"])
      let rows = try await other.rows(
        "SELECT e.source_event_id, string_agg(d.external_id, ',' ORDER BY d.external_id) FROM client_journey_events e LEFT JOIN journey_identities d ON d.client_id = e.client_id GROUP BY 1 ORDER BY 1"
      )
      #expect(rows == ["e1|device,user", "e2|device,user", "e3|new", "e4|"])
      // What an earlier event of the batch makes known counts too.
      let maker = ClientReference(externalID: "person", creation: NewClient(), merged: ["anon"])
      let later = event("e6", several("fresh", ["anon"]))
      try await store.deliver([event("e5", maker), later])
      #expect(
        try await other.rows(
          "SELECT count(DISTINCT client_id) FROM client_journey_events WHERE source_event_id IN ('e5', 'e6')") == ["1"])
    }
  }
}
