public import PostgresClient

/// The database's version, roles, protection and backlog, for `journey doctor`.
public struct StoreInspection: Sendable {
  public var serverVersion: Int32
  public var loginRole: String
  public var workingRole: String
  /// Whether the working role bypasses row level security.
  public var isPrivileged: Bool
  public var loginIsSuperuser: Bool
  /// Whether the login owns tables of the adapter, or is a member of their owner. False for a superuser.
  public var loginOwnsTables: Bool
  /// Whether the login may switch to `authenticated`, which the API does for every read.
  public var loginMayReadAsMember: Bool
  /// Tables of the adapter with row level security off.
  public var unprotectedTables: [String]
  /// Privileges that the working role lacks, such as `INSERT on client_journey_events`.
  public var missingPrivileges: [String]
  /// Server settings that weaken durability, such as `fsync = off`.
  public var unsafeSettings: [String]
  /// What waits.
  public var backlog: StoreBacklog
  /// Unpublished actions whose last attempt failed: reasons and counts, largest count first.
  public var stuckActions: [(reason: String, count: Int)]

  /// - Throws: `PostgresError`, also if the tables do not exist yet.
  public static func run(on worker: PostgresWorker) async throws -> StoreInspection {
    try await worker.perform { connection in
      let roles = try connection.execute(Statements.roles)
      let tables = try connection.execute(Statements.unprotected)
      let needed = Self.needed
      let privileges = try connection.execute(
        Statements.privileges,
        PostgresParameters {
          $0.texts(needed) { $0.kind }
          $0.texts(needed) { $0.name }
          $0.texts(needed) { $0.privilege }
          $0.texts(needed) { $0.column }
        })
      let settings = try connection.execute(Statements.settings)
      let backlog = try StoreBacklog.read(on: connection)
      let stuck = try connection.execute(Statements.stuck)
      return StoreInspection(
        serverVersion: connection.serverVersion, loginRole: try roles.text(0, 0), workingRole: try roles.text(0, 1),
        isPrivileged: try roles.bool(0, 2), loginIsSuperuser: try roles.bool(0, 3),
        loginOwnsTables: try roles.bool(0, 5), loginMayReadAsMember: try roles.bool(0, 4),
        unprotectedTables: try (0..<tables.rowCount).map { try tables.text($0, 0) },
        missingPrivileges: try (0..<privileges.rowCount).map { try privileges.text($0, 0) },
        unsafeSettings: try (0..<settings.rowCount).map { try settings.text($0, 0) },
        backlog: backlog,
        stuckActions: try (0..<stuck.rowCount).map { (try stuck.text($0, 0), Int(try stuck.int64($0, 1))) })
    }
  }

  private struct Needed {
    var kind: String
    var name: String
    var privilege: String
    var column: String?
  }

  /// Every privilege that `AccessList` grants to the adapter's role is needed.
  private static var needed: [Needed] {
    AccessList.entries.flatMap { entry in
      (entry.grants[.adapter] ?? []).flatMap { grant in
        // `HostColumns` checks which columns of the host's tables exist.
        if entry.isHostOwned, !grant.columns.isEmpty {
          return [Needed(kind: "some columns", name: entry.name, privilege: grant.privilege)]
        }
        let columns: [String?] = grant.columns.isEmpty ? [nil] : grant.columns
        return columns.map {
          Needed(kind: entry.kind.rawValue, name: entry.name, privilege: grant.privilege, column: $0)
        }
      }
    }
  }

  private enum Statements {
    static let roles = PostgresStatement(
      name: "inspect_roles",
      """
      SELECT session_user::text, current_user::text, r.rolsuper OR r.rolbypassrls OR EXISTS (
          SELECT 1 FROM pg_class c WHERE c.relowner = r.oid AND c.relname LIKE ANY ('{client\\_journey\\_%,journey\\_%}') AND c.relkind = 'r'),
        (SELECT rolsuper FROM pg_roles WHERE rolname = session_user), pg_has_role(session_user, 'authenticated', 'MEMBER'),
        NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) AND EXISTS (
          SELECT 1 FROM pg_class c WHERE c.relname LIKE ANY ('{client\\_journey\\_%,journey\\_%}') AND c.relkind = 'r'
            AND pg_has_role(session_user, c.relowner, 'MEMBER'))
      FROM pg_roles r WHERE r.rolname = current_user
      """)
    static let unprotected = PostgresStatement(
      name: "inspect_tables",
      """
      SELECT c.relname::text FROM pg_class c
      WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND NOT c.relrowsecurity
        AND c.relname LIKE ANY ('{client\\_journey\\_%,journey\\_%}') AND c.relname <> 'journey_migrations'
      ORDER BY 1
      """)
    /// $1: the kinds of objects, $2: their names, $3: privileges, $4: columns.
    static let privileges = PostgresStatement(
      name: "inspect_privileges",
      """
      SELECT i.privilege || COALESCE(' (' || i.col || ')', '') || ' on ' || i.name
      FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS i(kind, name, privilege, col, position)
      WHERE NOT CASE i.kind
        WHEN 'function' THEN has_function_privilege(i.name, i.privilege)
        WHEN 'sequence' THEN has_sequence_privilege(i.name, i.privilege)
        WHEN 'some columns' THEN has_any_column_privilege(i.name, i.privilege)
        ELSE CASE WHEN i.col IS NULL THEN has_table_privilege(i.name, i.privilege) ELSE has_column_privilege(i.name, i.col, i.privilege) END END
      ORDER BY i.position
      """)
    static let settings = PostgresStatement(
      name: "inspect_settings",
      """
      SELECT name || ' = ' || setting FROM pg_settings
      WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
      """)
    static let stuck = PostgresStatement(
      name: "inspect_stuck",
      """
      SELECT failure, sum(actions)::int8 FROM journey_outbox WHERE confirmed_at IS NULL AND failure IS NOT NULL AND next_attempt_at < 'infinity'
      GROUP BY failure ORDER BY 2 DESC, 1 LIMIT 5
      """)
  }
}
