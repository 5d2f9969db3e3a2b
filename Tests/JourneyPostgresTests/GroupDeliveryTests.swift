import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import TestSupport
import Testing

/// What is kept for a group reaches its client, whatever happens on the way.
@Suite struct GroupDeliveryTests: GroupTesting {
  private func refuse(_ ids: String, _ other: PostgresWorker) async throws {
    try await other.run(
      """
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON client_journey_events FOR EACH ROW WHEN (NEW.source_event_id IN (\(ids))) EXECUTE FUNCTION refuse()
      """)
  }

  /// A refused event waits for an hour; the others do not wait for it.
  @Test func aRefusedEventBlocksNoOther() async throws {
    try await withStore { store, other in
      expect(
        try await store.commitAll((1...5).map { ofGroup("g\($0)", daysAgo: 9 - $0) }),
        Array(repeating: "stored", count: 5))
      try await refuse("'g2', 'g5'", other)
      _ = try await own("acme", 0, other)
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == ["g2", "g5"])
      #expect(
        try await other.rows(Self.events) == ["g1", "g3", "g4"].map { "\($0)|\(Self.clients[0].text)" })
      let failed = "SELECT count(*) FROM journey_group_events WHERE failed_at IS NOT NULL"
      #expect(try await other.rows(failed) == ["2"])
      let isLater =
        "SELECT due_at BETWEEN now() + interval '50 minutes' AND now() + interval '60 minutes' FROM journey_groups"
      #expect(try await other.rows(isLater) == ["t"])
      // It is left out for an hour, even if the group is due.
      try await other.run("DROP TRIGGER refuse ON client_journey_events; UPDATE journey_groups SET due_at = now()")
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == ["g2", "g5"])
      #expect(try await other.rows(isLater) == ["t"])
      try await other.run(
        "UPDATE journey_group_events SET failed_at = failed_at - interval '1 hour'; UPDATE journey_groups SET due_at = now()"
      )
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == [])
      #expect(try await other.rows("SELECT due_at IS NULL FROM journey_groups") == ["t"])
    }
  }

  /// History that waited for a group's owner leads to no action, what came with it does.
  @Test func historyStaysHistory() async throws {
    try await withStore { store, other in
      let reference = ClientReference(group: "acme", linked: ["deal:acme"])
      expect(try await store.commitAll([event("old", reference, daysAgo: 400, isBackfill: true)]), ["stored"])
      _ = try await own("acme", 0, other)
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.events) == ["old|\(Self.clients[0].text)"])
      #expect(try await other.rows("SELECT stage FROM journey_client_state") == ["billing"])
      #expect(try await other.rows("SELECT count(*) FROM journey_actions") == ["0"])
      expect(try await store.commitAll([event("new", reference)]), ["stored"])
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows("SELECT count(*) FROM journey_actions") == ["1"])
    }
  }

  /// More refused events than are read at once keep none of the others from their client.
  @Test func manyRefusedEventsBlockNoOther() async throws {
    try await withStore { store, other in
      let old = (0..<201).map { ofGroup("old\($0)", daysAgo: 5) }
      expect(try await store.commitAll(old), Array(repeating: "stored", count: 201))
      expect(try await store.commitAll([ofGroup("new")]), ["stored"])
      try await refuse(old.map { "'\($0.event.sourceEventID)'" }.joined(separator: ", "), other)
      _ = try await own("acme", 0, other)
      let result = try await store.deliverGroupEvents(of: GroupKey(orgID: Self.org, source: "crm", groupID: "acme"))
      #expect(result.delivered == 1 && result.left == 201)
      #expect(try await other.rows(Self.events) == ["new|\(Self.clients[0].text)"])
    }
  }

  /// The host deletes one of two members: nothing tells the adapter.
  @Test func theLastMemberGetsWhatIsKept() async throws {
    let clock = MovableClock()
    try await withStore(clock: clock) { store, other in
      expect(try await store.commitAll([member("m1", 0), member("m2", 1)]), ["stored", "stored"])
      expect(try await store.commitAll([ofGroup("g1"), ofGroup("g2", "other")]), ["stored", "stored"])
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == ["g1", "g2"])
      try await other.run("DELETE FROM contacts WHERE id = '\(Self.clients[1])'")
      clock.advance(by: .seconds(9 * 60))
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == ["g1", "g2"], "it is looked for every ten minutes")
      clock.advance(by: .seconds(2 * 60))
      _ = try await store.claimAbandoned(limit: 10)
      #expect(try await other.rows(Self.kept) == ["g2"])
      #expect(try await other.rows(Self.events).contains("g1|\(Self.clients[0].text)"))
    }
  }

  @Test func whatWasKeptUnderAnotherSettingIsDelivered() async throws {
    let url = try await TestServers.shared().makeDatabase()
    try await withStores(in: url, rules: [DecisionRules()], groupEvents: .keep) { stores, other in
      expect(try await stores[0].commitAll([member("m1", 0)]), ["stored"])
      // More groups than one look finds.
      for part in 0..<3 {
        let events = (0..<500).map { ofGroup("g\(part)-\($0)", "group\(part)-\($0)") }
        expect(try await stores[0].commitAll(events), Array(repeating: "stored", count: 500))
      }
      expect(try await stores[0].commitAll([ofGroup("z1", "zz")]), ["stored"])
      try await other.run(
        "UPDATE journey_groups SET owner_id = '\(Self.clients[0])', due_at = NULL WHERE group_id IN ('group0-0', 'zz')")
      let settings = try PostgresSettings(conninfo: url, role: "journey_adapter")
      let store = try await PostgresEventStore.open(
        settings, workers: 1, decider: Self.decider(DecisionRules()), clock: SystemClock())
      _ = try await store.claimAbandoned(limit: 10)
      _ = try await store.claimAbandoned(limit: 10)
      await store.close()
      #expect(
        try await other.rows(Self.events) == ["g0-0", "m1", "z1"].map { "\($0)|\(Self.clients[0].text)" })
    }
  }

  /// A kept event and its raw body are committed together.
  @Test func noEventIsKeptWithoutItsRawBody() async throws {
    let raw = RawBodies(writer: PlainRawWriter(), retentionDays: 30)
    try await withStores(rules: [DecisionRules()], raw: raw) { stores, other in
      let kept = ofGroup("g1")
      let message = InboundMessage(
        token: AckToken(generation: 1, tag: 1), events: [kept], rejections: [],
        origin: RawOrigin(
          source: "crm", orgID: nil, receivedAt: SystemClock().now(), mappedAt: SystemClock().now(), isRepeated: false,
          bytes: 10))
      try await other.run(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON journey_raw_batches FOR EACH ROW EXECUTE FUNCTION refuse()
        """)
      let batch = EventBatch(events: [kept], messages: [message])
      await #expect(throws: StoreError.self) { try await stores[0].commit(batch) }
      #expect(try await other.rows(Self.kept) == [])
      try await other.run("DROP TRIGGER refuse ON journey_raw_batches")
      expect(try await stores[0].commit(batch), ["stored"])
      #expect(
        try await other.rows(
          "SELECT k.source_event_id FROM journey_raw_batches b JOIN journey_group_events k ON k.id = ANY(b.event_ids)")
          == ["g1"])
    }
  }

  @Test func keptEventsAreDiscarded() async throws {
    try await withStore { store, other in
      let note = event("g3", ClientReference(group: "acme"), type: "note_added", stage: nil)
      expect(
        try await store.commitAll([ofGroup("g1"), ofGroup("g2"), note, ofGroup("h1", "other")]),
        Array(repeating: "stored", count: 4))
      let groups = GroupRepository(worker: other, actor: "test")
      let key = GroupKey(orgID: Self.org, source: "crm", groupID: "acme")
      #expect(try await groups.discard(of: key, type: nil, why: "test data", isRehearsal: true) == 3)
      #expect(try await other.rows(Self.kept) == ["g1", "g2", "g3", "h1"])
      #expect(try await groups.discard(of: key, type: "note_added", why: "test data", isRehearsal: false) == 1)
      #expect(try await other.rows(Self.kept) == ["g1", "g2", "h1"])
      #expect(try await groups.discard(of: key, type: nil, why: "test data", isRehearsal: false) == 2)
      #expect(try await groups.discard(of: key, type: nil, why: "test data", isRehearsal: false) == 0)
      #expect(try await other.rows(Self.kept) == ["h1"])
      let unknown = GroupKey(orgID: Self.org, source: "crm", groupID: "nobody")
      #expect(try await groups.discard(of: unknown, type: nil, why: "", isRehearsal: false) == nil)
      #expect(
        try await other.rows(
          "SELECT action, external_id, event_id, client_id IS NULL, actor, why FROM journey_identity_log ORDER BY event_id"
        )
          == ["g1", "g2", "g3"].map { "discarded|acme|\($0)|t|test|test data" })
      let history = try await IdentityRepository(worker: other, actor: "test").history(
        orgID: Self.org, client: nil, limit: 9)
      #expect(history.map(\.clientID) == [nil, nil, nil])
    }
  }
}
