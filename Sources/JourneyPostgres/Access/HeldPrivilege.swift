import PostgresClient

/// A privilege that a role holds: directly, through PUBLIC, or through a role that it is a member of.
struct HeldPrivilege {
  var role: AccessRole
  /// Index of the object in `AccessList.entries`.
  var entry: Int
  /// The object's name, quoted if SQL requires it.
  var object: String
  var privilege: String
  /// nil: the privilege covers the whole object.
  var column: String?

  var isMeant: Bool { AccessList.entries[entry].allows(privilege, on: column, to: role) }

  /// Names the role in texts for the operator.
  var holder: String { role == .everybody ? "everybody (PUBLIC)" : role.rawValue }
  var text: String {
    "\(holder) holds \(privilege)\(column.map { " (\($0))" } ?? "") on \(object)"
  }

  /// The privileges that the roles hold on the listed objects that exist.
  static func read(_ connection: PostgresConnection) throws(PostgresError) -> [HeldPrivilege] {
    let entries = AccessList.entries
    func names(_ kind: AccessList.Kind) -> [String?] { entries.map { $0.kind == kind ? $0.name : nil } }
    // Servers before version 17 reject the name of this privilege.
    let maintain = connection.serverVersion >= 170_000 ? ["MAINTAIN"] : []
    let result = try connection.execute(
      statement,
      PostgresParameters {
        $0.texts(AccessRole.allCases) { $0.rawValue }
        $0.texts(names(.relation))
        $0.texts(names(.sequence))
        $0.texts(names(.function))
        $0.texts(["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"] + maintain)
      })
    var held: [HeldPrivilege] = []
    for row in 0..<result.rowCount {
      guard let role = AccessRole(rawValue: try result.text(row, 0)) else { continue }
      held.append(
        HeldPrivilege(
          role: role, entry: Int(try result.int64(row, 1)) - 1, object: try result.text(row, 2),
          privilege: try result.text(row, 3), column: try result.textIfPresent(row, 4)))
    }
    return held
  }

  private static let statement = PostgresStatement(
    name: "read_privileges",
    """
    WITH roles AS (
      SELECT r.name::name AS name FROM unnest($1::text[]) AS r(name)
      WHERE r.name = 'public' OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r.name)
    ), relations AS (
      SELECT i.position, to_regclass(i.name) AS relation FROM unnest($2::text[]) WITH ORDINALITY AS i(name, position)
      WHERE to_regclass(i.name) IS NOT NULL
    ), sequences AS (
      SELECT i.position, to_regclass(i.name) AS relation FROM unnest($3::text[]) WITH ORDINALITY AS i(name, position)
      WHERE to_regclass(i.name) IS NOT NULL
    ), functions AS (
      SELECT i.position, to_regprocedure(i.name) AS routine FROM unnest($4::text[]) WITH ORDINALITY AS i(name, position)
      WHERE to_regprocedure(i.name) IS NOT NULL
    )
    SELECT r.name::text, t.position, t.relation::text, p.privilege, NULL::text
    FROM roles r, relations t, unnest($5::text[]) AS p(privilege)
    WHERE has_table_privilege(r.name, t.relation::oid, p.privilege)
    UNION ALL
    SELECT r.name::text, t.position, t.relation::text, p.privilege, a.attname::text
    FROM roles r, relations t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p(privilege),
      pg_catalog.pg_attribute a
    WHERE a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
      AND has_column_privilege(r.name, t.relation::oid, a.attnum, p.privilege)
      AND NOT has_table_privilege(r.name, t.relation::oid, p.privilege)
    UNION ALL
    SELECT r.name::text, s.position, s.relation::text, p.privilege, NULL
    FROM roles r, sequences s, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p(privilege)
    WHERE has_sequence_privilege(r.name, s.relation::oid, p.privilege)
    UNION ALL
    SELECT r.name::text, f.position, f.routine::text, 'EXECUTE', NULL
    FROM roles r, functions f WHERE has_function_privilege(r.name, f.routine::oid, 'EXECUTE')
    """)
}
