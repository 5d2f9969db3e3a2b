import AMQPClient
import FoundationEssentials
import Journey
import JourneyConfiguration
import PostgresClient

/// Whether a certificate ends soon. Pure: from its end and the time.
struct CertificateFinding: Hashable {
  var verdict: DiagnosticReport.Verdict
  var text: String

  /// - Parameter owner: whose certificate, e.g. `the broker at db:5671`.
  init(of owner: String, end: Date, now: Date = Date()) {
    let seconds = end.timeIntervalSince(now), days = Int(seconds / 86_400)
    let date = end.ISO8601Format()
    verdict = days < 7 ? .failure : days < 30 ? .warning : .ok
    text =
      seconds < 0
      ? "the certificate of \(owner) ended at \(date)"
      : "the certificate of \(owner) ends in \(days.of("day")), at \(date)"
  }
}

/// A certificate that somebody shows, or a file holds.
struct Certificate {
  enum Kind: String, CaseIterable {
    case broker, database
    case apiKeys = "api_keys"
  }
  var kind: Kind
  var owner: String
  var end: Date
  var advice: String

  var subject: String {
    switch kind {
    case .broker: "broker certificate"
    case .database: "database certificate"
    case .apiKeys: "API keys certificate"
    }
  }
}

extension DiagnosticReport {
  /// Days that are left to the certificates of the servers and of the adapter itself. What cannot be read is left out:
  /// an unreachable server is reported elsewhere.
  mutating func certificates(_ settings: JourneyConfiguration.Settings) async {
    for certificate in await settings.certificates() {
      let found = CertificateFinding(of: certificate.owner, end: certificate.end)
      add(
        certificate.subject, found.verdict, found.verdict == .ok ? .ok : .certificateEnds, found.text,
        found.verdict == .ok ? nil : certificate.advice)
    }
  }
}

extension JourneyConfiguration.Settings {
  /// Those that can be read.
  func certificates() async -> [Certificate] {
    var found: [Certificate] = []
    func add(_ kind: Certificate.Kind, _ owner: String, _ end: Date?, _ advice: String) {
      if let end { found.append(Certificate(kind: kind, owner: owner, end: end, advice: advice)) }
    }
    if let broker = try? broker("doctor"), let tls = broker.tls {
      for endpoint in broker.endpoints {
        add(
          .broker, "the broker at \(endpoint)",
          await CertificateReader.end(host: endpoint.host, port: endpoint.port, .direct),
          "renew it, then on the broker: rabbitmqctl eval 'ssl:clear_pem_cache().'")
      }
      if let file = tls.certificateFile {
        add(.broker, file, CertificateReader.end(ofFile: file), "renew it, then \(Advice.restart)")
      }
    }
    if let database = try? database(role: nil), database.usesTLS {
      for endpoint in database.endpoints {
        add(
          .database, "the database at \(endpoint.host):\(endpoint.port)",
          await CertificateReader.end(host: endpoint.host, port: endpoint.port, .postgres),
          "renew it, then as the database's administrator: SELECT pg_reload_conf()")
      }
      if let file = database.certificateFile {
        add(.database, file, CertificateReader.end(ofFile: file), "renew it, then \(Advice.restart)")
      }
    }
    if api.isEnabled, let address = api.keyAddress.flatMap(URL.init(string:)), address.scheme == "https",
      let host = address.host
    {
      add(
        .apiKeys, "the server of the API's keys, \(host)",
        await CertificateReader.end(host: host, port: address.port ?? 443, .direct),
        "have it renewed by whoever runs \(host)")
    }
    return found
  }
}
