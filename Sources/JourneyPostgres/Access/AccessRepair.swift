import PostgresClient

/// Revokes privileges beyond `AccessList` on the adapter's own objects, as far as the current login may.
enum AccessRepair {
  /// Must run in a transaction of the caller.
  /// - Returns: what was revoked, as text for the operator.
  static func run(_ connection: PostgresConnection) throws(PostgresError) -> [String] {
    let before = try HeldPrivilege.read(connection).filter { !$0.isMeant && !AccessList.entries[$0.entry].isHostOwned }
    guard !before.isEmpty else { return [] }
    for held in before { for statement in statements(against: held) { try attempt(statement, on: connection) } }
    let after = Set(try HeldPrivilege.read(connection).lazy.filter { !$0.isMeant }.map(\.text))
    return texts(before.filter { !after.contains($0.text) })
  }

  /// One line per object and role.
  private static func texts(_ revoked: [HeldPrivilege]) -> [String] {
    var lines: [(key: String, privileges: [String])] = []
    for held in revoked {
      let key = "on \(held.object) from \(held.holder)"
      let privilege = held.privilege + (held.column.map { " (\($0))" } ?? "")
      if let index = lines.firstIndex(where: { $0.key == key }) {
        lines[index].privileges.append(privilege)
      } else {
        lines.append((key, [privilege]))
      }
    }
    return lines.map { "\($0.privileges.joined(separator: ", ")) \($0.key)" }
  }

  private static func statements(against held: HeldPrivilege) -> [String] {
    let entry = AccessList.entries[held.entry]
    let kind =
      switch entry.kind {
      case .relation: "TABLE"
      case .sequence: "SEQUENCE"
      case .function: "FUNCTION"
      }
    let role = held.role == .everybody ? "PUBLIC" : quoted(held.role.rawValue)
    let columns = held.column.map { " (\(quoted($0)))" } ?? ""
    let revoke = "REVOKE \(held.privilege)\(columns) ON \(kind) \(held.object) FROM \(role) CASCADE"
    // Revoking a privilege on the table also revokes it on the columns. Grant the intended ones again.
    let meant = (entry.grants[held.role] ?? []).filter { held.column == nil && $0.privilege == held.privilege }
    return [revoke]
      + meant.map {
        "GRANT \($0.privilege) (\($0.columns.map(quoted).joined(separator: ", "))) ON \(held.object) TO \(role)"
      }
  }

  private static func quoted(_ name: String) -> String { "\"\(name)\"" }

  /// A privilege that another role granted cannot be revoked. The next check reports it.
  private static func attempt(_ statement: String, on connection: PostgresConnection) throws(PostgresError) {
    try connection.execute("SAVEPOINT access_repair")
    do throws(PostgresError) {
      try connection.execute(statement)
    } catch {
      guard error.sqlState == "42501" else { throw error }
      try connection.execute("ROLLBACK TO SAVEPOINT access_repair")
    }
    try connection.execute("RELEASE SAVEPOINT access_repair")
  }
}
