import AMQPClient
import JourneyConfiguration
import Journey
import PostgresClient

/// Whether what goes to a server, or comes from a client, can be read or changed on its way. Pure: a link is judged by
/// what is known of it.
struct LinkFinding: Hashable, Sendable {
  var subject: String
  var isSafe: Bool
  var text: String
  var advice: String?

  static func broker(_ settings: AMQPConnectionSettings) -> LinkFinding {
    let isLocal = settings.endpoints.allSatisfy { isLoopback($0.host) }
    let advice = "write amqps:// and ?cacertfile=/path/ca.pem into AMQP_URL, without verify=verify_none"
    guard let tls = settings.tls else {
      return LinkFinding("broker link", isLocal, isEncrypted: false, isLocal: isLocal, verified: nil, advice)
    }
    guard tls.verifiesPeer else {
      return LinkFinding(
        "broker link", isLocal, isEncrypted: true, isLocal: isLocal, verified: "verify=verify_none", advice)
    }
    return LinkFinding(
      subject: "broker link", isSafe: true, text: "encrypted; the broker is verified by its authority and its name",
      advice: nil)
  }

  static func database(_ link: PostgresLink) -> LinkFinding {
    let advice = "write ?sslmode=verify-full&sslrootcert=/path/ca.pem into DATABASE_URL"
    guard link.isEncrypted else {
      return LinkFinding(
        "database link", link.isLocal, isEncrypted: false, isLocal: link.isLocal, verified: "sslmode=\(link.mode)",
        advice)
    }
    switch link.verification {
    case .hostName:
      return LinkFinding(
        subject: "database link", isSafe: true,
        text: "encrypted; the database is verified by its authority and its name (sslmode=\(link.mode))")
    case .authority:
      return LinkFinding(
        subject: "database link", isSafe: link.isLocal,
        text:
          "encrypted; the database is verified by its authority but not by its name (sslmode=\(link.mode)): another server's certificate passes",
        advice: link.isLocal ? nil : advice)
    case .none:
      return LinkFinding(
        "database link", link.isLocal, isEncrypted: true, isLocal: link.isLocal, verified: "sslmode=\(link.mode)",
        advice)
    }
  }

  /// The API's own side, and where it has its keys from.
  static func api(_ options: APIOptions) -> [LinkFinding] {
    guard options.isEnabled else { return [] }
    var findings: [LinkFinding] = []
    if isLoopback(options.host) {
      findings.append(LinkFinding(subject: "API link", isSafe: true, text: "open to this machine alone"))
    } else {
      findings.append(
        LinkFinding(
          subject: "API link", isSafe: false,
          text: "open to other machines without TLS: whoever is on the way reads tokens and journeys",
          advice:
            "put a proxy that speaks TLS before it, and set api.trustedProxies to its address; or set api.host: 127.0.0.1"
        ))
    }
    if let address = options.keyAddress {
      let isHTTPS = address.hasPrefix("https://")
      findings.append(
        LinkFinding(
          subject: "API keys", isSafe: true,
          text: isHTTPS
            ? "fetched over https, verified by the system's authorities and the name"
            : "fetched over http; only from this machine"))
    }
    return findings
  }

  private static func isLoopback(_ host: String) -> Bool {
    host.lowercased() == "localhost" || host == "::1"
      || host.hasPrefix("127.") && host.allSatisfy { $0.isNumber || $0 == "." }
  }
}

extension LinkFinding {
  /// A link that is not encrypted, or to nobody knows whom.
  private init(_ subject: String, _ isSafe: Bool, isEncrypted: Bool, isLocal: Bool, verified: String?, _ advice: String)
  {
    let server = subject == "broker link" ? "the broker" : "the database", cause = verified.map { " (\($0))" } ?? ""
    var text = isEncrypted ? "encrypted, but \(server) is not verified\(cause)" : "not encrypted\(cause)"
    if isLocal {
      text += "; it stays on this machine"
    } else {
      text +=
        isEncrypted
        ? ": whoever is on the way can pose as \(server)"
        : ": whoever is on the way reads and changes everything, the password included"
    }
    self.init(subject: subject, isSafe: isSafe, text: text, advice: isSafe ? nil : advice)
  }
}

extension JourneyConfiguration.Settings {
  /// - Throws: where the settings cannot be read, or the database not be reached.
  func links() async throws -> [LinkFinding] {
    let link = try await withDatabase(asLogin: true) { try await $0.perform { $0.link } }
    return [.broker(try broker("check")), .database(link)] + LinkFinding.api(api)
  }
}
