import TestSupport
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// The repository's migrations on different databases.
@Suite struct MigrationsSchemaTests {
  /// The state of a Supabase project with the host application before the adapter is installed.
  private static let hostTables = """
    CREATE SCHEMA extensions;
    CREATE EXTENSION "uuid-ossp" SCHEMA extensions;
    SET search_path = public, extensions;
    DO $$ BEGIN CREATE ROLE anon NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
    DO $$ BEGIN CREATE ROLE authenticated NOLOGIN NOINHERIT; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated;
    CREATE SCHEMA auth;
    GRANT USAGE ON SCHEMA auth TO authenticated;
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
      $$ SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
    CREATE TABLE organizations (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), name text NOT NULL, plan text);
    CREATE TABLE contacts (
      id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), org_id uuid NOT NULL REFERENCES organizations, name text, email text, ai_score int,
      status text);
    CREATE TABLE user_organizations (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid, org_id uuid REFERENCES organizations);
    ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "Members see contacts" ON contacts FOR SELECT TO authenticated
      USING (org_id IN (SELECT org_id FROM user_organizations WHERE user_id = auth.uid()));
    INSERT INTO organizations (id, name) VALUES ('00000000-0000-0000-0000-00000000000a', 'A');
    INSERT INTO contacts (id, org_id, name) VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-00000000000a', 'C');
    RESET search_path;
    """

  @Test func emptyDatabaseAsSuperuser() async throws {
    try await withDatabase { worker in
      let files = try ShippedMigrations.load()
      let migrator = Migrator(worker, files: files)
      #expect(try await migrator.rehearse() == files)
      #expect(try await migrator.apply().map(\.version) == files.map(\.version))
      #expect(try await migrator.apply().isEmpty)
      let tables = Set(try await worker.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
      #expect(
        tables.isSuperset(of: [
          "client_journey_events", "client_journey_scores", "contacts", "journey_outbox", "journey_client_state",
          "journey_identities",
          "journey_invoices", "journey_migrations", "organizations", "user_organizations",
        ]))
      #expect(
        try await worker.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND NOT rowsecurity").isEmpty
      )
    }
  }

  @Test func namesOfTheDesignDocumentAreKept() async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      let indexes = Set(
        try await worker.rows("SELECT indexname FROM pg_indexes WHERE tablename LIKE 'client_journey%'"))
      for table in ["events", "scores"] {
        for column in table == "events"
          ? ["client", "org", "stage", "occurred"] : ["client", "org", "risk", "generated"]
        {
          #expect(indexes.contains("idx_client_journey_\(table)_\(column)"))
        }
      }
      let constraints = Set(
        try await worker.rows("SELECT conname FROM pg_constraint WHERE conrelid::regclass::text LIKE 'client_journey%'")
      )
      #expect(
        constraints.isSuperset(of: [
          "client_journey_events_stage_check", "client_journey_events_client_fk", "client_journey_events_org_fk",
          "client_journey_scores_risk_check", "client_journey_scores_client_fk", "client_journey_scores_org_fk",
        ]))
      let policies = Set(
        try await worker.rows("SELECT policyname FROM pg_policies WHERE tablename LIKE 'client_journey%'"))
      #expect(
        policies.isSuperset(of: [
          "client_journey_events_select", "client_journey_events_insert", "client_journey_scores_select",
          "client_journey_scores_insert",
          "client_journey_scores_update",
        ]))
    }
  }

  /// PostgREST embeds a client's contact by the name of a foreign key, `contacts!client_journey_events_client_fk(…)`,
  /// with any number of columns, and needs exactly one such key. By a column name, as in the design document, it finds
  /// only keys on that single column.
  @Test(arguments: [false, true])
  func contactsAreEmbeddedByTheNameOfTheKey(onHostsTables: Bool) async throws {
    try await withDatabase { worker in
      if onHostsTables { try await worker.run(HostSchema.tables()) }
      try await worker.migrate()
      let keys = try await worker.rows(
        """
        SELECT f.conrelid::regclass, f.conname, f.convalidated, (
            SELECT string_agg(a.attname || '=' || b.attname, ' ' ORDER BY n)
            FROM unnest(f.conkey, f.confkey) WITH ORDINALITY AS k (ours, theirs, n)
            JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.ours
            JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.theirs)
        FROM pg_constraint f
        WHERE f.contype = 'f' AND f.conparentid = 0 AND f.confrelid = 'contacts'::regclass
          AND f.conrelid IN ('client_journey_events'::regclass, 'client_journey_scores'::regclass)
        ORDER BY 1, 2
        """)
      #expect(
        keys
          == ["events", "scores"].map {
            "client_journey_\($0)|client_journey_\($0)_client_fk|t|client_id=id org_id=org_id"
          })
    }
  }

  @Test func hostDatabaseKeepsWhatIsItsOwn() async throws {
    try await withDatabase { worker in
      try await worker.run(Self.hostTables)
      try await worker.run("SET search_path = public, extensions")
      let own = "('organizations', 'contacts', 'user_organizations')"
      let policies =
        "SELECT policyname, qual FROM pg_policies WHERE roles = '{authenticated}' AND tablename IN \(own) ORDER BY 1"
      let security = "SELECT relname, relrowsecurity FROM pg_class WHERE relname IN \(own) ORDER BY 1"
      let contents = "SELECT c.id, c.name, o.name, o.plan FROM contacts c JOIN organizations o ON o.id = c.org_id"
      let before = try await [worker.rows(policies), worker.rows(security), worker.rows(contents)]
      try await worker.migrate()
      let after = try await [worker.rows(policies), worker.rows(security), worker.rows(contents)]
      #expect(after == before)
      #expect(before[1] == ["contacts|t", "organizations|f", "user_organizations|f"])
      // The id's default is the host's function; no second one was created.
      let makers = try await worker.rows(
        "SELECT pronamespace::regnamespace FROM pg_proc WHERE proname = 'uuid_generate_v4'")
      #expect(makers == ["extensions"])
      let types = try await worker.rows(
        """
        SELECT format_type(atttypid, -1) FROM pg_attribute
        WHERE attrelid = 'contacts'::regclass AND attname IN ('phone', 'ai_score') ORDER BY attname
        """)
      #expect(types == ["integer", "text"])
      // The host's default privileges would grant access to our tables, and no policy stops TRUNCATE.
      let open = try await worker.rows(
        """
        SELECT relname, r FROM pg_class, unnest(ARRAY['anon', 'authenticated']) r
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND has_table_privilege(r, oid, 'TRUNCATE') AND relname NOT IN \(own)
        """)
      #expect(open.isEmpty)
      // The adapter can read the host's contacts despite their row level security.
      try await worker.run("SET ROLE journey_adapter")
      #expect(try await worker.rows("SELECT count(*) FROM contacts") == ["1"])
      try await worker.run("RESET ROLE")
    }
  }

  /// The host has applied the design document's migration, and has used it.
  @Test func tablesOfTheDesignDocumentWithRowsAreKept() async throws {
    try await withDatabase { worker in
      let files = try ShippedMigrations.load()
      try await Migrator(worker, files: Array(files.prefix(2))).apply()
      try await worker.run(
        """
        INSERT INTO organizations (id) VALUES ('00000000-0000-0000-0000-00000000000a');
        INSERT INTO contacts (id, org_id) VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-00000000000a');
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, metadata)
          VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-00000000000a', 'lead', 'x', NULL);
        """)
      try await Migrator(worker, files: files).apply()
      let nullable = """
        SELECT attname FROM pg_attribute
        WHERE attrelid = 'client_journey_events'::regclass AND attname IN ('occurred_at', 'metadata') AND NOT attnotnull
        """
      #expect(try await worker.rows(nullable) == ["metadata"])
      #expect(try await worker.rows("SELECT sets_stage, source IS NULL FROM client_journey_events") == ["t|t"])
    }
  }

  @Test func ordinaryOwnerWithCreateRole() async throws {
    let servers = try await TestServers.shared()
    let url = try await servers.makeDatabase()
    try await withDatabase(url) { admin in
      let owner = "owner_\(try await admin.rows("SELECT pg_backend_pid()")[0])"
      try await admin.run("CREATE ROLE \(owner) LOGIN CREATEROLE PASSWORD 'test'")
      try await admin.run(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO \(owner)', current_database()); END $$")
      try await withDatabase(url.loggedIn(as: owner, password: "test")) { worker in
        try await worker.migrate()
        // Its membership allows it to switch to both roles.
        for role in ["journey_adapter", "authenticated"] {
          try await worker.run("SET ROLE \(role)")
          try await worker.run("RESET ROLE")
        }
        let owners = try await worker.rows("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        #expect(owners == [owner])
      }
    }
  }

  /// Roles belong to the cluster, so this test needs a cluster in which they were never created.
  @Test func missingRolesThatCannotBeMadeAreAClearError() async throws {
    let servers = try await TestServers.dedicated([.postgres])
    let url = servers.databaseURL()
    try await withDatabase(url) { admin in
      try await admin.run("CREATE ROLE plain LOGIN PASSWORD 'test'")
      try await admin.run("ALTER DATABASE postgres OWNER TO plain")
      try await withDatabase(url.loggedIn(as: "plain", password: "test")) { worker in
        do {
          try await worker.migrate()
          Issue.record("migrated without the roles")
        } catch let error as MigrationError {
          #expect(error.description.contains("CREATE ROLE authenticated"))
          #expect(error.description.contains("100_platform.sql"))
        }
      }
    }
    try await servers.stop()
  }

  @Test func privilegedAdapterRoleIsRefused() async throws {
    let servers = try await TestServers.dedicated([.postgres])
    try await withDatabase(servers.databaseURL()) { worker in
      try await worker.run("CREATE ROLE journey_adapter BYPASSRLS")
      do {
        try await worker.migrate()
        Issue.record("a role that bypasses row level security was accepted")
      } catch let error as MigrationError {
        #expect(error.description.contains("NOBYPASSRLS"))
      }
    }
    try await servers.stop()
  }

  @Test func missingHostColumnsAreReported() async throws {
    try await withDatabase { worker in
      try await worker.run("CREATE TABLE contacts (id uuid PRIMARY KEY, workspace_id uuid)")
      do {
        try await worker.migrate()
        Issue.record("migrated without org_id")
      } catch let error as MigrationError {
        #expect(error.description.contains("\"contacts\" has no column \"org_id\""))
      }
    }
  }
}
