import JourneyConfiguration

extension DiagnosticReport {
  /// Whether connections are encrypted, and whether the servers are verified. A warning at most: a private network may
  /// be trusted.
  mutating func links(_ settings: JourneyConfiguration.Settings) async {
    // An unreachable database is reported already.
    let findings =
      (try? await settings.links()) ?? ((try? settings.broker("doctor")).map { [.broker($0)] } ?? [])
      + LinkFinding.api(settings.api)
    for finding in findings { add(finding.subject, finding.isSafe ? .ok : .warning, finding.text, finding.advice) }
  }
}
