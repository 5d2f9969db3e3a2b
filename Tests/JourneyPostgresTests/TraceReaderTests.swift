import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import TestSupport
import Testing

/// What is known of parked messages, and of events by their ids.
@Suite struct TraceReaderTests: CommitTesting {
  private static let org = UUID(), other = UUID(), client = UUID(), otherClient = UUID()

  private func parked(
    _ id: UUID = UUID(), org: UUID? = org, message: String? = nil, events: [String] = [], code: String? = "c",
    at seconds: Int64 = 0
  ) -> ParkedMessage {
    let now = SystemClock().now() + .seconds(seconds)
    return ParkedMessage(
      id: id, orgID: org, source: "s", messageID: message, eventIDs: events, code: code, tier: "10s", attempt: 1,
      receivedAt: now, parkedAt: now, returnsAt: now + .seconds(10))
  }

  @Test func theLastParkingOfAMessageCounts() async throws {
    try await withStores(rules: [DecisionRules()]) { _, worker in
      let repository = ParkedRepository(worker: worker)
      let first = parked(message: "m'1", events: ["e1", "e\"2"]), again = parked(first.id, events: ["e1"], at: 60)
      try await repository.store([first, parked(first.id, events: ["e0"], at: -1), parked(message: "m2")])
      #expect(try await repository.find(["e\"2"], orgID: nil).map(\.messageID) == ["m'1"])
      #expect(try await repository.find(["m'1", "e1"], orgID: Self.org).map(\.eventIDs) == [["e1", "e\"2"]])
      try await repository.store([again])
      // A late attempt to record the first.
      try await repository.store([first])
      let found = try await repository.find([], parkedAs: [first.id], orgID: nil)
      #expect(found.map(\.eventIDs) == [["e1"]] && found.first?.returnsAt == again.returnsAt)
    }
  }

  @Test func anotherOrganisationOrNoneIsNotFound() async throws {
    try await withStores(rules: [DecisionRules()]) { _, worker in
      let repository = ParkedRepository(worker: worker)
      try await repository.store([parked(org: nil, message: "m", events: ["e"]), parked(message: "m", events: ["e"])])
      #expect(try await repository.find(["m"], orgID: nil).count == 2)
      #expect(try await repository.find(["m"], orgID: Self.org).count == 1)
      #expect(try await repository.find(["e"], orgID: Self.other).isEmpty)
    }
  }

  @Test func anHourAfterItsReturnAMessageIsForgotten() async throws {
    try await withStores(rules: [DecisionRules()]) { _, worker in
      let repository = ParkedRepository(worker: worker)
      try await repository.store(
        (0..<5).map { parked(message: "old\($0)", at: -3700) } + [parked(message: "new", at: -3500)])
      #expect(try await repository.forget(limit: 3) == 3)
      #expect(try await repository.forget(limit: 3) == 2)
      #expect(try await repository.find(["new"], orgID: nil).count == 1)
    }
  }

  @Test func anIdIsFoundInEachOrganisationAndSource() async throws {
    try await withStores(rules: [DecisionRules()]) { _, worker in
      try await worker.run(
        """
        INSERT INTO organizations (id) VALUES ('\(Self.org)'), ('\(Self.other)');
        INSERT INTO contacts (id, org_id, name) VALUES
          ('\(Self.client)', '\(Self.org)', 'Ada'), ('\(Self.otherClient)', '\(Self.other)', 'Bob');
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, source, source_event_id)
          SELECT '\(Self.client)', '\(Self.org)', 'lead', 'x', 's' || n, CASE n % 3 WHEN 0 THEN 'same' ELSE 'e' || n END
          FROM generate_series(1, 9) n;
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, source, source_event_id)
          VALUES ('\(Self.otherClient)', '\(Self.other)', 'lead', 'x', 's1', 'same'),
            ('\(Self.otherClient)', '\(Self.other)', 'lead', 'x', NULL, NULL);
        """)
      func events(_ text: String, _ org: UUID?) async throws -> [TracedEvent] {
        try await TraceReader(worker: worker, orgID: org).events(text)
      }
      #expect(try await events("same", nil).compactMap(\.source).sorted() == ["s1", "s3", "s6", "s9"])
      #expect(try await events("same", Self.other).map(\.clientName) == ["Bob"])
      let one = try #require(try await events("e1", Self.org).first)
      #expect(try await events(one.id.text, nil).map(\.sourceEventID) == ["e1"])
      #expect(try await events(one.id.text, Self.other).isEmpty)
      #expect(try await events("e1", Self.other).isEmpty)
      let reader = TraceReader(worker: worker, orgID: Self.other)
      #expect(try await reader.events(ids: [one.id]).isEmpty)
      #expect(try await reader.events(keys: [try #require(one.key)]).isEmpty)
      #expect(try await reader.events(ofClient: Self.client, limit: 5).isEmpty)
      #expect(try await reader.events(ofClient: Self.otherClient, limit: 5).count == 2)
    }
  }
}
