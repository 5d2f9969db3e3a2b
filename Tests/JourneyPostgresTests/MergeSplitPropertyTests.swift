import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

@testable import TestSupport

/// Clients that are merged, split and merged again, while events arrive late, twice and at two instances.
@Suite struct MergeSplitPropertyTests: CommitTesting {
  private static let count = 6

  @Test(arguments: [1, 2, 3, 4] as [UInt64]) func noEventIsLostOrDoubledAndEachIsWhereItBelongs(_ stream: UInt64)
    async throws
  {
    try await withStores(at: [.seconds(0), .seconds(0)]) { stores, other in
      var history = MergeHistory(stream: 0x5B117 + stream, org: Self.org)
      let identities = IdentityRepository(worker: other, actor: "test")
      let first = (0..<Self.count).map { history.event(of: $0) }
      try await stores[0].deliver(first.map(\.incoming))
      for number in 0..<Self.count {
        let found = try await other.rows("SELECT client_id FROM journey_identities WHERE external_id = 'id\(number)'")
        history.clients.append(try #require(found.first.flatMap { UUID(uuidString: $0) }))
      }
      for step in 0..<60 {
        // Events arrive at two instances at once, some again, beside what changes whose they are.
        var batches: [[IncomingEvent]] = [[], []]
        for _ in 0..<Int.random(in: 0...4, using: &history.random) {
          let home = Int.random(in: 0..<Self.count, using: &history.random)
          // What links an object must be stored before the object is named.
          let planned = history.event(of: home)
          if planned.incoming.event.client.linked.isEmpty {
            batches[Int.random(in: 0...1, using: &history.random)].append(planned.incoming)
          } else {
            try await stores[0].deliver([planned.incoming])
          }
        }
        for _ in 0..<Int.random(in: 0...3, using: &history.random) {
          let again = history.sent[Int.random(in: 0..<history.sent.count, using: &history.random)]
          batches[Int.random(in: 0...1, using: &history.random)].append(again.incoming)
        }
        let (left, right) = (batches[0], batches[1])
        async let one: Void = stores[0].deliver(left)
        async let two: Void = stores[1].deliver(right)
        try await change(&history, stores[step % 2], identities)
        try await one
        try await two
        if step % 12 == 11 { try await check(history, stores, other, "step \(step)") }
      }
      let scores = try await other.rows("SELECT count(*) FROM client_journey_scores")
      // Split everything, in a random order.
      while let client = history.parents.keys.sorted().randomElement(using: &history.random) {
        _ = try await split(client, &history, identities, keepsApart: true)
      }
      #expect(try await other.rows("SELECT count(*) FROM client_journey_scores") == scores)
      try await check(history, stores, other, "after all splits")
      #expect(try await other.rows("SELECT client_id FROM journey_merges") == [])
      #expect(
        try await other.rows(
          "SELECT id FROM client_journey_events WHERE origin_id IS NOT NULL UNION ALL SELECT client_id FROM journey_identities WHERE origin_id IS NOT NULL"
        ) == [])
    }
  }

  /// A merge by an event or a person, or a split.
  private func change(_ history: inout MergeHistory, _ store: PostgresEventStore, _ identities: IdentityRepository)
    async throws
  {
    let a = Int.random(in: 0..<Self.count, using: &history.random)
    let b = Int.random(in: 0..<Self.count, using: &history.random)
    switch Int.random(in: 0..<10, using: &history.random) {
    case 0..<4 where a != b:
      let planned = history.event(of: a, merging: b)
      history.merge(b, into: a)
      try await store.deliver([planned.incoming])
    case 4 where a != b:
      history.merge(b, into: a, isForced: true)
      try await retrying {
        _ = try await identities.merge(orgID: Self.org, from: history.clients[b], into: history.clients[a], why: nil)
      }
    case 5..<9:
      guard let client = history.parents.keys.sorted().randomElement(using: &history.random) else { return }
      _ = try await split(client, &history, identities, keepsApart: history.random.chance(50))
    default: break
    }
  }

  private func split(
    _ client: Int, _ history: inout MergeHistory, _ identities: IdentityRepository, keepsApart: Bool
  ) async throws {
    let parent = try #require(history.parents[client]), root = history.root(client)
    var outcome: SplitOutcome?
    try await retrying {
      outcome = try await identities.split(
        orgID: Self.org, client: history.clients[client], keepsApart: keepsApart, allowsPart: false, why: "no",
        isRehearsal: false)
    }
    guard case .split(let result) = outcome else {
      Issue.record("\(String(describing: outcome)) of \(client)")
      return
    }
    #expect(result.remainingID == history.clients[root])
    #expect(result.mergedInto == history.clients[parent])
    history.parents[client] = nil
    if keepsApart { history.apart.insert([client, parent].sorted()) }
  }

  /// A commit may have been in the way.
  private func retrying(_ body: () async throws -> Void) async throws {
    for attempt in 0..<50 {
      do { return try await body() } catch let error as PostgresError
        where error.kind == .transient && attempt < 49
      {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
  }

  private func check(
    _ history: MergeHistory, _ stores: [PostgresEventStore], _ other: PostgresWorker, _ when: String
  ) async throws {
    let note: Comment = "\(when), JOURNEY_TEST_SEED=\(SeededRandom.seed)"
    let merged = try await other.rows(
      "SELECT client_id, merged_into FROM journey_client_state WHERE merged_into IS NOT NULL ORDER BY 1")
    let wantedMerged = history.parents.keys.map {
      "\(history.clients[$0].text)|\(history.clients[history.root($0)].text)"
    }
    #expect(merged == wantedMerged.sorted(), note)
    // Each event once, with the client that it belongs to now, and the one that it goes back to.
    let rows = try await other.rows(
      "SELECT source_event_id, client_id, COALESCE(origin_id, client_id) FROM client_journey_events")
    let wanted = history.sent.map {
      "\($0.incoming.event.sourceEventID)|\(history.clients[history.root($0.home)].text)|\(history.clients[$0.home].text)"
    }
    #expect(rows.count == wanted.count, note)
    #expect(Set(rows).symmetricDifference(wanted).sorted() == [], note)
    let ids = try await other.rows(
      "SELECT external_id, client_id, COALESCE(origin_id, client_id) FROM journey_identities")
    let homes = (0..<Self.count).map { ("id\($0)", $0) } + history.things.map { ($0.key, $0.value) }
    let wantedIDs = homes.map {
      "\($0)|\(history.clients[history.root($1)].text)|\(history.clients[$1].text)"
    }
    #expect(ids.count == wantedIDs.count, note)
    #expect(Set(ids).symmetricDifference(wantedIDs).sorted() == [], note)
    // The states are what the stored events give.
    try await stores[0].evaluateAllDue()
    let recomputed = try await Recompute().run(on: stores[1])
    #expect(recomputed.changed + recomputed.refreshed == 0, note)
    try await other.perform { connection in
      let reference = try StoredReference(DecisionRules(), at: .seconds(0), on: connection)
      let states = try connection.execute("SELECT client_id, score::float8, risk_level FROM journey_client_state")
      for row in 0..<states.rowCount {
        let id = try states.text(row, 0)
        let client = try #require(UUID(uuidString: id))
        let assessment = reference.assessments[client]
        #expect(try states.textIfPresent(row, 1).flatMap(Double.init) == assessment?.score, note)
        #expect(try states.textIfPresent(row, 2) == assessment?.level.rawValue, note)
      }
      let stored = try connection.execute(
        "SELECT client_id, invoice_id, overdue_at IS NOT NULL, settled_at IS NOT NULL FROM journey_invoices")
      var count = 0
      for row in 0..<stored.rowCount {
        let id = try stored.text(row, 0)
        let client = try #require(UUID(uuidString: id))
        let invoice = reference.invoices[client]?[try stored.text(row, 1)]
        #expect(try stored.text(row, 2) == (invoice?.overdueAt == nil ? "f" : "t"), note)
        #expect(try stored.text(row, 3) == (invoice?.settledAt == nil ? "f" : "t"), note)
        count += 1
      }
      #expect(count == reference.invoices.values.reduce(0) { $0 + $1.count }, note)
    }
  }
}
