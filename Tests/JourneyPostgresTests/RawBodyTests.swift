import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// Writes the source event ids of a message.
struct PlainRawWriter: RawMessageWriter {
  func append(_ message: InboundMessage, to buffer: inout [UInt8]) -> Bool {
    buffer.append(contentsOf: message.events.map(\.event.sourceEventID).joined(separator: " ").utf8)
    return true
  }
}

/// Raw bodies are kept with the commit of their events, and deleted in time.
@Suite struct RawBodyTests: CommitTesting {
  private func message(
    _ events: [IncomingEvent], repeated: Bool = false, at time: Timestamp = SystemClock().now()
  ) -> InboundMessage {
    InboundMessage(
      token: AckToken(generation: 1, tag: 1), events: events, rejections: [],
      origin: RawOrigin(
        source: "crm", orgID: nil, receivedAt: time, mappedAt: time, isRepeated: repeated, bytes: 10))
  }

  private func batch(_ messages: [InboundMessage]) -> EventBatch {
    EventBatch(
      events: messages.flatMap(\.events), messages: messages.flatMap { message in message.events.map { _ in message } })
  }

  private static let rows = """
    SELECT messages, encode(records, 'hex'), cardinality(event_ids), array_to_string(event_messages, ','),
      array_to_string(sources, ','), orgs IS NULL
    FROM journey_raw_batches ORDER BY id
    """

  @Test func oneRowHoldsTheMessagesOfACommit() async throws {
    let raw = RawBodies(writer: PlainRawWriter(), retentionDays: 30)
    try await withStores(rules: [DecisionRules()], raw: raw) { stores, other in
      let two = message([event("a"), event("b", of: 1)]), one = message([event("c")])
      _ = try await stores[0].commitAll([event("0"), event("1", of: 1)])
      expect(try await stores[0].commit(batch([two, one])), ["stored", "stored", "stored"])
      let stored = try await other.rows(
        "SELECT e.source_event_id FROM journey_raw_batches b, unnest(b.event_ids) WITH ORDINALITY AS i(id, n) JOIN client_journey_events e ON e.id = i.id ORDER BY n"
      )
      #expect(stored == ["a", "b", "c"])
      #expect(try await other.rows(Self.rows) == [#"2|030000006120620100000063|3|0,0,1|crm|f"#])

      // What comes again is not kept again; a message of its own with the same event is, as it may be another event by
      // other rules.
      expect(try await stores[0].commit(batch([message([event("a")], repeated: true)])), ["duplicate"])
      #expect(try await other.rows("SELECT count(*) FROM journey_raw_batches") == ["1"])
      expect(try await stores[0].commit(batch([message([event("a")])])), ["duplicate"])
      #expect(
        try await other.rows("SELECT messages, cardinality(event_ids) FROM journey_raw_batches ORDER BY id") == [
          "2|3", "1|0",
        ])
    }
  }

  @Test func aRefusedCommitKeepsNothing() async throws {
    let raw = RawBodies(writer: PlainRawWriter(), retentionDays: 30)
    try await withStores(rules: [DecisionRules()], raw: raw) { stores, other in
      let unknown = message([event("a", of: ClientReference(externalID: "nobody"))])
      expect(try await stores[0].commit(batch([unknown])), ["unknown_client"])
      #expect(try await other.rows("SELECT count(*) FROM journey_raw_batches") == ["0"])
      try await stores[0].keepIgnored([message([]), message([])])
      #expect(try await other.rows("SELECT messages, orgs IS NULL FROM journey_raw_batches") == ["2|t"])
    }
  }

  @Test func oldOnesAreDeletedAFewAtATime() async throws {
    let clock = MovableClock()
    clock.advance(by: .hours(-24 * 31))
    let raw = RawBodies(writer: PlainRawWriter(), retentionDays: 30)
    try await withStores(clock: clock, rules: [DecisionRules()], raw: raw) { stores, other in
      for _ in 0..<3 { try await stores[0].keepIgnored([message([], at: clock.now())]) }
      clock.advance(by: .hours(24 * 31))
      try await stores[0].keepIgnored([message([])])
      #expect(try await stores[0].forgetRawBodies(limit: 2, bytes: 1 << 20) == 2)
      #expect(try await stores[0].forgetRawBodies(limit: 2, bytes: 1 << 20) == 1)
      #expect(try await stores[0].forgetRawBodies(limit: 2, bytes: 1 << 20) == 0)
      #expect(try await other.rows("SELECT count(*) FROM journey_raw_batches") == ["1"])
    }
  }

  @Test func aStatementDeletesABoundedNumberOfBytes() async throws {
    let raw = RawBodies(writer: PlainRawWriter(), retentionDays: 30)
    try await withStores(rules: [DecisionRules()], raw: raw) { stores, other in
      try await other.run(
        """
        INSERT INTO journey_raw_batches (id, received_from, received_until, sources, messages, records, event_ids, event_messages)
        SELECT ('00000000-0000-7000-8000-00000000000' || n)::uuid, '2020-01-01', '2020-01-01', '{}', 1,
          decode(repeat('00', size), 'hex'), '{}', '{}'
        FROM (VALUES (1, 100), (2, 400), (3, 100), (4, 9000), (5, 100)) AS b(n, size)
        """)
      var left: [String] = []
      while try await stores[0].forgetRawBodies(limit: 500, bytes: 500) > 0 {
        left += try await other.rows("SELECT string_agg(right(id::text, 1), '' ORDER BY id) FROM journey_raw_batches")
      }
      #expect(left.dropLast() == ["345", "45", "5"])
    }
  }

  @Test func turnedOffTheyAreDeletedAtOnce() async throws {
    let url = try await TestServers.shared().makeDatabase()
    try await withStores(in: url, rules: [DecisionRules()], raw: RawBodies(writer: PlainRawWriter(), retentionDays: 30))
    {
      stores, _ in try await stores[0].keepIgnored([message([])])
    }
    try await withDatabase(url) { other in
      let store = try await PostgresEventStore.open(
        PostgresSettings(conninfo: url, role: "journey_adapter"), workers: 1,
        decider: Decider(rules: DecisionRules()) { _ in fatalError() }, clock: SystemClock(),
        raw: RawBodies(writer: nil, retentionDays: 30))
      try await Task.sleep(for: .milliseconds(5))
      #expect(try await store.forgetRawBodies(limit: 2, bytes: 1 << 20) == 1)
      try await store.keepIgnored([message([])])
      #expect(try await other.rows("SELECT count(*) FROM journey_raw_batches") == ["0"])
      await store.close()
    }
  }
}
