import Crypto
import FoundationEssentials
import PostgresClient

/// The roles of a least-privilege installation, as a script for `psql`, run by an administrator of the server.
public struct RoleScript: Sendable {
  public typealias Login = (name: String, password: String)

  private let database: String
  private let owner: Login
  private let service: Login

  /// - Parameters:
  ///   - owner: owns the database and, once it has migrated, the tables.
  ///   - service: for `journey serve`; owns nothing.
  public init(database: String, owner: Login, service: Login) {
    self.database = database
    self.owner = owner
    self.service = service
  }

  /// Contains the passwords' SCRAM verifiers only, so that neither the script nor the server's log reveals them.
  public var text: String {
    let roles = [owner, service].map { login in
      let attributes = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
      return """
        \(create(login.name, attributes))
        SELECT format('ALTER ROLE %I PASSWORD %L', rolname, \(literal(Self.verifier(login.password))))
          FROM pg_roles WHERE rolname = \(literal(login.name)) AND NOT rolsuper \\gexec
        """
    }
    return """
      \\set ON_ERROR_STOP on
      -- The owner of the tables and the login of the service. Existing roles only get their passwords.
      \(roles.joined(separator: "\n"))
      -- What the adapter works as, and what members of organisations read as.
      \(create("journey_adapter", "NOLOGIN"))
      \(create("authenticated", "NOLOGIN NOINHERIT"))
      GRANT journey_adapter, authenticated TO \(name(owner.name));
      GRANT journey_adapter, authenticated TO \(name(service.name));
      SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = \(literal(database))) AS is_new \\gset
      \\if :is_new
      CREATE DATABASE \(name(database)) OWNER \(name(owner.name));
      REVOKE CONNECT, TEMPORARY ON DATABASE \(name(database)) FROM PUBLIC;
      GRANT CONNECT ON DATABASE \(name(database)) TO \(name(service.name));
      \\endif
      -- A database that was there keeps its owner.
      GRANT CONNECT, CREATE ON DATABASE \(name(database)) TO \(name(owner.name));
      GRANT CONNECT ON DATABASE \(name(database)) TO \(name(service.name));
      \\connect \(name(database))
      GRANT USAGE, CREATE ON SCHEMA public TO \(name(owner.name));
      """
  }

  private func create(_ role: String, _ attributes: String) -> String {
    """
    SELECT format('CREATE ROLE %I \(attributes)', \(literal(role)))
      WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = \(literal(role))) \\gexec
    """
  }

  private func literal(_ text: String) -> String { "'\(text.replacing("'", with: "''"))'" }
  private func name(_ text: String) -> String { PostgresConnection.quotedIdentifier(text) }

  /// What the server stores of a password, `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
  /// Source: RFC 5802, section 3; PostgreSQL's `pg_authid`.
  private static func verifier(_ password: String) -> String {
    let iterations = 4096
    let salt = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
    let key = SymmetricKey(data: Array(password.utf8))
    func code(_ key: SymmetricKey, _ data: [UInt8]) -> [UInt8] {
      Array(HMAC<SHA256>.authenticationCode(for: data, using: key))
    }
    var block = code(key, salt + [0, 0, 0, 1]), salted = block
    for _ in 1..<iterations {
      block = code(key, block)
      for index in salted.indices { salted[index] ^= block[index] }
    }
    let saltedKey = SymmetricKey(data: salted)
    let storedKey = SHA256.hash(data: code(saltedKey, Array("Client Key".utf8)))
    let parts = [salt, Array(storedKey), code(saltedKey, Array("Server Key".utf8))].map {
      Data($0).base64EncodedString()
    }
    return "SCRAM-SHA-256$\(iterations):\(parts[0])$\(parts[1]):\(parts[2])"
  }
}
