import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import TestSupport
import Testing

/// What is kept for a group reaches its client, whatever happens on the way.
@Suite struct GroupDeliveryTests: GroupTesting {
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
}
