import Journey
import Testing

/// While a source of the organisation is silent, risks that come from silence neither begin nor end as time passes.
@Suite struct FrozenRiskTests {
  private let rules = RiskRules()
  private static let frozen = Timestamp.present

  private func risks(_ summary: ClientSummary, days: Int64, frozenSince: Timestamp? = frozen) -> [Risk] {
    rules.detect(in: summary, at: .present + .days(days), frozenSince: frozenSince).map(\.risk)
  }

  @Test func nobodyBecomesSilentMeanwhile() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present - .days(20)) }
    #expect(risks(summary, days: 40) == [])
    #expect(risks(summary, days: 40, frozenSince: nil) == [.lowEngagement])
    let end = Timestamp.present + .days(10) + .microsecond
    #expect(rules.nextChange(of: summary, after: .present, frozenSince: Self.frozen) == end)
    let later = Timestamp.present + .days(40)
    #expect(
      rules.nextChange(of: summary, after: later, frozenSince: Self.frozen) == later + .hours(1),
      "it begins once the organisation is not frozen any more")
  }

  @Test func whoWasSilentBeforeStaysSoUntilAnEventComes() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present - .days(31)) }
    #expect(risks(summary, days: 3) == [.lowEngagement])
    let evidence = rules.detect(in: summary, at: .present + .days(3), frozenSince: Self.frozen).first?.evidence
    #expect(evidence?.contains("(as of \(Self.frozen.iso8601Date): since then a source is silent)") == true)
    #expect(rules.nextChange(of: summary, after: .present + .days(3), frozenSince: Self.frozen) == nil)
    for id in ["4", "5", "6"] { summary.insert(id, at: .present + .days(1)) }
    #expect(risks(summary, days: 3) == [])
  }

  @Test func aProjectDoesNotStallMeanwhile() {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present - .days(20), stage: .activeProject) }
    #expect(risks(summary, days: 5) == [])
    #expect(risks(summary, days: 5, frozenSince: nil).contains(.slowProjectProgress))
  }
}
