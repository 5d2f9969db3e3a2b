import CLibPQ
import Glibc

/// What protects a session on its way to the server.
public struct PostgresLink: Hashable, Sendable {
  public enum Verification: Hashable, Sendable {
    /// Whoever answers is believed to be the server.
    case none
    /// The certificate is signed by an authority that is trusted; it may be for another host.
    case authority
    /// It is for this host as well.
    case hostName
  }

  /// Over a Unix socket or a loopback address: nothing leaves the machine.
  public var isLocal: Bool
  public var isEncrypted: Bool
  public var verification: Verification
  /// `sslmode` as libpq took it, from the connection string or from `PGSSLMODE`.
  public var mode: String

  public init(isLocal: Bool, isEncrypted: Bool, verification: Verification, mode: String) {
    self.isLocal = isLocal
    self.isEncrypted = isEncrypted
    self.verification = verification
    self.mode = mode
  }
}

extension PostgresConnection {
  public var link: PostgresLink {
    let pointer = libpq.pointer
    let options = Self.options(of: pointer)
    let host = PQhost(pointer).map { String(cString: $0) } ?? "",
      address = PQhostaddr(pointer).map { String(cString: $0) } ?? ""
    let isLocal = host.hasPrefix("/") || host.hasPrefix("@") || address.hasPrefix("127.") || address == "::1"
    let isEncrypted = PQsslInUse(pointer) == 1, mode = options["sslmode"] ?? "prefer"
    let verification: PostgresLink.Verification =
      switch mode {
      case _ where !isEncrypted: .none
      case "verify-full": .hostName
      case "verify-ca": .authority
      // libpq: where there is an authority's file, `require` is the same as `verify-ca`.
      case "require" where access(options["sslrootcert"] ?? Self.standardAuthority, R_OK) == 0: .authority
      default: .none
      }
    return PostgresLink(isLocal: isLocal, isEncrypted: isEncrypted, verification: verification, mode: mode)
  }

  private static var standardAuthority: String {
    (getenv("HOME").map { String(cString: $0) } ?? "") + "/.postgresql/root.crt"
  }

  /// What is not secret of the options in use, those of the environment included.
  private static func options(of pointer: OpaquePointer) -> [String: String] {
    guard let list = PQconninfo(pointer) else { return [:] }
    defer { PQconninfoFree(list) }
    var options: [String: String] = [:]
    var entry = list
    while let keyword = entry.pointee.keyword {
      let name = String(cString: keyword)
      if name == "sslmode" || name == "sslrootcert", let value = entry.pointee.val {
        options[name] = String(cString: value)
      }
      entry += 1
    }
    return options
  }
}
