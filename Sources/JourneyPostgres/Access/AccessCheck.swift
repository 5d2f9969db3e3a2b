public import PostgresClient

/// Compares the roles' privileges on the adapter's objects with `AccessList`.
public struct AccessCheck: Sendable {
  /// Unintended access, one text for each object, role and privilege.
  public var problems: [String]
  /// Settings that the host may intend, but that expose organisations to others.
  public var warnings: [String]

  /// - Parameter worker: any login. Nothing is changed.
  public static func run(on worker: PostgresWorker) async throws -> AccessCheck {
    try await worker.perform { connection throws(PostgresError) in try read(connection) }
  }

  static func read(_ connection: PostgresConnection) throws(PostgresError) -> AccessCheck {
    let excess = try HeldPrivilege.read(connection).filter { !$0.isMeant }
    let own = excess.filter { !AccessList.entries[$0.entry].isHostOwned }
    // On the host's tables only the adapter's own privileges can be judged.
    let hosts = excess.filter { AccessList.entries[$0.entry].isHostOwned && $0.role == .adapter }
    func names(_ kind: AccessList.Kind) -> [String] {
      AccessList.entries.filter { $0.kind == kind && !$0.isHostOwned }.map(\.name)
    }
    return AccessCheck(
      problems: texts(own) + (try sentences(connection, roles, names(.relation)))
        + (try sentences(connection, functions, names(.function)))
        + (try sentences(connection, views, names(.relation))),
      warnings: texts(hosts) + (try sentences(connection, membership)) + (try sentences(connection, schemas)))
  }

  /// A privilege that PUBLIC holds is reported once, not for each role.
  private static func texts(_ excess: [HeldPrivilege]) -> [String] {
    struct Key: Hashable {
      var entry: Int
      var privilege: String
      var column: String?
    }
    func key(_ held: HeldPrivilege) -> Key { Key(entry: held.entry, privilege: held.privilege, column: held.column) }
    let everybodys = Set(excess.lazy.filter { $0.role == .everybody }.map(key))
    return excess.filter { $0.role == .everybody || !everybodys.contains(key($0)) }.map(\.text)
  }

  // MARK: Access beyond privileges

  /// - Parameter names: of the objects to inspect; nil if the statement takes no parameter.
  private static func sentences(
    _ connection: PostgresConnection, _ statement: PostgresStatement, _ names: [String]? = nil
  ) throws(PostgresError) -> [String] {
    let result = try connection.execute(statement, PostgresParameters { if let names { $0.texts(names) } })
    var found: [String] = []
    for row in 0..<result.rowCount { found.append(try result.text(row, 0)) }
    return found
  }

  /// Roles that bypass privileges: superusers, BYPASSRLS, members of an owner or of the adapter's role.
  private static let roles = PostgresStatement(
    name: "inspect_access_roles",
    """
    SELECT r.rolname || CASE
        WHEN r.rolsuper THEN ' is a superuser'
        WHEN r.rolbypassrls THEN ' bypasses row level security'
        ELSE ' may act as ' || o.rolname || ', which owns tables of the adapter' END
    FROM pg_catalog.pg_roles r
    LEFT JOIN LATERAL (
      SELECT min(pg_get_userbyid(c.relowner)::text) AS rolname
      FROM unnest($1::text[]) AS i(name) JOIN pg_catalog.pg_class c ON c.oid = to_regclass(i.name)
      WHERE pg_has_role(r.oid, c.relowner, 'MEMBER')) o ON true
    WHERE r.rolname IN ('anon', 'authenticated', 'journey_adapter')
      AND (r.rolsuper OR r.rolbypassrls OR o.rolname IS NOT NULL)
    UNION ALL
    SELECT r.rolname || ' may act as journey_adapter'
    FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_roles a ON a.rolname = 'journey_adapter'
    WHERE r.rolname IN ('anon', 'authenticated') AND NOT r.rolsuper AND pg_has_role(r.oid, a.oid, 'MEMBER')
    """)

  /// SECURITY DEFINER functions whose search_path does not end with pg_temp: a caller could shadow their objects.
  private static let functions = PostgresStatement(
    name: "inspect_access_functions",
    """
    SELECT p.oid::regprocedure::text || ' runs as its owner, on a search_path that does not end with pg_temp'
    FROM unnest($1::text[]) AS i(name) JOIN pg_catalog.pg_proc p ON p.oid = to_regprocedure(i.name)
    WHERE p.prosecdef AND NOT EXISTS (
      SELECT FROM unnest(p.proconfig) AS s(setting) WHERE s.setting LIKE 'search\\_path=%, pg\\_temp')
    """)

  /// Views that read with their owner's rights, which bypasses row level security.
  private static let views = PostgresStatement(
    name: "inspect_access_views",
    """
    SELECT c.oid::regclass::text || ' is a view that reads as its owner, past row level security'
    FROM unnest($1::text[]) AS i(name) JOIN pg_catalog.pg_class c ON c.oid = to_regclass(i.name)
    WHERE c.relkind IN ('v', 'm') AND NOT COALESCE(
      c.reloptions && '{security_invoker=true,security_invoker=on,security_invoker=1}', false)
    """)

  /// A role that can write `user_organizations` can join any organisation.
  private static let membership = PostgresStatement(
    name: "inspect_membership",
    """
    SELECT r.rolname || ' may write user_organizations, which has no row level security: it can join any organisation'
    FROM pg_catalog.pg_roles r, pg_catalog.pg_class c
    WHERE r.rolname IN ('anon', 'authenticated') AND c.oid = to_regclass('user_organizations') AND NOT c.relrowsecurity
      AND has_any_column_privilege(r.rolname, c.oid, 'INSERT, UPDATE')
    """)

  /// A role that can create objects in these schemas can shadow those that the adapter's statements use.
  private static let schemas = PostgresStatement(
    name: "inspect_schemas",
    """
    SELECT CASE r.name WHEN 'public' THEN 'everybody (PUBLIC)' ELSE r.name END
      || ' may create objects in the schema ' || quote_ident(s.name)
    FROM unnest(current_schemas(false)) AS s(name), (
      SELECT 'public'::name
      UNION ALL SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('anon', 'authenticated')) AS r(name)
    WHERE has_schema_privilege(r.name, s.name::text, 'CREATE')
      AND (r.name = 'public' OR NOT has_schema_privilege('public', s.name::text, 'CREATE'))
    """)
}
