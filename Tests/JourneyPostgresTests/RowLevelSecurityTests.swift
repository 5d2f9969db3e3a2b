import TestSupport
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// One tenant never sees another: the database enforces it. Covers every existing table, and so every new one.
@Suite struct RowLevelSecurityTests {
  private static let orgA = "00000000-0000-0000-0000-00000000000a"
  private static let orgB = "00000000-0000-0000-0000-00000000000b"
  private static let clientA = "00000000-0000-0000-0000-0000000000a1"
  private static let clientB = "00000000-0000-0000-0000-0000000000b1"
  private static let userA = "00000000-0000-0000-0000-0000000000aa"
  private static let userB = "00000000-0000-0000-0000-0000000000bb"

  /// A row in every table for each of two organizations, written as the adapter's role.
  private func withTenants(_ body: (PostgresWorker) async throws -> Void) async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      for (org, client, user, tag) in [
        (Self.orgA, Self.clientA, Self.userA, "a"), (Self.orgB, Self.clientB, Self.userB, "b"),
      ] {
        try await worker.run(
          """
          INSERT INTO organizations (id) VALUES ('\(org)');
          INSERT INTO user_organizations (user_id, org_id) VALUES ('\(user)', '\(org)');
          SET ROLE journey_adapter;
          INSERT INTO contacts (id, org_id, name) VALUES ('\(client)', '\(org)', '\(tag)');
          INSERT INTO client_journey_events (client_id, org_id, stage, event_type, source, source_event_id)
            VALUES ('\(client)', '\(org)', 'lead', 'lead_created', 's', 'e1');
          INSERT INTO journey_identities (org_id, source, external_id, client_id) VALUES ('\(org)', 's', 'x', '\(client)');
          INSERT INTO journey_unverified_emails (client_id, org_id, email) VALUES ('\(client)', '\(org)', 'a@b.example');
          INSERT INTO journey_identity_log (org_id, action, client_id, actor) VALUES ('\(org)', 'linked', '\(client)', 'test');
          INSERT INTO journey_client_state (client_id, org_id) VALUES ('\(client)', '\(org)');
          INSERT INTO journey_invoices (client_id, org_id, invoice_id) VALUES ('\(client)', '\(org)', 'i');
          INSERT INTO journey_feeds (org_id, source, first_heard_at, heard_at, first_mark, heard_mark)
            VALUES ('\(org)', 's', now(), now(), 0, 0);
          INSERT INTO journey_expectations (client_id, org_id, rule, key, check_at)
            VALUES ('\(client)', '\(org)', 'r', '', now());
          INSERT INTO journey_consents (id, client_id, org_id, change, channel, at, source, actor)
            VALUES ('\(client)', '\(client)', '\(org)', 'blocked', 'email', now(), 's', 'test');
          INSERT INTO journey_outbox (id, actions) VALUES ('\(client)', 1);
          INSERT INTO client_journey_scores (client_id, org_id, action, channel, priority, reason, outbox_id)
            VALUES ('\(client)', '\(org)', 'email_outreach', 'email', 'low', 'r', '\(client)');
          INSERT INTO journey_action_states (action_id, org_id, changed_at, history)
            SELECT id, org_id, now(), '[]' FROM client_journey_scores WHERE client_id = '\(client)';
          INSERT INTO journey_groups (org_id, source, group_id) VALUES ('\(org)', 's', 'g');
          INSERT INTO journey_group_members (org_id, source, group_id, client_id) VALUES ('\(org)', 's', 'g', '\(client)');
          INSERT INTO journey_group_events (org_id, source, group_id, source_event_id, id, event_type, occurred_at, metadata, links)
            VALUES ('\(org)', 's', 'g', 'k1', '\(client)', 'x', now(), '{}', '[]');
          INSERT INTO journey_event_versions (change_id, event_id, client_id, org_id, version)
            VALUES (1, '\(client)', '\(client)', '\(org)', '{}');
          INSERT INTO journey_client_changes (id, client_id, org_id, at, cause, changes, stage, risk_level, outbox_id)
            VALUES ('\(client)', '\(client)', '\(org)', now(), '{}', '{}', 'lead', 'LOW', '\(client)');
          INSERT INTO journey_maps (org_id, stages, stages_at) VALUES ('\(org)', '[]', now());
          RESET ROLE;
          INSERT INTO journey_merges (client_id, org_id, into_id) VALUES ('\(client)', '\(org)', '\(client)');
          """)
      }
      try await body(worker)
    }
  }

  private static let tables = """
    SELECT c.relname, coalesce((SELECT a.attname FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname IN ('org_id', CASE c.relname WHEN 'organizations' THEN 'id' END) AND NOT a.attisdropped
          AND c.relname NOT LIKE 'journey_dead_letter%' AND c.relname NOT IN (
            'journey_client_changes', 'journey_consents', 'journey_holds', 'journey_identity_log', 'journey_unverified_emails', 'journey_event_versions', 'journey_merges', 'journey_kept_apart',
            'journey_parked')), '')
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1
    """

  private func asMember(
    _ worker: PostgresWorker, of user: String, _ body: @escaping @Sendable (PostgresConnection) throws -> Void
  ) async throws {
    try await worker.perform { connection in
      try connection.begin()
      try connection.execute(
        "SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', '{\"sub\": \"\(user)\"}', true)")
      try body(connection)
      try connection.rollback()
    }
  }

  /// Runs a statement in the open transaction and rolls it back. Returns the number of rows; nil if it was refused.
  private static func affected(_ sql: String, _ connection: PostgresConnection) throws -> Int? {
    try connection.execute("SAVEPOINT attempt")
    defer { _ = try? connection.execute("ROLLBACK TO attempt") }
    do throws(PostgresError) { return try connection.execute(sql).affectedRows } catch {
      // Refused, or a view that accepts no changes.
      if ["42501", "55000", "42809"].contains(error.sqlState) { return nil }
      throw error
    }
  }

  @Test func memberReachesNothingOfAnotherOrganization() async throws {
    try await withTenants { worker in
      let tables = try await worker.rows(Self.tables).map {
        $0.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
      }
      #expect(tables.count >= 10)
      for parts in tables {
        let (table, column) = (parts[0], parts[1])
        // A table without an organization column must be closed to members, and so must dead letters, whose
        // organization is only claimed, and tables for operators.
        if column.isEmpty {
          try await asMember(worker, of: Self.userA) { connection in
            for sql in ["SELECT * FROM \(table)", "DELETE FROM \(table)"] {
              let count = try Self.affected(sql, connection)
              try Self.require(count == nil || count == 0, "\(sql): \(count ?? 0)")
            }
            try Self.requireNoTruncate(table, connection)
          }
          continue
        }
        let (orgA, orgB) = (Self.orgA, Self.orgB)
        let total = try await worker.rows(
          "SELECT count(*) FILTER (WHERE \(column) = '\(orgA)'), count(*) FILTER (WHERE \(column) = '\(orgB)') FROM \(table)"
        )
        #expect(total == ["1|1"], "\(table) has no row of each organization, so this test says nothing about it")
        try await asMember(worker, of: Self.userA) { connection in
          let visible = try Self.affected("SELECT FROM \(table)", connection)
          try Self.require(
            visible == 1, "\(table): a member sees \(visible ?? -1) rows instead of the one of their own")
          let foreign = try Self.affected("SELECT FROM \(table) WHERE \(column) = '\(orgB)'", connection)
          try Self.require(foreign == 0, "\(table): a foreign row is visible")
          for sql in [
            "UPDATE \(table) SET \(column) = \(column) WHERE \(column) = '\(orgB)'",
            "UPDATE \(table) SET \(column) = '\(orgB)' WHERE \(column) = '\(orgA)'",
            "DELETE FROM \(table) WHERE \(column) = '\(orgB)'",
          ] {
            let count = try Self.affected(sql, connection)
            try Self.require(count == nil || count == 0, "\(sql): \(count ?? 0) rows")
          }
          try Self.requireNoTruncate(table, connection)
        }
        // A user without an organization sees no rows.
        try await asMember(worker, of: "00000000-0000-0000-0000-0000000000ff") { connection in
          try Self.require(try Self.affected("SELECT FROM \(table)", connection) == 0, "\(table): a stranger sees rows")
        }
      }
    }
  }

  private struct Violation: Error, CustomStringConvertible { var description: String }
  private static func require(_ holds: Bool, _ what: String) throws { if !holds { throw Violation(description: what) } }

  /// No policy stops TRUNCATE, which does not return a row count.
  private static func requireNoTruncate(_ table: String, _ connection: PostgresConnection) throws {
    try require(try affected("TRUNCATE \(table) CASCADE", connection) == nil, "\(table): a member may truncate it")
  }

  @Test func memberCannotWriteForAnotherOrganization() async throws {
    try await withTenants { worker in
      try await asMember(worker, of: Self.userA) { connection in
        let insert = "INSERT INTO client_journey_events (client_id, org_id, stage, event_type) VALUES"
        let foreign = try Self.affected("\(insert) ('\(Self.clientB)', '\(Self.orgB)', 'lead', 'x')", connection)
        try Self.require(foreign == nil, "foreign event")
        let own = try Self.affected("\(insert) ('\(Self.clientA)', '\(Self.orgA)', 'lead', 'x')", connection)
        try Self.require(own == 1, "own event")
        let score = "INSERT INTO client_journey_scores (client_id, org_id) VALUES ('\(Self.clientB)', '\(Self.orgB)')"
        try Self.require(try Self.affected(score, connection) == nil, "foreign score")
      }
    }
  }

  @Test func adapterRoleIsNoMoreThanItNeedsToBe() async throws {
    try await withTenants { worker in
      let role = try await worker.rows(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = 'journey_adapter'"
      )
      #expect(role == ["f|f|f|f|f"])
      #expect(try await worker.rows("SELECT relname FROM pg_class WHERE relowner = 'journey_adapter'::regrole").isEmpty)
      try await worker.run("SET ROLE journey_adapter")
      // The adapter reads all organizations and the schema's history.
      #expect(try await worker.rows("SELECT count(*) FROM client_journey_events") == ["2"])
      #expect(try await worker.rows("SELECT count(*) FROM journey_migrations") == ["\(ShippedMigrations.load().count)"])
      #expect(try await worker.rows("SELECT nextval('journey_instances') > 0") == ["t"])
      for sql in [
        "UPDATE client_journey_events SET org_id = org_id", "UPDATE client_journey_events SET source = source",
        "DELETE FROM client_journey_events", "DELETE FROM contacts",
        "DELETE FROM client_journey_scores", "UPDATE client_journey_scores SET score = 0",
        "UPDATE contacts SET org_id = org_id",
        "UPDATE organizations SET name = ''",
        "SELECT * FROM user_organizations", "TRUNCATE journey_invoices",
        "ALTER TABLE journey_invoices DISABLE ROW LEVEL SECURITY",
        "UPDATE journey_migrations SET checksum = ''", "UPDATE journey_identity_log SET why = ''",
        "DELETE FROM journey_identity_log",
        "INSERT INTO journey_event_changes (run, actor, login, action, event_ids) VALUES (gen_random_uuid(), 'a', 'b', 'void', '{}')",
        "INSERT INTO journey_event_changes (run, actor, at, action, event_ids) VALUES (gen_random_uuid(), 'a', now(), 'void', '{}')",
        "INSERT INTO journey_pauses (action, actor, login) VALUES ('pause', 'a', 'b')",
        "UPDATE journey_pauses SET actor = ''", "DELETE FROM journey_pauses",
        "INSERT INTO journey_holds (channel, actor, why, login) VALUES ('email', 'a', 'b', 'c')",
        "UPDATE journey_holds SET channel = ''", "DELETE FROM journey_holds",
      ] {
        await #expect {
          try await worker.run(sql)
        } throws: {
          ($0 as? PostgresError)?.sqlState == "42501"
        }
      }
      try await worker.run("RESET ROLE")
    }
  }

  @Test func clientNeverGetsARowOfAnotherOrganization() async throws {
    try await withTenants { worker in
      let tables = try await worker.rows(
        """
        SELECT c.conrelid::regclass FROM pg_constraint c
        WHERE c.contype = 'f' AND c.confrelid = 'contacts'::regclass AND cardinality(c.conkey) = 2 ORDER BY 1
        """)
      let all = try await worker.rows(
        """
        SELECT attrelid::regclass FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE attname = 'client_id' AND relkind = 'r' AND relnamespace = 'public'::regnamespace
          -- The record outlives the clients.
          AND relname <> 'journey_identity_log'
        """)
      let other = "ffffffff-0000-0000-0000-0000000000a2"
      try await worker.run(
        """
        INSERT INTO contacts (id, org_id) VALUES ('\(other)', '\(Self.orgA)');
        INSERT INTO journey_kept_apart (client_id, other_id, org_id) VALUES ('\(Self.clientA)', '\(other)', '\(Self.orgA)')
        """)
      #expect(Set(tables) == Set(all), "a table with a client_id lacks the composite foreign key")
      for table in tables {
        // Foreign keys apply without policies: even the owner cannot write such rows.
        await #expect("\(table)") {
          try await worker.run("UPDATE \(table) SET client_id = '\(Self.clientB)' WHERE client_id = '\(Self.clientA)'")
        } throws: {
          let error = $0 as? PostgresError
          return error?.sqlState == "23503" || error?.sqlState == "23505"
        }
      }
      await #expect {
        try await worker.run(
          """
          INSERT INTO client_journey_events (client_id, org_id, stage, event_type)
            VALUES ('\(Self.clientA)', '\(Self.orgB)', 'lead', 'x')
          """)
      } throws: {
        ($0 as? PostgresError)?.constraint == "client_journey_events_client_fk"
      }
    }
  }

  @Test func eventCountsOnce() async throws {
    try await withTenants { worker in
      await #expect {
        try await worker.run(
          """
          INSERT INTO client_journey_events (client_id, org_id, stage, event_type, source, source_event_id)
            VALUES ('\(Self.clientA)', '\(Self.orgA)', 'lead', 'y', 's', 'e1')
          """)
      } throws: {
        ($0 as? PostgresError)?.constraint == "client_journey_events_once"
      }
    }
  }

  @Test func deletingAClientTakesItsRowsAlong() async throws {
    try await withTenants { worker in
      try await worker.run("DELETE FROM contacts WHERE id = '\(Self.clientA)'")
      for table in [
        "client_journey_events", "client_journey_scores", "journey_identities", "journey_client_state",
        "journey_invoices", "journey_expectations", "journey_consents",
        "journey_actions",
      ] {
        #expect(try await worker.rows("SELECT count(*) FROM \(table)") == ["1"], "\(table)")
      }
    }
  }
}
