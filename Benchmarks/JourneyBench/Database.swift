import Foundation
import PostgresClient

/// The benchmark's own connection to the database, as its owner.
struct Database {
  /// PostgreSQL's counters at one point in time.
  struct Counters {
    var walBytes: Int
    var commits: Int
  }

  private let worker: PostgresWorker
  /// The server process of this connection. Its CPU time is the benchmark's, not the measured program's.
  let backend: Int32

  init(_ servers: Servers) async throws {
    var settings = try PostgresSettings(conninfo: servers.databaseURL, applicationName: "benchmark")
    settings.statementTimeout = .seconds(7200)
    settings.deadline = nil
    worker = PostgresWorker(settings)
    backend = try await worker.perform { $0.backendPID }
  }

  func close() async { await worker.close() }

  func execute(_ sql: String) async throws {
    try await worker.perform { _ = try $0.execute(sql) }
  }

  /// The numbers in the first row.
  func numbers(_ sql: String) async throws -> [Int] {
    try await worker.perform { connection in
      let result = try connection.execute(sql)
      guard result.rowCount > 0 else { return [] }
      return try (0..<result.columnCount).map { Int(try result.text(0, $0)) ?? 0 }
    }
  }

  func counters() async throws -> Counters {
    let row = try await numbers(
      "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, xact_commit FROM pg_stat_database WHERE datname = current_database()"
    )
    return Counters(walBytes: row[0], commits: row[1])
  }

  func scores() async throws -> Int { try await numbers("SELECT count(*) FROM client_journey_scores")[0] }

  /// The explanation of a score whose size is closest to the mean.
  func typicalExplanation() async throws -> String {
    try await worker.perform { connection in
      let result = try connection.execute(
        """
        SELECT explanation FROM client_journey_scores, (SELECT avg(octet_length(explanation::text)) AS mean FROM client_journey_scores) AS m
        ORDER BY abs(octet_length(explanation::text) - mean) LIMIT 1
        """)
      return result.rowCount > 0 ? try result.text(0, 0) : ""
    }
  }

  // MARK: Contents

  /// - Parameter first: the number of existing clients.
  func seed(clients: Int, after first: Int = 0) async throws {
    try await execute(
      """
      INSERT INTO organizations (id, name)
      SELECT \(Self.organization("i")), 'organisation ' || i FROM generate_series(0, \(Workload.organizations - 1)) i ON CONFLICT DO NOTHING;
      INSERT INTO contacts (id, org_id, name, email, ai_score)
      SELECT \(Self.client("i")), \(Self.organization("i % \(Workload.organizations)")), 'client ' || i, 'c' || i || '@example.org',
        CASE WHEN i % 3 > 0 THEN 30 + i % 60 END FROM generate_series(\(first), \(clients - 1)) i;
      ANALYZE organizations, contacts
      """)
  }

  /// Adds older events, as the adapter stores them, spread evenly over the clients. Foreign keys are not checked,
  /// because the rows are generated here.
  func addHistory(_ events: Int, clients: Int, hotClient: Int) async throws {
    try await execute("SET session_replication_role = replica; SET synchronous_commit = off")
    let step = 500_000
    for first in stride(from: 0, to: events, by: step) {
      try await execute(
        Self.history(first..<min(first + step, events), of: events, client: "i % \(clients)", kind: "1"))
      say("  \(min(first + step, events)) older events")
    }
    if hotClient > 0 { try await execute(Self.history(0..<hotClient, of: hotClient, client: "0", kind: "2")) }
    try await execute("RESET session_replication_role; RESET synchronous_commit")
    try await execute("VACUUM ANALYZE client_journey_events")
  }

  private static func history(_ rows: Range<Int>, of count: Int, client: String, kind: String) -> String {
    let types = Workload.types.map { "'\($0)'" }.joined(separator: ",")
    let stages = Workload.types.map { "'\(stage($0))'" }.joined(separator: ",")
    let type = "1 + (i / 7 + i * 7) % \(Workload.types.count)"
    return """
      INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, metadata, occurred_at, source, source_event_id, sets_stage)
      SELECT ('0190000\(kind)-' || substr(h, 1, 4) || '-7' || substr(h, 5, 3) || '-8000-' || h)::uuid, \(Self.client(client)),
        \(organization("(\(client)) % \(Workload.organizations)")), (ARRAY[\(stages)])[\(type)], (ARRAY[\(types)])[\(type)],
        jsonb_build_object('note', 'an older note of some length, number ' || i, 'agent', 'agent-' || i % 50),
        now() - interval '81 days' - (\(count) - i) * (interval '600 days' / \(count)), 'history', 'h\(kind)-' || i, true
      FROM (SELECT i, lpad(to_hex(i), 12, '0') AS h FROM generate_series(\(rows.lowerBound)::bigint, \(rows.upperBound - 1)) i) AS n
      """
  }

  private static func stage(_ type: String) -> String {
    switch type {
    case "lead_created": "lead"
    case "lead_qualified": "qualified_lead"
    case "contract_signed", "meeting_scheduled": "onboarding"
    case "deliverable_sent", "survey_answered": "awaiting_feedback"
    case "subscription_renewed": "retention"
    case "usage_high": "upsell_candidate"
    case "cancel_requested": "churn_risk"
    default: type.hasPrefix("invoice") ? "billing" : "active_project"
    }
  }

  static func organization(_ n: String) -> String { id("a000", n) }
  static func client(_ n: String) -> String { id("c000", n) }
  private static func id(_ kind: String, _ n: String) -> String {
    "('00000000-0000-4000-\(kind)-' || lpad(to_hex((\(n)) + 1), 12, '0'))::uuid"
  }

  /// Empties the adapter's tables. Older events may stay, but no state, so every run starts with unread clients.
  func reset(keepingHistory: Bool) async throws {
    let kept = keepingHistory ? "'client_journey_events', 'journey_identities'" : "''"
    try await execute(
      """
      DO $reset$ BEGIN
        EXECUTE (SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') FROM pg_tables
          WHERE schemaname = 'public' AND (tablename LIKE 'journey\\_%' OR tablename LIKE 'client\\_journey\\_%')
            AND tablename NOT LIKE '%migration%' AND tablename NOT IN (\(kept)));
      END $reset$
      """)
    try await execute("CHECKPOINT")
  }

  /// How many events of a run are stored, by the prefix of their ids.
  func stored(run: Int) async throws -> Int {
    let organizations = (0..<Workload.organizations).map { "'\(Workload.organizationID($0))'" }.joined(separator: ",")
    let sources = Workload.sources.map { "'\($0)'" }.joined(separator: ",")
    return try await numbers(
      """
      SELECT count(*) FROM client_journey_events WHERE org_id IN (\(organizations)) AND source IN (\(sources))
        AND source_event_id >= '\(Workload.prefix(run))' AND source_event_id < '\(Workload.prefix(run + 1))'
      """)[0]
  }

  /// The number of actions decided since the last reset.
  func decided() async throws -> Int { try await numbers("SELECT count(*) FROM journey_actions")[0] }
}
