import Foundation
import TestServers

/// The logins of the adapter's programs.
enum TestLogin: Sendable {
  /// As docs/operations.md describes: `migrate` as an owner of the database without superuser rights, all else as a
  /// member of `journey_adapter` and `authenticated`; a broker user whose permissions cover only names that begin with
  /// `journey.`.
  case leastPrivileges
  /// A superuser, and an administrator of the broker.
  case administrator
}

/// The logins of one test environment.
struct TestLogins: Sendable {
  let amqpURL: String
  /// For all commands except `migrate`.
  let databaseURL: String
  /// For `migrate`.
  let ownerURL: String
  /// The login of all other commands. It becomes a member of the adapter's roles after the migration creates them.
  private let role: String?
  /// The role that migrates. It loses the right to create roles once they exist.
  private let owner: String?

  static func make(_ login: TestLogin, _ servers: TestServers, vhost: String, databaseURL: String) async throws
    -> TestLogins
  {
    guard login == .leastPrivileges else {
      return TestLogins(
        amqpURL: servers.amqpURL(vhost: vhost), databaseURL: databaseURL, ownerURL: databaseURL, role: nil, owner: nil)
    }
    let journey = #"^journey\..*"#
    let amqpURL = try await servers.allow(
      "adapter-\(vhost)", in: vhost, configure: journey, write: journey, read: journey)
    let name = databaseURL.databaseName
    let owner = "owner_\(name)", role = "login_\(name)"
    try await servers.sql(
      """
      CREATE ROLE \(owner) LOGIN CREATEROLE PASSWORD '\(TestServers.password(of: owner))'; CREATE ROLE \(role) LOGIN PASSWORD '\(TestServers.password(of: role))'; ALTER DATABASE \(name) OWNER TO \(owner)
      """)
    // The adapter creates no temporary objects.
    try await servers.sql("REVOKE TEMPORARY ON DATABASE \(name) FROM PUBLIC")
    try await servers.grantDefaults(of: owner, in: name)
    return TestLogins(
      amqpURL: amqpURL, databaseURL: databaseURL.loggedIn(as: role), ownerURL: databaseURL.loggedIn(as: owner),
      role: role, owner: owner)
  }

  /// Makes the owner of a copied database's tables that of this environment.
  func takeOver(from other: TestLogins, _ servers: TestServers, in database: String) async throws {
    guard let owner, let former = other.owner else { return }
    try await servers.sql("REASSIGN OWNED BY \(former) TO \(owner)", database: database)
  }

  func migrated(_ servers: TestServers) async throws {
    if let role { try await servers.sql("GRANT journey_adapter, authenticated TO \(role)") }
    if let owner { try await servers.sql("ALTER ROLE \(owner) NOCREATEROLE") }
  }
}

extension String {
  /// The last part of the path of a database's URL.
  var databaseName: String { split(separator: "?")[0].split(separator: "/").last.map(String.init) ?? "" }

  /// A URL with another login. URLComponents cannot parse URLs with several hosts.
  fileprivate func loggedIn(as name: String) -> String {
    guard let start = firstRange(of: "://")?.upperBound, let end = self[start...].firstIndex(of: "@") else {
      return self
    }
    return "\(self[..<start])\(name):\(TestServers.password(of: name))\(self[end...])"
  }
}
