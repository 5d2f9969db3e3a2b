import JourneyConfiguration

extension DiagnosticReport {
  /// Whether what goes over the network is encrypted, and who is at the other end. A warning at most: a network may be
  /// trusted for reasons of its own.
  mutating func links(_ settings: JourneyConfiguration.Settings) async {
    // Where the database cannot be reached that is told already.
    let findings =
      (try? await settings.links()) ?? ((try? settings.broker("doctor")).map { [.broker($0)] } ?? [])
      + LinkFinding.api(settings.api)
    for finding in findings { add(finding.subject, finding.isSafe ? .ok : .warning, finding.text, finding.advice) }
  }
}
