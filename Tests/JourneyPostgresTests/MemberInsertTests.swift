import TestSupport
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// A member's insert into the events resets the summaries of its clients: once per client, however many rows it
/// inserts.
@Suite struct MemberInsertTests {
  private static let org = "00000000-0000-0000-0000-00000000000a"
  private static let user = "00000000-0000-0000-0000-0000000000aa"
  private static func client(_ number: Int) -> String { "00000000-0000-0000-0000-0000000000b\(number)" }
  private static let clients = 0..<8
  private static let states =
    "SELECT client_id, org_id, summary, merged_into FROM journey_client_state ORDER BY client_id"

  private func withClients(before version: Int32 = .max, _ body: (PostgresWorker) async throws -> Void) async throws {
    try await withDatabase { worker in
      try await Migrator(worker, files: ShippedMigrations.load().filter { $0.version < version }).apply()
      let contacts = Self.clients.map { "('\(Self.client($0))', '\(Self.org)')" }.joined(separator: ", ")
      try await worker.run(
        """
        INSERT INTO organizations (id) VALUES ('\(Self.org)'); INSERT INTO contacts (id, org_id) VALUES \(contacts);
        INSERT INTO user_organizations (user_id, org_id) VALUES ('\(Self.user)', '\(Self.org)')
        """)
      try await body(worker)
    }
  }

  /// - Returns: the numbers of inserted and updated rows of states.
  private func asMember(_ worker: PostgresWorker, _ statement: String) async throws -> [Int] {
    try await worker.perform { connection in
      func counts() throws -> [Int] {
        let counts = try connection.execute(
          """
          SELECT pg_stat_get_xact_tuples_inserted('journey_client_state'::regclass)::text,
            pg_stat_get_xact_tuples_updated('journey_client_state'::regclass)::text
          """)
        return [Int(try counts.text(0, 0)) ?? -1, Int(try counts.text(0, 1)) ?? -1]
      }
      try connection.begin()
      try connection.execute(
        "SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', '{\"sub\": \"\(Self.user)\"}', true)")
      // Statistics of earlier transactions may still arrive.
      let before = try counts()
      try connection.execute(statement)
      let after = try counts()
      try connection.commit()
      return [after[0] - before[0], after[1] - before[1]]
    }
  }

  private static func bulk(rows: Int) -> String {
    """
    INSERT INTO client_journey_events (client_id, org_id, stage, event_type, occurred_at)
    SELECT ('00000000-0000-0000-0000-0000000000b' || n % 2)::uuid, '\(org)', 'lead', 'note',
      now() - n * interval '1 second'
    FROM generate_series(1, \(rows)) AS n
    """
  }

  @Test func aBulkInsertWritesARowAClient() async throws {
    try await withClients { worker in
      #expect(try await asMember(worker, Self.bulk(rows: 5000)) == [2, 0])
      try await worker.run("UPDATE journey_client_state SET summary = 'x'")
      #expect(try await asMember(worker, Self.bulk(rows: 5000)) == [0, 2])
      #expect(try await worker.rows("SELECT count(*) FROM journey_client_state WHERE summary = ''") == ["2"])
      // With one version of the state per row this would take minutes.
      try await worker.run("SET statement_timeout = '60s'")
      _ = try await asMember(worker, Self.bulk(rows: 100_000))
    }
  }

  @Test func theAdaptersInsertsCallNothing() async throws {
    try await withClients { worker in
      let plan = try await worker.perform { connection in
        try connection.begin()
        try connection.execute("SET LOCAL ROLE journey_adapter")
        let result = try connection.execute(
          """
          EXPLAIN (ANALYZE, COSTS OFF) 
          INSERT INTO client_journey_events (client_id, org_id, stage, event_type, source, source_event_id)
          SELECT '\(Self.client(1))', '\(Self.org)', 'lead', 'note', 'crm', n::text FROM generate_series(1, 100) AS n
          """)
        let lines = try (0..<result.rowCount).map { try result.text($0, 0) }
        try connection.rollback()
        return lines
      }
      #expect(plan.contains { $0.contains("client_journey_events_client_fk") }, "the plan tells of triggers")
      #expect(!plan.contains { $0.contains("journey_forget_summary") }, "\(plan)")
    }
  }

  /// Runs the same statements in a database with the row-level trigger that migration 110 replaces, and in one with the
  /// current trigger.
  @Test(arguments: [1, 2, 3])
  func itDoesWhatATriggerOfEachRowDid(_ seed: UInt64) async throws {
    var random = Pseudorandom(state: seed)
    let statements = (0..<60).map { Self.statement($0, &random) }
    var outcomes: [[[String]]] = []
    for version in [110, Int32.max] {
      try await withClients(before: version) { worker in
        var outcome: [[String]] = []
        for statement in statements {
          // Some statements fail, for example with a duplicate key: in both databases.
          do { try await worker.run("BEGIN; \(statement); COMMIT") } catch let error as PostgresError {
            outcome.append([error.sqlState ?? ""])
          }
          try await worker.run("ROLLBACK; RESET ROLE")
          outcome.append(try await worker.rows(Self.states))
        }
        outcomes.append(outcome)
      }
    }
    #expect(outcomes[0].count == outcomes[1].count)
    for (number, (old, new)) in zip(outcomes[0], outcomes[1]).enumerated() {
      #expect(old == new, "after \(number): \(statements.prefix(number + 1).suffix(3))")
    }
  }

  /// A random insert of a member, the host or the adapter, of one or many rows, often with equal times; or another
  /// statement that changes events or states.
  private static func statement(_ number: Int, _ random: inout Pseudorandom) -> String {
    func anyone() -> String { client(Int.random(in: clients, using: &random)) }
    let member = "SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', '{\"sub\": \"\(user)\"}', true)"
    func rows(_ more: (Int) -> String = { _ in "" }) -> String {
      (0..<Int.random(in: 0...12, using: &random)).map {
        let day = Int.random(in: 1...3, using: &random)
        return "('\(anyone())'::uuid, '\(org)'::uuid, 'lead', 'note', timestamptz '2026-01-0\(day)'\(more($0)))"
      }.joined(separator: ", ")
    }
    let columns = "client_id, org_id, stage, event_type, occurred_at"
    func insert(_ more: String, _ rows: String) -> String {
      rows.isEmpty
        ? "INSERT INTO client_journey_events (\(columns)) SELECT \(columns) FROM client_journey_events WHERE false"
        : "INSERT INTO client_journey_events (\(columns)\(more)) VALUES \(rows)"
    }
    switch Int.random(in: 0..<10, using: &random) {
    case 0...2: return "\(member); \(insert("", rows()))"
    case 3: return insert("", rows())
    case 4:
      // An insert of the host, with and without a source.
      let mixed = rows { $0 % 2 == 0 ? ", NULL, NULL" : ", 'crm', 'm\(number)_\($0)'" }
      return insert(", source, source_event_id", mixed)
    case 5:
      let own = rows { ", 'crm', 'a\(number)_\($0 / 2)'" }
      return "SET LOCAL ROLE journey_adapter; \(insert(", source, source_event_id", own))"
    case 6: return "UPDATE journey_client_state SET summary = 'x' WHERE client_id > '\(anyone())'"
    case 7: return "UPDATE client_journey_events SET stage = 'billing', source = NULL WHERE client_id = '\(anyone())'"
    case 8: return "DELETE FROM client_journey_events WHERE client_id = '\(anyone())'"
    default: return "SELECT journey_merge_clients('\(org)', '\(anyone())', '\(anyone())')"
    }
  }

  /// The same numbers for the same seed.
  private struct Pseudorandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) | (state << 31)
    }
  }
}
