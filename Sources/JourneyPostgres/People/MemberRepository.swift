public import FoundationEssentials
public import PostgresClient

/// A user of the host application who may see an organisation's clients.
public struct Member: Hashable, Sendable, Encodable {
  private enum CodingKeys: String, CodingKey { case userID = "userId", role }

  public var userID: UUID
  /// nil if the host's table has no roles.
  public var role: String?
}

public enum MemberOutcome: String, Hashable, Sendable {
  case added
  case known
  /// The member has another role now.
  case changed
}

/// The members of organisations, in the host's `user_organizations`.
public struct MemberRepository: Sendable {
  private let worker: PostgresWorker

  public init(worker: PostgresWorker) { self.worker = worker }

  /// The users with an e-mail address in the host's table of logins.
  /// - Returns: nil if the host has no such table.
  public func users(email: String) async throws -> [UUID]? {
    try await worker.perform { connection in
      guard try connection.execute(Statements.hasUsers, PostgresParameters()).bool(0, 0) else { return nil }
      let found = try connection.execute(Statements.users, PostgresParameters { $0.text(email) })
      return try (0..<found.rowCount).map { try found.uuid($0, 0) }
    }
  }

  /// Makes a user a member, or gives a member another role.
  /// - Parameter role: nil: the table's default for a new member; a known one keeps its role.
  public func add(orgID: UUID, user: UUID, role: String?) async throws -> MemberOutcome {
    try await worker.perform { connection in
      try connection.transaction {
        try connection.execute("SELECT pg_advisory_xact_lock(hashtext('journey member add'))")
        let type = try Self.roleType(connection)
        let member = PostgresParameters {
          $0.uuid(user)
          $0.uuid(orgID)
        }
        let found = try connection.execute(Statements.find(type), member)
        guard let role else {
          if found.rowCount > 0 { return .known }
          _ = try connection.execute(Statements.add, member)
          return .added
        }
        guard let type else { throw MissingRoleColumn() }
        if found.rowCount > 0, try found.textIfPresent(0, 1) == role { return .known }
        let withRole = PostgresParameters {
          $0.uuid(user)
          $0.uuid(orgID)
          $0.text(role)
        }
        _ = try connection.execute(Statements.write(type, isNew: found.rowCount == 0), withRole)
        return found.rowCount == 0 ? .added : .changed
      }
    }
  }

  /// - Returns: whether the user was a member.
  public func remove(orgID: UUID, user: UUID) async throws -> Bool {
    try await worker.perform { connection in
      try connection.execute(
        Statements.remove,
        PostgresParameters {
          $0.uuid(user)
          $0.uuid(orgID)
        }
      ).rowCount > 0
    }
  }

  public func list(orgID: UUID) async throws -> [Member] {
    try await worker.perform { connection in
      let found = try connection.execute(
        Statements.list(try Self.roleType(connection)), PostgresParameters { $0.uuid(orgID) })
      return try (0..<found.rowCount).map {
        Member(userID: try found.uuid($0, 0), role: try found.textIfPresent($0, 1))
      }
    }
  }

  /// The host's table has no column `role`.
  public struct MissingRoleColumn: Error, CustomStringConvertible {
    public let description = "user_organizations has no column role: leave --role out"
  }

  /// The type of the column `role`, which may be an enumeration of the host's; nil without the column.
  private static func roleType(_ connection: PostgresConnection) throws(PostgresError) -> String? {
    let found = try connection.execute(Statements.roleType)
    return found.rowCount == 1 ? try found.text(0, 0) : nil
  }

  private enum Statements {
    static let hasUsers = PostgresStatement(
      name: "has_users", "SELECT to_regclass('auth.users') IS NOT NULL")
    static let users = PostgresStatement(
      name: "users_by_email", "SELECT id FROM auth.users WHERE lower(email::text) = lower($1::text) ORDER BY id")
    static let roleType = """
      SELECT format_type(atttypid, atttypmod) FROM pg_attribute
      WHERE attrelid = to_regclass('user_organizations') AND attname = 'role' AND NOT attisdropped
      """
    static func find(_ type: String?) -> PostgresStatement {
      PostgresStatement(
        name: "find_member", "SELECT user_id, \(role(type)) FROM user_organizations WHERE user_id = $1 AND org_id = $2")
    }
    static func list(_ type: String?) -> PostgresStatement {
      PostgresStatement(
        name: "list_members", "SELECT user_id, \(role(type)) FROM user_organizations WHERE org_id = $1 ORDER BY user_id"
      )
    }
    private static func role(_ type: String?) -> String { type == nil ? "NULL::text" : "role::text" }

    static let add = PostgresStatement(
      name: "add_member", "INSERT INTO user_organizations (user_id, org_id) VALUES ($1, $2)")
    /// - Parameter type: from the database's catalogue, where it is quoted as SQL needs it.
    static func write(_ type: String, isNew: Bool) -> PostgresStatement {
      isNew
        ? PostgresStatement(
          name: "add_member_with_role",
          "INSERT INTO user_organizations (user_id, org_id, role) VALUES ($1, $2, $3::text::\(type))")
        : PostgresStatement(
          name: "change_role",
          "UPDATE user_organizations SET role = $3::text::\(type) WHERE user_id = $1 AND org_id = $2")
    }
    static let remove = PostgresStatement(
      name: "remove_member", "DELETE FROM user_organizations WHERE user_id = $1 AND org_id = $2 RETURNING user_id")
  }
}
