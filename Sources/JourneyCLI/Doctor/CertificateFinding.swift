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
private struct Certificate {
  var subject: String
  var owner: String
  var end: Date
  var advice: String
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
  fileprivate func certificates() async -> [Certificate] {
    var found: [Certificate] = []
    func add(_ subject: String, _ owner: String, _ end: Date?, _ advice: String) {
      if let end { found.append(Certificate(subject: subject, owner: owner, end: end, advice: advice)) }
    }
    if let broker = try? broker("doctor"), let tls = broker.tls {
      for endpoint in broker.endpoints {
        add(
          "broker certificate", "the broker at \(endpoint)",
          await CertificateReader.end(host: endpoint.host, port: endpoint.port, .direct),
          "renew it, then on the broker: rabbitmqctl eval 'ssl:clear_pem_cache().'")
      }
      if let file = tls.certificateFile {
        add("broker certificate", file, CertificateReader.end(ofFile: file), "renew it, then \(Advice.restart)")
      }
    }
    if let database = try? database(role: nil), database.usesTLS {
      for endpoint in database.endpoints {
        add(
          "database certificate", "the database at \(endpoint.host):\(endpoint.port)",
          await CertificateReader.end(host: endpoint.host, port: endpoint.port, .postgres),
          "renew it, then as the database's administrator: SELECT pg_reload_conf()")
      }
      if let file = database.certificateFile {
        add("database certificate", file, CertificateReader.end(ofFile: file), "renew it, then \(Advice.restart)")
      }
    }
    if api.isEnabled, let address = api.keyAddress.flatMap(URL.init(string:)), address.scheme == "https",
      let host = address.host
    {
      add(
        "API keys certificate", "the server of the API's keys, \(host)",
        await CertificateReader.end(host: host, port: address.port ?? 443, .direct),
        "have it renewed by whoever runs \(host)")
    }
    return found
  }
}
