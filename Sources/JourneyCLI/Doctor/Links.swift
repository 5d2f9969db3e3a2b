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
    let verifies = settings.tls?.verifiesPeer ?? false
    return LinkFinding(
      "broker", isLocal: settings.endpoints.allSatisfy { isLoopback($0.host) }, isEncrypted: settings.tls != nil,
      verifies ? .hostName : .none, setting: settings.tls == nil || verifies ? nil : "verify=verify_none",
      advice: "write amqps:// and ?cacertfile=/path/ca.pem into AMQP_URL, without verify=verify_none")
  }

  static func database(_ link: PostgresLink) -> LinkFinding {
    LinkFinding(
      "database", isLocal: link.isLocal, isEncrypted: link.isEncrypted, link.verification,
      setting: "sslmode=\(link.mode)",
      advice: "write ?sslmode=verify-full&sslrootcert=/path/ca.pem into DATABASE_URL")
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
  /// - Parameters:
  ///   - server: `broker` or `database`.
  ///   - setting: the one that decides how the link is protected.
  ///   - advice: how to protect a link that is not safe.
  private init(
    _ server: String, isLocal: Bool, isEncrypted: Bool, _ verification: PostgresLink.Verification, setting: String?,
    advice: String
  ) {
    let cause = setting.map { " (\($0))" } ?? "", stays = isLocal ? "; it stays on this machine" : nil
    isSafe = isLocal || isEncrypted && verification == .hostName
    text =
      switch verification {
      case _ where !isEncrypted:
        "not encrypted\(cause)"
          + (stays ?? ": whoever is on the way reads and changes everything, the password included")
      case .none:
        "encrypted, but the \(server) is not verified\(cause)"
          + (stays ?? ": whoever is on the way can pose as the \(server)")
      case .authority:
        "encrypted; the \(server) is verified by its authority but not by its name\(cause): another server's certificate passes"
      case .hostName: "encrypted; the \(server) is verified by its authority and its name\(cause)"
      }
    subject = "\(server) link"
    self.advice = isSafe ? nil : advice
  }
}

extension JourneyConfiguration.Settings {
  /// - Throws: where the settings cannot be read, or the database not be reached.
  func links() async throws -> [LinkFinding] {
    let link = try await withDatabase(asLogin: true) { try await $0.perform { $0.link } }
    return [.broker(try broker("check")), .database(link)] + LinkFinding.api(api)
  }
}

extension DiagnosticReport {
  /// Whether connections are encrypted, and whether the servers are verified. A warning at most: a private network may
  /// be trusted.
  mutating func links(_ settings: JourneyConfiguration.Settings) async {
    // An unreachable database is reported already.
    let findings =
      (try? await settings.links()) ?? ((try? settings.broker("doctor")).map { [.broker($0)] } ?? [])
      + LinkFinding.api(settings.api)
    for finding in findings {
      add(
        finding.subject, finding.isSafe ? .ok : .warning, finding.isSafe ? .ok : .linkUnsafe, finding.text,
        finding.advice)
    }
  }
}
