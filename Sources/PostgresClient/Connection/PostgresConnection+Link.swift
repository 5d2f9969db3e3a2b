import CLibPQ
import Glibc

/// How the session's traffic to the server is protected.
public struct PostgresLink: Hashable, Sendable {
  public enum Verification: Hashable, Sendable {
    /// The server's identity is not checked.
    case none
    /// A trusted authority signed the certificate; it may belong to another host.
    case authority
    /// The certificate also belongs to this host.
    case hostName
  }

  /// Whether it uses a Unix socket or a loopback address, so that nothing leaves the machine.
  public var isLocal: Bool
  public var isEncrypted: Bool
  public var verification: Verification
  /// The effective `sslmode`, from the connection string or from `PGSSLMODE`.
  public var mode: String
}

extension PostgresConnection {
  public var link: PostgresLink {
    let pointer = libpq.pointer
    let options = libpqOptions(PQconninfo(pointer)).compactMapValues(\.self)
    let host = PQhost(pointer).map { String(cString: $0) } ?? "",
      address = PQhostaddr(pointer).map { String(cString: $0) } ?? ""
    let isLocal = host.hasPrefix("/") || host.hasPrefix("@") || address.hasPrefix("127.") || address == "::1"
    let isEncrypted = PQsslInUse(pointer) == 1, mode = options["sslmode"] ?? "prefer"
    let verification: PostgresLink.Verification =
      switch mode {
      case _ where !isEncrypted: .none
      case "verify-full": .hostName
      case "verify-ca": .authority
      // With a root certificate file, libpq treats `require` as `verify-ca`.
      case "require" where access(options["sslrootcert"] ?? Self.standardAuthority, R_OK) == 0: .authority
      default: .none
      }
    return PostgresLink(isLocal: isLocal, isEncrypted: isEncrypted, verification: verification, mode: mode)
  }

  private static var standardAuthority: String {
    (getenv("HOME").map { String(cString: $0) } ?? "") + "/.postgresql/root.crt"
  }
}
