import TestSupport
import FoundationEssentials
import JourneyPostgres
import PostgresClient
import TestServers

/// A database with history: 20,000 clients of three organisations with 10 events each, one client with 1,000 and one
/// with 25,000, and their scores, actions, invoices, identities and states; and 30,000 dead letters.
struct PlanHistory: Sendable {
  static let clients = 20_000
  static let short = 1_000
  static let long = 25_000

  /// The tables that grow.
  static let bigTables: Set<String> = [
    "client_journey_events", "client_journey_scores", "contacts", "journey_client_state", "journey_dead_letters",
    "journey_identities", "journey_invoices",
    "journey_outbox",
  ]

  /// The server's statistics on the tables.
  enum Statistics: String, CaseIterable, Sendable {
    case analysed
    /// Just loaded by the host: not analysed yet.
    case none
  }

  let url: String

  /// Clients without events.
  static func empty() async throws -> PlanHistory {
    let url = try await MigratedDatabase.make()
    try await withDatabase(url) { worker in
      try await worker.run(whoSQL(clients))
      try await worker.run(clientsSQL)
    }
    return PlanHistory(url: url)
  }

  /// With history.
  static func filled(_ statistics: Statistics) async throws -> PlanHistory {
    let url = try await MigratedDatabase.make()
    let history = PlanHistory(url: url)
    try await withDatabase(url) { worker in
      // Where it runs meanwhile, its snapshot keeps entries of indexes that are dead from being passed over.
      for table in bigTables { try await worker.run("ALTER TABLE \(table) SET (autovacuum_enabled = off)") }
      try await worker.run(whoSQL(clients))
      try await worker.run(clientsSQL)
    }
    try await history.fill()
    if statistics == .analysed {
      try await withDatabase(url) { worker in
        try await worker.run("SET statement_timeout = 0")
        try await worker.run("VACUUM ANALYZE")
      }
    }
    return history
  }

  /// - Parameter clients: how many of the ordinary clients have events.
  /// - Parameter settingStages: whether stage-setting types set the stage.
  func fill(clients: Int = Self.clients, settingStages: Bool = true) async throws {
    try await withDatabase(url) { worker in
      try await worker.run(Self.whoSQL(clients))
      try await worker.run(
        settingStages ? Self.historySQL : Self.historySQL.replacing("t.stage IS NOT NULL", with: "false"))
    }
  }

  /// The rules that plans must follow here.
  func rules() async throws -> PlanRules {
    try await withDatabase(url) { worker in
      // A table has a bounded number of rows per page, analysed or not.
      let big = """
        SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
          AND (reltuples > 1000 OR reltuples < 0 AND pg_relation_size(oid) > 500000)
        """
      return PlanRules(bigTables: Set(try await worker.rows(big)))
    }
  }

  static func organization(_ n: Int) -> UUID { id(0xa, n) }
  /// An ordinary client, of organisation `n % 3`.
  static func client(_ n: Int) -> UUID { id(0xc, n) }
  static let shortClient = id(0xd, 1)
  static let longClient = id(0xd, 2)
  /// A member of organisation 0, which has the two clients with a long history.
  static let member = id(0xb, 1)

  private static func id(_ kind: UInt8, _ n: Int) -> UUID {
    withUnsafeBytes(of: UInt64(n).bigEndian) { b in
      UUID(uuid: (kind, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, b[2], b[3], b[4], b[5], b[6], b[7]))
    }
  }

  /// Foreign keys are not checked from here on, because the rows are generated.
  private static func whoSQL(_ clients: Int) -> String {
    """
    CREATE FUNCTION pg_temp.id(kind text, n int8) RETURNS uuid LANGUAGE sql IMMUTABLE AS
      $$ SELECT ('0' || kind || '000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    SET session_replication_role = replica;
    SET synchronous_commit = off;
    SET statement_timeout = 0;
    CREATE TEMP TABLE who AS
      SELECT pg_temp.id('c', n) AS client_id, pg_temp.id('a', n % 3) AS org_id, 'c' || n AS external_id, n, 10 AS events
        FROM generate_series(1, \(clients)) n
      UNION ALL VALUES ('\(shortClient)'::uuid, pg_temp.id('a', 0), 'short', 30001, \(short)), ('\(longClient)', pg_temp.id('a', 0), 'long', 30002, \(long));
    """
  }

  private static let clientsSQL = """
    INSERT INTO organizations (id, name) SELECT pg_temp.id('a', n), 'organisation ' || n FROM generate_series(0, 2) n;
    INSERT INTO user_organizations (user_id, org_id) VALUES ('\(member)', pg_temp.id('a', 0));
    INSERT INTO contacts (id, org_id, name, email, ai_score)
      SELECT client_id, org_id, 'Client ' || n, external_id || '@example.org', n % 90 FROM who;
    INSERT INTO journey_identities (org_id, source, external_id, client_id) SELECT org_id, 'crm', external_id, client_id FROM who;
    """

  /// A client's events are spread evenly over 600 days. They have all types that carry signals, and two more.
  private static let historySQL = """
    INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, metadata, occurred_at, source, source_event_id, sets_stage)
      SELECT gen_random_uuid(), client_id, org_id, COALESCE(t.stage, 'active_project'), t.type,
        jsonb_build_object('note', 'an older note of some length', 'invoiceId', CASE WHEN i / 13 % 5 > 0 OR (i + n) % 13 = 1 THEN 'i' || i / 13 END, 'usage', i % 100, 'sentiment',
          CASE WHEN i % 5 = 0 THEN 'negative' ELSE 'neutral' END),
        now() - interval '1 day' - (events - i) * (interval '600 days' / events) - n * interval '1 second', 'crm', 'h' || n || '-' || i, t.stage IS NOT NULL
      FROM who CROSS JOIN LATERAL generate_series(1, events) i
      JOIN (VALUES (0, 'meeting_scheduled', 'onboarding'), (1, 'invoice_overdue', 'billing'), (2, 'invoice_paid', NULL), (3, 'ticket_opened', NULL),
        (4, 'milestone_completed', 'active_project'), (5, 'milestone_delayed', NULL), (6, 'usage_reported', NULL), (7, 'usage_high', 'upsell_candidate'),
        (8, 'usage_low', NULL), (9, 'deliverable_sent', 'awaiting_feedback'), (10, 'note_added', NULL), (11, 'lead_created', 'lead'),
        (12, 'invoice_voided', NULL)) AS t(k, type, stage) ON t.k = (i + n) % 13;
    INSERT INTO journey_invoices (client_id, org_id, invoice_id, overdue_at, settled_at)
      SELECT client_id, org_id, 'i' || i, now() - i * interval '1 hour', CASE WHEN i % 5 > 0 THEN now() END
      FROM who CROSS JOIN LATERAL generate_series(0, events / 13) i ON CONFLICT DO NOTHING;
    CREATE TEMP TABLE made AS
      SELECT gen_random_uuid() AS id, client_id, org_id, CASE WHEN n > 30000 THEN i * interval '10 minutes' ELSE i * interval '5 days' + n * interval '1 second' END AS age,
        CASE WHEN i % 3 = 0 THEN (row_number() OVER () / 5)::int END AS batch, n + i AS k
      FROM who CROSS JOIN LATERAL generate_series(1, CASE WHEN n > 30000 THEN events ELSE 3 END) i;
    INSERT INTO journey_outbox (id, actions, confirmed_at, instance)
      SELECT pg_temp.id('f', batch), count(*), CASE WHEN batch % 100 > 0 THEN now() END, 2000000000 FROM made WHERE batch IS NOT NULL GROUP BY batch;
    INSERT INTO client_journey_scores
      (id, client_id, org_id, score, risk_level, recommended_actions, generated_at, explanation, action, channel, priority, reason, outbox_id)
      SELECT id, client_id, org_id, k % 140, (ARRAY['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'])[1 + k % 4], '["email_outreach"]', now() - age,
        '{"ruleVersion": "default-1", "stage": "billing", "contributions": [], "risks": [], "cause": {"source": "crm", "id": "x", "type": "y"},
          "candidates": [{"action": "email_outreach", "channel": "email", "trigger": "stage:lead", "reason": "r", "verdict": "chosen"}]}',
        CASE WHEN batch IS NOT NULL THEN 'email_outreach' END, 'email', 'low', 'r', CASE WHEN batch IS NOT NULL THEN pg_temp.id('f', batch) END
      FROM made;
    INSERT INTO journey_client_state (client_id, org_id, summary, stage, stage_at, score, risk_level, risks, last_event_at, scored_at)
      SELECT client_id, org_id, '', (ARRAY['lead', 'onboarding', 'billing', 'active_project', 'upsell_candidate', 'churn_risk', 'retention'])[1 + n % 7],
        now() - (n % 60) * interval '1 day', n % 140,
        CASE WHEN n % 50 = 0 THEN 'CRITICAL' WHEN n % 20 = 0 THEN 'HIGH' WHEN n % 5 = 0 THEN 'MEDIUM' ELSE 'LOW' END, '{late_invoices}', now(), now()
      FROM who ON CONFLICT (client_id) DO UPDATE SET summary = '';
    INSERT INTO journey_dead_letters
      (id, fingerprint, org_id, source, type, code, reason, exchange, routing_key, body, body_size, first_failed_at, failed_at, received_at, state)
      SELECT pg_temp.id('e', n), sha256(n::text::bytea), pg_temp.id('a', n % 3), 'crm', 'odd', 'unknown_type', 'a reason of some length', 'journey.events',
        'crm.odd', '{}', 2, t, t, t, CASE WHEN n % 10 = 0 THEN 'new' ELSE 'replayed' END
      FROM generate_series(1, 30000) n, LATERAL (SELECT now() - (30000 - n) * interval '1 minute' AS t) f;
    """
}
