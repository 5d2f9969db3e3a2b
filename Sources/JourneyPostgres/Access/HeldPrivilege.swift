import PostgresClient

/// A privilege that a role has, from whomever it has it: granted, everybody's, or another role's whose member it is.
struct HeldPrivilege {
  var role: AccessRole
  /// The place of the object in `AccessList.entries`.
  var entry: Int
  /// The object's name, quoted where SQL needs that.
  var object: String
  var privilege: String
  /// nil: on the whole object.
  var column: String?

  var isMeant: Bool { AccessList.entries[entry].allows(privilege, on: column, to: role) }

  /// For a person.
  var holder: String { role == .everybody ? "everybody (PUBLIC)" : role.rawValue }
  var text: String {
    "\(holder) holds \(privilege)\(column.map { " (\($0))" } ?? "") on \(object)"
  }

  /// What the roles hold on those objects of the list that are there.
  static func read(_ connection: PostgresConnection) throws(PostgresError) -> [HeldPrivilege] {
    let entries = AccessList.entries
    func names(_ kind: AccessList.Kind) -> [String?] { entries.map { $0.kind == kind ? $0.name : nil } }
    // A privilege of later servers, which earlier ones do not know by name.
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
      SELECT i.place, to_regclass(i.name) AS relation FROM unnest($2::text[]) WITH ORDINALITY AS i(name, place)
      WHERE to_regclass(i.name) IS NOT NULL
    ), sequences AS (
      SELECT i.place, to_regclass(i.name) AS relation FROM unnest($3::text[]) WITH ORDINALITY AS i(name, place)
      WHERE to_regclass(i.name) IS NOT NULL
    ), functions AS (
      SELECT i.place, to_regprocedure(i.name) AS routine FROM unnest($4::text[]) WITH ORDINALITY AS i(name, place)
      WHERE to_regprocedure(i.name) IS NOT NULL
    )
    SELECT r.name::text, t.place, t.relation::text, p.privilege, NULL::text
    FROM roles r, relations t, unnest($5::text[]) AS p(privilege)
    WHERE has_table_privilege(r.name, t.relation::oid, p.privilege)
    UNION ALL
    SELECT r.name::text, t.place, t.relation::text, p.privilege, a.attname::text
    FROM roles r, relations t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p(privilege),
      pg_catalog.pg_attribute a
    WHERE a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
      AND has_column_privilege(r.name, t.relation::oid, a.attnum, p.privilege)
      AND NOT has_table_privilege(r.name, t.relation::oid, p.privilege)
    UNION ALL
    SELECT r.name::text, s.place, s.relation::text, p.privilege, NULL
    FROM roles r, sequences s, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p(privilege)
    WHERE has_sequence_privilege(r.name, s.relation::oid, p.privilege)
    UNION ALL
    SELECT r.name::text, f.place, f.routine::text, 'EXECUTE', NULL
    FROM roles r, functions f WHERE has_function_privilege(r.name, f.routine::oid, 'EXECUTE')
    """)
}
