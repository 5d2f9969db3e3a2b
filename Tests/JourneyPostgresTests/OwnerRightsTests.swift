import TestSupport
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// A user that can only log in and create temporary objects cannot run code with the owner's rights.
@Suite struct OwnerRightsTests {
  private static let org = "00000000-0000-0000-0000-00000000000a"
  private static let client = "00000000-0000-0000-0000-0000000000a1"
  private static let user = "00000000-0000-0000-0000-0000000000aa"

  /// A host's database whose owner is not a superuser, and a member's session with direct SQL.
  private func withMember(_ body: (PostgresWorker, _ admin: PostgresWorker, _ owner: String) async throws -> Void)
    async throws
  {
    let servers = try await TestServers.shared()
    let url = try await servers.makeDatabase()
    try await withDatabase(url) { admin in
      let name = try await admin.rows("SELECT current_database()")[0]
      let (owner, login) = ("own_\(name)", "log_\(name)")
      try await admin.run(
        """
        CREATE ROLE \(owner) LOGIN CREATEROLE PASSWORD 'test'; CREATE ROLE \(login) LOGIN PASSWORD 'test';
        ALTER DATABASE \(name) OWNER TO \(owner)
        """
      )
      try await servers.grantDefaults(of: owner, in: name)
      try await withDatabase(url.loggedIn(as: owner, password: "test")) { try await $0.migrate() }
      try await admin.run(
        """
        INSERT INTO organizations (id) VALUES ('\(Self.org)');
        INSERT INTO contacts (id, org_id) VALUES ('\(Self.client)', '\(Self.org)');
        INSERT INTO user_organizations (user_id, org_id) VALUES ('\(Self.user)', '\(Self.org)');
        GRANT authenticated TO \(login);
        CREATE TABLE caught (who text, what text); GRANT INSERT, SELECT ON caught TO PUBLIC
        """)
      try await withDatabase(url.loggedIn(as: login, password: "test")) { try await body($0, admin, owner) }
    }
  }

  /// Objects of the caller with the names of every relation, type and function that our functions use. Each records
  /// which role runs it.
  private static func traps(_ more: String...) -> String {
    let record = """
      CREATE FUNCTION pg_temp.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.caught VALUES (current_user, TG_RELID::regclass::text); RETURN COALESCE(NEW, OLD); END $$;
      CREATE FUNCTION pg_temp.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.caught VALUES (current_user, what); RETURN true; END $$;
      """
    let tables = [
      "organizations", "contacts", "client_journey_events", "client_journey_scores", "journey_identities",
      "journey_client_state", "journey_invoices",
    ]
    let temporary = (tables + more).map { table in
      """
      CREATE TEMPORARY TABLE \(table) AS TABLE public.\(table) WITH NO DATA;
      INSERT INTO pg_temp.\(table) SELECT * FROM public.\(table);
      CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON pg_temp.\(table) FOR EACH ROW
        EXECUTE FUNCTION pg_temp.note();
      CREATE TRIGGER note_statement AFTER INSERT OR UPDATE OR DELETE ON pg_temp.\(table) FOR EACH STATEMENT
        EXECUTE FUNCTION pg_temp.note();
      CREATE RULE note AS ON UPDATE TO pg_temp.\(table) DO ALSO SELECT pg_temp.note('rule of \(table)');
      GRANT ALL ON pg_temp.\(table) TO PUBLIC;
      """
    }
    let rest = """
      CREATE UNIQUE INDEX ON pg_temp.journey_client_state (client_id);
      CREATE UNIQUE INDEX ON pg_temp.journey_identities (org_id, source, external_id);
      CREATE TEMPORARY VIEW inserted AS
        SELECT client_id, org_id, source FROM public.client_journey_events WHERE pg_temp.note('inserted');
      CREATE DOMAIN pg_temp.uuid AS pg_catalog.uuid CHECK (pg_temp.note('uuid'));
      CREATE DOMAIN pg_temp.regclass AS pg_catalog.regclass CHECK (pg_temp.note('regclass'));
      CREATE FUNCTION pg_temp.count(pg_catalog.uuid) RETURNS bigint LANGUAGE sql AS $$ SELECT 0::bigint $$;
      CREATE FUNCTION pg_temp.same(pg_catalog.uuid, pg_catalog.uuid) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN RETURN pg_temp.note('='); END $$;
      CREATE OPERATOR pg_temp.= (LEFTARG = pg_catalog.uuid, RIGHTARG = pg_catalog.uuid, FUNCTION = pg_temp.same);
      """
    return record + temporary.joined(separator: "\n") + rest
  }

  @Test func membersObjectsAreNeverRunByTheOwner() async throws {
    try await withMember { member, admin, owner in
      try await member.run(
        """
        SET ROLE authenticated; SET search_path = pg_temp, public;
        SELECT set_config('request.jwt.claims', '{"sub": "\(Self.user)"}', false)
        """
      )
      try await member.run(Self.traps("user_organizations"))
      // Calls every function of ours, directly and as a trigger on a table of the member.
      let functions = try await admin.rows(
        """
        SELECT p.proname, p.prorettype = 'trigger'::regtype, (
          SELECT string_agg('NULL::' || format_type(t, NULL), ', ') FROM unnest(p.proargtypes) AS t)
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'journey%'
          AND p.proname NOT IN ('journey_evaluated_until', 'journey_is_held')
        """
      ).map { $0.split(separator: "|", omittingEmptySubsequences: false).map(String.init) }
      #expect(functions.count >= 4)
      for function in functions {
        let statement =
          function[1] == "t"
          ? "CREATE TRIGGER steal AFTER INSERT ON pg_temp.contacts EXECUTE FUNCTION public.\(function[0])()"
          : "SELECT public.\(function[0])(\(function[2]))"
        await #expect("\(function[0]) is for a member to run") {
          try await member.run(statement)
        } throws: {
          ($0 as? PostgresError)?.sqlState == "42501"
        }
      }
      // Statements that a member may run execute triggers, policies, the view, and the functions that members may
      // call.
      try await member.run("SELECT public.journey_evaluated_until(), public.journey_is_held(gen_random_uuid())")
      let values = "('\(Self.client)', '\(Self.org)', 'lead', 'note')"
      try await member.run(
        "INSERT INTO public.client_journey_events (client_id, org_id, stage, event_type) VALUES \(values), \(values)")
      try await member.run(
        "INSERT INTO public.client_journey_scores (client_id, org_id) VALUES ('\(Self.client)', '\(Self.org)')")
      try await member.run("UPDATE public.client_journey_scores SET score = 1")
      for view in ["journey_actions", "journey_client_state", "journey_maps", "journey_outbox"] {
        try await member.run(
          "SELECT count(*) FROM (SELECT \(view == "journey_outbox" ? "id" : "*") FROM public.\(view)) AS v")
      }
      let caught = try await admin.rows("SELECT DISTINCT who, what FROM caught WHERE who <> 'authenticated'")
      #expect(caught == [], "\(owner) ran what a member had made")
      // The trigger changed the real tables.
      #expect(try await admin.rows("SELECT count(*) FROM public.journey_client_state") == ["1"])
    }
  }

  /// The adapter calls functions that run with the owner's rights. It creates no temporary objects itself, but an
  /// attacker with its role may.
  @Test func adaptersObjectsAreNeverRunByTheOwner() async throws {
    try await withMember { login, admin, _ in
      let other = "00000000-0000-0000-0000-0000000000a2"
      try await admin.run(
        """
        INSERT INTO contacts (id, org_id) VALUES ('\(other)', '\(Self.org)');
        DO $$ BEGIN EXECUTE format('GRANT journey_adapter TO %I', 'log_' || current_database()); END $$
        """
      )
      try await login.run("SET search_path = pg_temp, public; SET ROLE journey_adapter")
      try await login.run(Self.traps())
      try await login.run("SELECT public.journey_lock_organizations(ARRAY['\(Self.org)'::pg_catalog.uuid])")
      try await login.run(
        """
        SELECT public.journey_absorb_identity('\(Self.org)'::pg_catalog.uuid, 'crm', 'x', '\(Self.client)'::pg_catalog.uuid);
        SELECT public.journey_absorb_identity('\(Self.org)'::pg_catalog.uuid, 'crm', 'x', '\(other)'::pg_catalog.uuid);
        """)
      #expect(
        try await admin.rows("SELECT merged_into FROM public.journey_client_state WHERE client_id = '\(Self.client)'")
          == [other])
      #expect(try await admin.rows("SELECT DISTINCT who, what FROM caught WHERE who <> 'journey_adapter'") == [])
    }
  }

  /// The privileges that docs/operations.md allows an administrator to revoke.
  @Test func neitherCreateRoleNorTemporaryObjectsAreNeeded() async throws {
    let servers = try await TestServers.shared()
    let url = try await servers.makeDatabase()
    try await withDatabase(url) { admin in
      // The roles exist, as after the first migration in the cluster.
      try await admin.run(
        """
        DO $$ BEGIN CREATE ROLE journey_adapter NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
        """
      )
      let name = try await admin.rows("SELECT current_database()")[0]
      let (owner, login) = ("own_\(name)", "log_\(name)")
      try await admin.run(
        """
        CREATE ROLE \(owner) LOGIN NOCREATEROLE PASSWORD 'test';
        CREATE ROLE \(login) LOGIN PASSWORD 'test'
          IN ROLE journey_adapter, authenticated;
        ALTER DATABASE \(name) OWNER TO \(owner); REVOKE TEMPORARY ON DATABASE \(name) FROM PUBLIC, \(owner)
        """)
      try await servers.grantDefaults(of: owner, in: name)
      try await withDatabase(url.loggedIn(as: owner, password: "test")) { worker in
        try await worker.migrate()
        #expect(try await AccessCheck.run(on: worker).problems == [])
      }
      try await withDatabase(url.loggedIn(as: login, password: "test"), role: "journey_adapter") { worker in
        await #expect {
          try await worker.run("CREATE TEMPORARY TABLE t ()")
        } throws: {
          ($0 as? PostgresError)?.sqlState == "42501"
        }
        let problem: String? = try await CommitCheck.problem(
          worker, signals: DecisionRules().signals, keepsRawBodies: true)
        #expect(problem == nil)
      }
    }
  }
}
