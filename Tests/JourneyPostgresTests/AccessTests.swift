import TestSupport
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

/// The privileges of anon, authenticated and the adapter on the schema's objects, on a host whose default privileges
/// grant everything. Covers all existing objects, and so every new one.
@Suite struct AccessTests {
  private static let org = "00000000-0000-0000-0000-00000000000a"

  /// All tables, views, sequences and functions of the schema, with the names that the list uses.
  private static let objects = """
    SELECT relname::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY 1
    """

  @Test func everyObjectOfTheSchemaIsInTheList() async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      // Uses only built-in functions, which the owner of the host's tables must be able to execute.
      let open = ["uuid_generate_v4()"]
      let names = try await worker.rows(Self.objects).map { $0.replacing(",", with: ", ").replacing(",  ", with: ", ") }
      let listed = Set(AccessList.entries.map(\.name))
      #expect(
        names.filter { !listed.contains($0) && !open.contains($0) } == [], "no entry says who may do what with it")
      #expect(listed.subtracting(names) == [], "an entry for what is not there")
    }
  }

  @Test func rolesHoldJustWhatTheListSays() async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      // Read from the catalogue, not by the code under test.
      let held = try await worker.rows(
        """
        SELECT g.role || ' ' || a.privilege_type || ' ' || c.relname FROM pg_class c, aclexplode(c.relacl) a,
          LATERAL (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END AS role) g
        WHERE c.relnamespace = 'public'::regnamespace AND g.role IN ('PUBLIC', 'anon', 'authenticated') ORDER BY 1
        """)
      #expect(
        held == [
          "authenticated SELECT client_journey_events", "authenticated SELECT client_journey_scores",
          "authenticated SELECT contacts", "authenticated SELECT journey_action_states",
          "authenticated SELECT journey_actions", "authenticated SELECT journey_client_state",
          "authenticated SELECT journey_expectations",
          "authenticated SELECT journey_feeds",
          "authenticated SELECT journey_group_events", "authenticated SELECT journey_group_members",
          "authenticated SELECT journey_groups",
          "authenticated SELECT journey_identities",
          "authenticated SELECT journey_invoices", "authenticated SELECT journey_maps",
          "authenticated SELECT organizations",
          "authenticated SELECT user_organizations",
        ])
      let executable = try await worker.rows(
        """
        SELECT r || ' ' || p.oid::regprocedure FROM pg_proc p, unnest(ARRAY['public', 'anon', 'authenticated']) AS r
        WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'journey%'
          AND has_function_privilege(r, p.oid, 'EXECUTE')
        ORDER BY 1
        """)
      #expect(executable == ["authenticated journey_evaluated_until()", "authenticated journey_is_held(uuid)"])
      #expect(try await worker.perform { try AccessCheck.read($0).problems } == [])
    }
  }

  /// Every listed privilege is granted. The check does not report missing ones.
  @Test func rolesHoldAllThatTheListSays() async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      let held = try await worker.perform { connection in
        Set(try HeldPrivilege.read(connection).map { "\($0.role) \($0.privilege) \($0.column ?? "") \($0.entry)" })
      }
      for (place, entry) in AccessList.entries.enumerated() {
        for (role, grants) in entry.grants {
          for grant in grants {
            let columns = grant.columns.isEmpty ? [""] : grant.columns
            for column in columns {
              #expect(
                held.contains("\(role) \(grant.privilege) \(column) \(place)"),
                "\(role) lacks \(grant.privilege) on \(entry.name)")
            }
          }
        }
      }
    }
  }

  /// `journey doctor` and the start of `serve` check for the listed privileges.
  @Test func whatTheAdapterLacksIsNamed() async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      try await worker.run("SET ROLE journey_adapter")
      #expect(try await StoreInspection.run(on: worker).missingPrivileges == [])
      try await worker.run(
        """
        RESET ROLE;
        REVOKE DELETE ON journey_dead_letters FROM journey_adapter; REVOKE INSERT ON journey_unverified_emails FROM journey_adapter;
        REVOKE UPDATE (outbox_id) ON client_journey_scores FROM journey_adapter; REVOKE USAGE ON SEQUENCE journey_instances FROM journey_adapter;
        REVOKE EXECUTE ON FUNCTION journey_merge_clients(uuid, uuid, uuid) FROM journey_adapter; SET ROLE journey_adapter
        """)
      #expect(
        try await StoreInspection.run(on: worker).missingPrivileges.sorted() == [
          "DELETE on journey_dead_letters", "EXECUTE on journey_merge_clients(uuid, uuid, uuid)",
          "INSERT on journey_unverified_emails",
          "UPDATE (outbox_id) on client_journey_scores", "USAGE on journey_instances",
        ])
    }
  }

  /// Excess privileges that a host or an administrator granted later, or that earlier migrations left.
  @Test func migrateTakesBackWhatIsTooMuch() async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      try await worker.run(
        """
        GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO anon, authenticated;
        GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO anon, authenticated, PUBLIC;
        GRANT UPDATE (summary) ON journey_client_state TO anon;
        GRANT UPDATE ON client_journey_events TO journey_adapter
        """)
      let problems = try await AccessCheck.run(on: worker).problems
      #expect(problems.contains("anon holds TRUNCATE on journey_outbox"))
      #expect(problems.contains("everybody (PUBLIC) holds EXECUTE on journey_merge_clients(uuid,uuid,uuid)"))
      #expect(problems.contains("journey_adapter holds UPDATE on client_journey_events"))
      #expect(problems.contains("authenticated holds USAGE on journey_instances"))
      try await worker.migrate()
      #expect(try await AccessCheck.run(on: worker).problems == [])
      // Members can still write what they could write before.
      #expect(
        try await worker.rows(
          """
          SELECT has_table_privilege('authenticated', 'client_journey_events', 'INSERT'),
            has_column_privilege('authenticated', 'client_journey_events', 'event_type', 'INSERT'),
            has_column_privilege('authenticated', 'client_journey_events', 'source', 'INSERT'),
            has_table_privilege('anon', 'contacts', 'SELECT')
          """) == ["f|t|f|t"], "the host's own tables stay as the host has them")
    }
  }

  @Test func whatCannotBeTakenBackFailsTheMigration() async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      // A role with a unique name, because roles belong to the whole cluster and other tests use it.
      let name = try await worker.rows("SELECT 'grantor_' || current_database()")[0]
      try await worker.run(
        """
        CREATE ROLE \(name); GRANT SELECT ON journey_dead_letters TO \(name) WITH GRANT OPTION;
        GRANT USAGE ON SCHEMA public TO \(name);
        SET ROLE \(name); GRANT SELECT ON journey_dead_letters TO anon; RESET ROLE
        """)
      let migrator = Migrator(worker, files: try ShippedMigrations.load())
      for attempt: () async throws -> Void in [{ _ = try await migrator.rehearse() }, { try await migrator.apply() }] {
        let error = await #expect(throws: MigrationError.self) { try await attempt() }
        #expect(error?.description.contains("anon holds SELECT on journey_dead_letters") == true, "\(error as Any)")
      }
      try await worker.run("REVOKE ALL ON journey_dead_letters FROM \(name) CASCADE")
      try await worker.migrate()
    }
  }

  /// The check's result with a change applied. The change is rolled back.
  private func check(_ change: String, on worker: PostgresWorker) async throws -> AccessCheck {
    try await worker.perform { connection in
      try connection.begin()
      try connection.execute(change)
      let found = try AccessCheck.read(connection)
      try connection.rollback()
      return found
    }
  }

  @Test(arguments: [
    (
      "ALTER FUNCTION journey_merge_clients(uuid, uuid, uuid) SET search_path = public",
      "journey_merge_clients(uuid,uuid,uuid) runs as its owner, on a search_path that does not end with pg_temp"
    ),
    (
      "ALTER FUNCTION journey_lock_organizations(uuid[]) RESET search_path",
      "journey_lock_organizations(uuid[]) runs as its owner, on a search_path that does not end with pg_temp"
    ),
    (
      "ALTER VIEW journey_actions RESET (security_invoker)",
      "journey_actions is a view that reads as its owner, past row level security"
    ),
    // Roles belong to the cluster, but a rolled-back change of a role is invisible to others.
    ("GRANT journey_adapter TO authenticated", "authenticated may act as journey_adapter"),
    ("ALTER ROLE anon BYPASSRLS", "anon bypasses row level security"),
    ("GRANT postgres TO authenticated", "authenticated may act as postgres, which owns tables of the adapter"),
  ])
  func dangerousRolesFunctionsAndViewsAreFound(_ change: String, _ problem: String) async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      let found = try await check(change, on: worker)
      #expect(found.problems.contains(problem), "\(found)")
    }
  }

  @Test(arguments: [
    ("GRANT SELECT ON user_organizations TO journey_adapter", "journey_adapter holds SELECT on user_organizations"),
    ("GRANT CREATE ON SCHEMA public TO anon", "anon may create objects in the schema public"),
    (
      "GRANT INSERT ON user_organizations TO authenticated; ALTER TABLE user_organizations DISABLE ROW LEVEL SECURITY",
      "authenticated may write user_organizations, which has no row level security: it can join any organisation"
    ),
  ])
  func whatTheHostOpensIsAWarning(_ change: String, _ warning: String) async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      let found = try await check(change, on: worker)
      #expect(found.problems == [] && found.warnings == [warning], "\(found)")
    }
  }
}
