import PostgresClient

/// Looks for conditions in the host's tables that would make the migrations fail: a wrong owner, rows that the login
/// cannot see, and inconsistent rows.
enum HostData {
  /// The problems as text for the operator: how many rows, in which table, and a query that lists them. Nothing is
  /// changed.
  /// - Parameter pending: the migrations that are about to be applied.
  static func problems(_ connection: PostgresConnection, before pending: [Migration]) throws(PostgresError) -> [String]
  {
    guard !pending.isEmpty else { return [] }
    // Without access to the tables their rows cannot be checked.
    let isNew = pending.contains { $0.version == 103 }
    let barred = try access(
      connection, to: ["client_journey_events", "client_journey_scores"] + (isNew ? ["contacts"] : []))
    guard barred.isEmpty else { return barred }
    // From version 103 on, foreign keys guarantee these conditions.
    guard isNew else { return [] }
    var found: [String] = []
    for (number, check) in checks.enumerated() where try exist(check.columns, connection) {
      if let problem = try check.problem(number, connection) { found.append(problem) }
    }
    return found
  }

  private static func access(_ connection: PostgresConnection, to tables: [String]) throws(PostgresError) -> [String] {
    let result = try connection.execute(accessStatement, PostgresParameters { $0.texts(tables) })
    var found: [String] = []
    for row in 0..<result.rowCount {
      let table = try result.text(row, 0)
      let owner = try result.text(row, 1)
      let login = try result.text(row, 2)
      let quoted = PostgresConnection.quotedIdentifier(login)
      if try !result.bool(row, 3) {
        found.append(
          "\(table) belongs to \(owner), and \(login) migrates: migrate as \(owner), or run GRANT "
            + "\(PostgresConnection.quotedIdentifier(owner)) TO \(quoted)")
      } else if try !result.bool(row, 4) {
        found.append("\(login) may not read \(table): run GRANT SELECT ON \(table) TO \(quoted)")
      } else if try result.bool(row, 5) {
        found.append(
          "row level security hides rows of \(table) from \(login): run ALTER TABLE \(table) NO FORCE ROW LEVEL SECURITY "
            + "while you migrate, or give \(login) a policy FOR ALL USING (true)")
      }
    }
    return found
  }

  /// For each existing table: its owner, the login, whether the login acts as the owner, whether it may read the table,
  /// and whether row level security hides rows from it.
  private static let accessStatement = PostgresStatement(
    name: "read_host_access",
    """
    SELECT i.relation, pg_get_userbyid(c.relowner)::text, current_user::text, pg_has_role(current_user, c.relowner, 'USAGE'),
      has_table_privilege(c.oid, 'SELECT'),
      row_security_active(c.oid) AND NOT (o.is_open AND NOT o.is_restricted)
    FROM unnest($1::text[]) AS i(relation)
    JOIN pg_catalog.pg_class c ON c.oid = to_regclass(i.relation)
    CROSS JOIN LATERAL (
      SELECT COALESCE(bool_or(p.polpermissive AND p.is_true), false) AS is_open,
        COALESCE(bool_or(NOT p.polpermissive AND NOT p.is_true), false) AS is_restricted
      FROM (SELECT p.*, pg_get_expr(p.polqual, p.polrelid) = 'true' AS is_true FROM pg_catalog.pg_policy p) p
      WHERE p.polrelid = c.oid AND p.polcmd IN ('*', 'r')
        AND (0 = ANY (p.polroles) OR EXISTS (
          SELECT FROM unnest(p.polroles) AS r(role) WHERE r.role <> 0 AND pg_has_role(current_user, r.role, 'USAGE')))
    ) o
    ORDER BY i.relation
    """)

  private static func exist(_ columns: [(String, String)], _ connection: PostgresConnection) throws(PostgresError)
    -> Bool
  {
    let result = try connection.execute(
      PostgresStatement(
        name: "count_host_columns",
        """
        SELECT count(*) FROM unnest($1::text[], $2::text[]) AS i(relation, attribute)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass(i.relation) AND a.attname = i.attribute AND NOT a.attisdropped
        """),
      PostgresParameters {
        $0.texts(columns) { $0.0 }
        $0.texts(columns) { $0.1 }
      })
    return try result.int64(0, 0) == Int64(columns.count)
  }

  private struct Check: Sendable {
    var columns: [(String, String)]
    /// Completes "3 rows of contacts have …".
    var what: String
    /// The FROM clause and what follows it; the table has the alias `t`.
    var rows: String

    func problem(_ number: Int, _ connection: PostgresConnection) throws(PostgresError) -> String? {
      let table = columns[0].0
      let result = try connection.execute(
        PostgresStatement(
          name: "check_host_\(number)",
          "SELECT count(*), array_to_string((array_agg(t.id::text ORDER BY t.id))[1:3], ', ') \(rows)"))
      let count = try result.int64(0, 0)
      guard count > 0 else { return nil }
      let examples = try result.textIfPresent(0, 1) ?? ""
      return
        "\(table): \(count) \(count == 1 ? "row has" : "rows have") \(what), for example \(examples). All of them: SELECT t.* \(rows)"
    }
  }

  private static let checks =
    ["client_journey_events", "client_journey_scores"].flatMap { table in
      let columns = [
        (table, "id"), (table, "client_id"), (table, "org_id"), ("contacts", "id"), ("contacts", "org_id"),
      ]
      return [
        Check(
          columns: columns, what: "an org_id that is not their client's",
          rows: "FROM \(table) t JOIN contacts c ON c.id = t.client_id WHERE t.org_id <> c.org_id"),
        Check(
          columns: columns, what: "a client_id that no contact has",
          rows: "FROM \(table) t WHERE NOT EXISTS (SELECT FROM contacts c WHERE c.id = t.client_id)"),
      ]
    } + [
      Check(
        columns: [("contacts", "id"), ("contacts", "org_id"), ("organizations", "id")],
        what: "no organisation that exists",
        rows: "FROM contacts t WHERE NOT EXISTS (SELECT FROM organizations o WHERE o.id = t.org_id)")
    ]
}
