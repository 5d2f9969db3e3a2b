import Testing

@testable import Journey

/// One real thing that several sources report counts once.
@Suite struct EventCountTests {
  private func entries(_ list: [(kind: UInt32, source: String, key: UInt64)]) -> [ClientSummary.Entry] {
    list.enumerated().map { position, item in
      var entry = ClientSummary.Entry(
        EventStamp(at: .present - .hours(Int64(position)), id: "\(position)", source: item.source), kind: item.kind)
      entry.naturalKey = item.key
      return entry
    }
  }

  @Test func ofEachTypeTheMostThatOneSourceReportsCounts() {
    let count = EventCount(.largest)
    #expect(count.count(entries([])) == 0)
    #expect(count.count(entries([(1, "a", 0), (1, "a", 0), (1, "a", 0)])) == 3)
    #expect(count.count(entries([(1, "a", 0), (1, "b", 0), (1, "a", 0), (1, "b", 0)])) == 2)
    // Different types are different things, whoever reports them.
    #expect(count.count(entries([(1, "a", 0), (2, "b", 0), (3, "c", 0)])) == 3)
    #expect(count.count(entries([(1, "a", 0), (1, "b", 0), (2, "b", 0)])) == 2)
    #expect(EventCount(.sum).count(entries([(1, "a", 0), (1, "b", 9), (1, "b", 9)])) == 3)
  }

  @Test func thingsWithANaturalKeyCountOnceForEachKey() {
    let count = EventCount(.largest)
    #expect(count.count(entries([(1, "a", 1), (1, "b", 1), (1, "b", 2), (1, "a", 3)])) == 3)
    #expect(count.count(entries([(1, "a", 1), (1, "a", 1), (1, "a", 0)])) == 2)
  }

  @Test func theDecidingEntryIsTheOneThatReachesTheNumber() {
    let count = EventCount(.largest)
    let mixed = entries([(1, "a", 0), (1, "b", 0), (1, "a", 0), (1, "b", 0), (1, "a", 0)])
    #expect(count.deciding(2, among: mixed) == mixed[2])
    #expect(count.deciding(3, among: mixed) == mixed[4])
    #expect(count.deciding(4, among: mixed) == nil)
    #expect(EventCount(.sum).deciding(4, among: mixed) == mixed[3])
  }

  @Test func ticketsOfTwoSourcesAreNotMany() {
    var summary = ClientSummary()
    for source in ["zendesk", "hubspot"] {
      for id in ["1", "2"] {
        var signals = Signals()
        signals.isTicketOpened = true
        summary.insert(EventStamp(at: .present, id: id, source: source), stage: nil, signals: signals)
      }
    }
    var rules = RiskRules()
    #expect(!rules.detect(in: summary, at: .present).contains { $0.risk == .highSupportTickets })
    rules.highTickets?.tickets = 2
    let risk = rules.detect(in: summary, at: .present).first { $0.risk == .highSupportTickets }
    #expect(
      risk?.evidence
        == "2 tickets opened in the last 30 days, 2 are many (4 reports from 2 sources, each thing counted once)")
  }

  @Test func onlyTheClientsOwnActsAreSignsOfLife() {
    var summary = ClientSummary()
    for n in 0..<20 {
      summary.insert("s\(n)", at: .present - .hours(Int64(n))) { $0.isOwn = false }
    }
    var rules = RiskRules()
    #expect(rules.detect(in: summary, at: .present).contains { $0.risk == .lowEngagement })
    // Pushed out of the recent events by automatic ones, they still count.
    for n in 0..<3 { summary.insert("o\(n)", at: .present - .days(Int64(20 + n))) }
    #expect(!rules.detect(in: summary, at: .present).contains { $0.risk == .lowEngagement })
    rules.lowEngagement?.counts = .all
    #expect(rules.detect(in: ClientSummary(), at: .present).contains { $0.risk == .lowEngagement })
  }

  @Test func theFurthestStageOfAnInstantCounts() {
    for ids in [("a", "b"), ("b", "a")] {
      var summary = ClientSummary()
      summary.insert(ids.0, at: .present, stage: .billing) { $0.rank = 5 }
      summary.insert(ids.1, at: .present, stage: .onboarding) { $0.rank = 2 }
      #expect(summary.stage?.stage == .billing)
    }
  }
}
