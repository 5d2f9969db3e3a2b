import Testing

@testable import Journey

/// The promise that order does not matter, as properties of the pure summary.
@Suite struct SummaryPropertyTests {
  private static let profiles = [DecisionRules(), DecisionRules.literal]

  @Test(arguments: propertySeeds)
  func anyOrderBatchingAndRepetitionMakesTheSameSummary(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<25 {
      let events = HistoryEvent.random(count: Int.random(in: 0...40, using: &random), around: .present, using: &random)
      let expected = ClientSummary(of: events)
      for _ in 0..<4 {
        let repeated = (events + events.filter { _ in random.chance(0.4) }).shuffled(using: &random)
        #expect(ClientSummary(of: repeated) == expected)
      }
    }
  }

  @Test(arguments: propertySeeds)
  func anyOrderBatchingAndRepetitionEndsInTheSameAssessmentAndDecision(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for rules in Self.profiles {
      for _ in 0..<10 {
        let events = HistoryEvent.random(
          count: Int.random(in: 1...40, using: &random), around: .present, using: &random)
        let aiScore: Double? = random.pick([nil, 0, 40, 72.5])
        let expected = verdict(rules, of: summary(of: events), aiScore: aiScore)
        for _ in 0..<3 {
          let repeated = (events + events.filter { _ in random.chance(0.3) }).shuffled(using: &random)
          let stored = applyInBatches(repeated, rules, aiScore: aiScore, using: &random)
          #expect(verdict(rules, of: stored, aiScore: aiScore) == expected)
          #expect(stored == summary(of: events))
        }
      }
    }
  }

  @Test(arguments: propertySeeds)
  func aBoundedSelectionOfTheHistoryMakesTheSameSummary(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<50 {
      let events = HistoryEvent.random(count: Int.random(in: 0...80, using: &random), around: .present, using: &random)
      #expect(ClientSummary(of: Self.selection(of: events).shuffled(using: &random)) == ClientSummary(of: events))
    }
  }

  @Test(arguments: propertySeeds)
  func aSummaryHoldsTheNewestOfEachKind(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<50 {
      let events = HistoryEvent.random(count: Int.random(in: 0...60, using: &random), around: .present, using: &random)
      let newestFirst = events.sorted { $1.entry < $0.entry }
      let newestByID = events.sorted { $1.stamp < $0.stamp }
      let summary = ClientSummary(of: events)
      #expect(summary.recent.map(\.event) == newestFirst.prefix(10).map(\.entry))
      #expect(summary.recent.map(\.isNegative) == newestFirst.prefix(10).map(\.signals.isNegative))
      #expect(summary.own.map(\.event) == newestFirst.filter(\.signals.isOwn).prefix(10).map(\.entry))
      let tickets = newestFirst.filter(\.signals.isTicketOpened).prefix(30)
      #expect(summary.tickets.map(\.event) == tickets.map(\.entry))
      #expect(summary.tickets.map(\.naturalKey) == tickets.map(\.signals.naturalKey))
      #expect(summary.stage?.stage == HistoryEvent.stage(after: events))
      let usage = newestByID.first { $0.signals.usage != nil }
      #expect(summary.usage?.stamp == usage?.stamp && summary.usage?.percent == usage?.signals.usage)
      let progress = newestByID.first { $0.signals.progress != nil }
      #expect(summary.progress?.stamp == progress?.stamp && summary.progress?.kind == progress?.signals.progress)
      #expect(summary.overdueNotice == newestByID.first(where: \.signals.isOverdueNotice)?.stamp)
      #expect(summary.lastEventAt == newestFirst.first?.stamp.at)
    }
  }

  @Test func anEventThatWasPushedOutDoesNotComeBack() {
    var summary = ClientSummary()
    for hour in 0..<30 { summary.insert("e\(hour)", at: .present + .hours(Int64(hour))) { $0.isTicketOpened = true } }
    let full = summary
    for hour in 0..<30 { summary.insert("e\(hour)", at: .present + .hours(Int64(hour))) { $0.isTicketOpened = true } }
    #expect(summary == full)
    #expect(summary.recent.map(\.at) == (20..<30).reversed().map { .present + .hours($0) })
    #expect(summary.tickets.map(\.at) == (0..<30).reversed().map { .present + .hours($0) })
  }

  @Test func idsThatUnicodeTakesForEquivalentAreTwoEventsInEitherOrder() {
    let composed = EventStamp(at: .present, id: "\u{e9}", source: "s")
    let decomposed = EventStamp(at: .present, id: "e\u{301}", source: "s")
    #expect(composed != decomposed && decomposed < composed && !(composed < decomposed))
    let events = [composed, decomposed].map { HistoryEvent(stamp: $0, stage: nil, signals: Signals()) }
    #expect(ClientSummary(of: events).recent.count == 2)
    #expect(ClientSummary(of: events) == ClientSummary(of: events.reversed()))
  }

  @Test func stampsOrderByTimeThenByTheBytesOfTheIdThenOfTheSource() {
    let early = Timestamp.present, late = Timestamp.present + .microsecond
    let ordered = [
      EventStamp(at: early, id: "", source: "z"), EventStamp(at: early, id: "Z", source: "a"),
      EventStamp(at: early, id: "a", source: "a"),
      EventStamp(at: early, id: "a", source: "b"), EventStamp(at: early, id: "aa", source: "a"),
      EventStamp(at: early, id: "\u{10000}", source: "a"), EventStamp(at: late, id: "", source: ""),
    ]
    var random = SeededRandom(seed: 7)
    #expect(ordered.shuffled(using: &random).sorted() == ordered)
    for (a, b) in zip(ordered, ordered.dropFirst()) { #expect(a < b && !(b < a) && a != b) }
  }

  // MARK: Helpers

  private func summary(of events: [HistoryEvent]) -> ClientSummary {
    var summary = ClientSummary(of: events)
    var invoices = InvoiceRows()
    for event in events { invoices.apply(event) }
    summary.lateInvoices = invoices.late
    return summary
  }

  private struct Verdict: Equatable {
    var assessment: Assessment
    var decision: Decision
  }

  private func verdict(_ rules: DecisionRules, of summary: ClientSummary, aiScore: Double?) -> Verdict {
    let assessment = rules.assess(summary, aiScore: aiScore, at: .present)
    return Verdict(
      assessment: assessment, decision: rules.decide(assessment, actionHistory: ActionHistory(), at: .present))
  }

  /// Stores events as a event store does: batch by batch, each through the stored form.
  private func applyInBatches(
    _ events: [HistoryEvent], _ rules: DecisionRules, aiScore: Double?, using random: inout SeededRandom
  ) -> ClientSummary {
    var stored = ClientSummary().encoded()
    var invoices = InvoiceRows()
    var rest = events[...]
    while !rest.isEmpty {
      let batch = rest.prefix(Int.random(in: 1...9, using: &random))
      rest = rest.dropFirst(batch.count)
      for event in batch { invoices.apply(event) }
      guard let summary = ClientSummary(encoded: stored) else {
        Issue.record("a stored summary cannot be read")
        break
      }
      let touched = batch.contains { $0.signals.invoice != nil }
      let client = ClientSnapshot.test(aiScore: aiScore, summary: summary, lateInvoices: touched ? invoices.late : nil)
      stored = rules.evaluated(client, taking: batch.map(IncomingEvent.test), random: &random).summary.encoded()
    }
    return ClientSummary(encoded: stored) ?? ClientSummary()
  }

  /// What is enough of a history: the rows that a event store reads to make a lost summary again.
  private static func selection(of events: [HistoryEvent]) -> Set<HistoryEvent> {
    let newestFirst = events.sorted { $1.entry < $0.entry }
    let newestByID = events.sorted { $1.stamp < $0.stamp }
    var chosen = Set(newestFirst.prefix(10))
    chosen.formUnion(newestFirst.filter(\.signals.isTicketOpened).prefix(30))
    chosen.formUnion(newestFirst.filter(\.signals.isOwn).prefix(10))
    let setters = events.filter { $0.stage != nil }
    if let setter = setters.max(by: { $0.mark!.precedes($1.mark!) }) { chosen.insert(setter) }
    let setAt = setters.map(\.stamp.at).max()
    chosen.formUnion(events.filter { event in event.minStage != nil && setAt.map { event.stamp.at >= $0 } ?? true })
    let kinds: [(HistoryEvent) -> Bool] = [
      { $0.signals.usage != nil }, { $0.signals.progress != nil }, \.signals.isOverdueNotice,
    ]
    for kind in kinds { if let newest = newestByID.first(where: kind) { chosen.insert(newest) } }
    return chosen
  }
}

extension ClientSummary.Entry {
  /// Which event it is.
  fileprivate var event: Self { Self(at: at, idStart: idStart, longID: longID, source: source, kind: 0) }
}
