import FoundationEssentials
import Journey
import Testing

@Suite struct StateCodingTests {
  private static func summary(using random: inout SeededRandom) -> ClientSummary {
    var summary = ClientSummary(
      of: HistoryEvent.random(count: Int.random(in: 0...30, using: &random), around: .present, using: &random))
    summary.insert("früh \u{1f600} \0", at: Timestamp(microseconds: .random(in: -1 << 52...1 << 52, using: &random))) {
      $0.usage = random.pick([0, -0.5, 33.333, 1e300])
    }
    let late = Int.random(in: 0...100, using: &random)
    summary.lateInvoices = LateInvoices(
      count: late,
      oldest: (0..<min(3, late)).map { LateInvoices.Item(id: "in_\($0)", overdueAt: .present - .days(Int64($0))) })
    return summary
  }

  private static func actionHistory(using random: inout SeededRandom) -> ActionHistory {
    var actionHistory = ActionHistory()
    for kind in ActionKind.allCases where random.chance(0.5) {
      actionHistory.record(
        kind, id: .v7(at: .present, using: &random),
        at: Timestamp(microseconds: .random(in: 0...1 << 52, using: &random)),
        priority: random.pick(Priority.allCases.map(Optional.some) + [nil]),
        trigger: random.pick([nil, .stage(random.pick(Stage.allCases)), .risk(random.pick(Risk.allCases))]))
      guard random.chance(0.5), let id = actionHistory.entries.last?.actionID else { continue }
      let outcome = random.pick(ActionOutcome.allCases)
      let report = OutcomeReport(
        actionID: id, outcome: outcome, occurredAt: .present, until: .present + .days(1), reporter: "w", orgID: nil)
      var life = ActionLife()
      _ = life.apply(report)
      actionHistory.apply(
        report, to: life, random.pick([.emailOutreach, .offerCreditPack]), on: random.pick([.email, .voice]),
        countsContacts: random.pick([true, false]))
    }
    return actionHistory
  }

  /// A stage is stored by its index, and read by its place among all.
  @Test func stagesAreNumberedInTheirOrder() { #expect(Stage.allCases.map(\.index) == Array(Stage.allCases.indices)) }

  @Test(arguments: propertySeeds)
  func whatIsWrittenIsReadBack(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<100 {
      let summary = Self.summary(using: &random)
      #expect(ClientSummary(encoded: summary.encoded()) == summary)
      let actionHistory = Self.actionHistory(using: &random)
      #expect(ActionHistory(encoded: actionHistory.encoded()) == actionHistory)
    }
  }

  /// What is in databases already: these bytes must not change.
  @Test func theStoredFormIsThis() {
    var summary = ClientSummary()
    summary.insert(
      EventStamp(at: Timestamp(microseconds: 1), id: "e1", source: "crm"), stage: .billing, signals: Signals())
    let stamp: [UInt8] = [2, 2] + Array("e1".utf8) + [3] + Array("crm".utf8)
    // Time, the id's start and no more of it, hash of the source, hash of the type, whose event it is.
    let entry: [UInt8] =
      [1, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 14) + Array("1e".utf8) + [0]
      + [183, 148, 174, 12, 25, 238, 162, 245] + [0, 0, 0, 0] + [2]
    let form: [UInt8] = [3, 1] + stamp + [5, 0, 0, 1] + entry + [0, 0, 0, 0, 0, 0, 0]
    #expect(summary.encoded() == form)
    #expect(summary.encoded(under: 0x0102_0304_0506_0708) == [8, 7, 6, 5, 4, 3, 2, 1] + form)
    #expect(ClientSummary(encoded: [8, 7, 6, 5, 4, 3, 2, 1] + form, under: 0x0102_0304_0506_0708) == summary)
    #expect(ClientSummary(encoded: [8, 7, 6, 5, 4, 3, 2, 2] + form, under: 0x0102_0304_0506_0708) == nil)
    #expect(ClientSummary(encoded: [8, 7, 6], under: 0x0102_0304_0506_0708) == nil)
  }

  /// Instances of the version that kept no priorities may write a client's state in turn with this one.
  @Test func prioritiesAreInAnEntryThatEarlierVersionsSkip() throws {
    var actionHistory = ActionHistory()
    actionHistory.record(.emailOutreach, id: UUID(), at: .present, priority: .urgent)
    let plain = { (priority: Priority?) in
      var actionHistory = actionHistory
      actionHistory.record(
        .emailOutreach, id: actionHistory.last[.emailOutreach]!.actionID, at: .present, priority: priority)
      return actionHistory
    }
    let old = plain(nil).encoded(), new = actionHistory.encoded()
    #expect(ActionHistory(encoded: old) == plain(nil))
    // One entry more; the first is the same byte for byte.
    #expect(Array(new.prefix(old.count)).dropFirst(2).elementsEqual(old.dropFirst(2)))
    #expect(old[1] == 1 && new[1] == 2)
    #expect(Array(new[old.count...].prefix(3)) == [2] + Array(">u".utf8))
  }

  @Test func emptyStatesAreReadBack() {
    #expect(ClientSummary(encoded: ClientSummary().encoded()) == ClientSummary())
    #expect(ActionHistory(encoded: ActionHistory().encoded()) == ActionHistory())
  }

  @Test func extremeTimesAreReadBack() {
    for microseconds in [Int64.min, -1, 0, 1, .max] {
      var summary = ClientSummary()
      summary.insert("e", at: Timestamp(microseconds: microseconds), stage: .churnRisk) { $0.isOverdueNotice = true }
      #expect(ClientSummary(encoded: summary.encoded()) == summary)
    }
  }

  @Test(arguments: propertySeeds)
  func equalStatesHaveOneFormWhateverMadeThem(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let events = HistoryEvent.random(count: 40, around: .present, using: &random)
    #expect(ClientSummary(of: events).encoded() == ClientSummary(of: events.shuffled(using: &random)).encoded())
    var one = ActionHistory(), other = ActionHistory()
    let entries = ActionKind.allCases.map { ($0, UUID.v7(at: .present, using: &random)) }
    for (kind, id) in entries { one.record(kind, id: id, at: .present, priority: .low) }
    for (kind, id) in entries.shuffled(using: &random) { other.record(kind, id: id, at: .present, priority: .low) }
    #expect(one.encoded() == other.encoded())
  }

  @Test(arguments: propertySeeds)
  func everyCutAndEveryAdditionIsRefused(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let summary = Self.summary(using: &random).encoded()
    for length in 0..<summary.count { #expect(ClientSummary(encoded: Array(summary[..<length])) == nil) }
    #expect(ClientSummary(encoded: summary + [0]) == nil)
    let actionHistory = Self.actionHistory(using: &random).encoded()
    for length in 0..<actionHistory.count { #expect(ActionHistory(encoded: Array(actionHistory[..<length])) == nil) }
    #expect(ActionHistory(encoded: actionHistory + [0]) == nil)
  }

  @Test(arguments: propertySeeds)
  func damagedBytesGiveNothingOrAStateThatCanBeWorkedWith(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<300 {
      var bytes = Self.summary(using: &random).encoded()
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      checkUsable(bytes)
      var actionHistory = Self.actionHistory(using: &random).encoded()
      actionHistory[Int.random(in: 0..<actionHistory.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      if let read = ActionHistory(encoded: actionHistory) { #expect(ActionHistory(encoded: read.encoded()) == read) }
    }
  }

  @Test(arguments: propertySeeds)
  func randomBytesGiveNothingOrAStateThatCanBeWorkedWith(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<1000 {
      let tail = (0..<Int.random(in: 0...60, using: &random)).map { _ in
        random.chance(0.5) ? UInt8.random(in: 0...3, using: &random) : UInt8.random(in: 0...255, using: &random)
      }
      checkUsable([3] + tail)
      if let read = ActionHistory(encoded: [1] + tail) { #expect(ActionHistory(encoded: read.encoded()) == read) }
    }
  }

  /// A count that promises more than there is must not be believed: it would be counted to.
  @Test func aMonstrousCountIsRefusedAtOnce() {
    let huge = [UInt8](repeating: 0xff, count: 8) + [0x7f]
    let endless = [UInt8](repeating: 0xff, count: 40)
    for count in [huge, endless] {
      #expect(ClientSummary(encoded: [3, 0] + count) == nil)
      #expect(ActionHistory(encoded: [1] + count) == nil)
    }
  }

  private static func entry(at: UInt8 = 0, tie: UInt8 = 0, flags: UInt8 = 0) -> [UInt8] {
    [at] + [UInt8](repeating: 0, count: 7) + [tie] + [UInt8](repeating: 0, count: 28) + [flags]
  }
  /// A state's end behind its recent events: nothing more in it.
  private static let none = [UInt8](repeating: 0, count: 7)

  @Test(
    arguments: [
      ([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, "the version before"),
      ([4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, "a version of the future"),
      ([3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, "a stage that is neither there nor not"),
      ([3, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, "the last stage"),
      ([3, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, "a tenth stage"),
      ([3, 1, 0, 0, 0, 1, 0, 1, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, "a raise after the stage was set"),
      ([3, 1, 2, 0, 0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, "a raise before the stage was set"),
      ([3, 0, 0, 1] + entry() + none, true, "one event"),
      ([3, 0, 0, 1] + entry(flags: 4) + none, false, "a flag that there is not"),
      ([3, 0, 0, 2] + entry(at: 1) + entry() + none, true, "two events"),
      ([3, 0, 0, 2] + entry(tie: 1) + entry() + none, true, "two events of one time"),
      ([3, 0, 0, 2] + entry() + entry() + none, false, "one event twice"),
      ([3, 0, 0, 2] + entry() + entry(at: 1) + none, false, "the oldest first"),
      ([3, 0, 0, 0, 1] + entry() + none.dropFirst(), false, "an own event that is not the client's"),
      (
        [3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0xfc, 0x7f, 0, 0, 0, 0], false,
        "a usage that is no number"
      ),
      ([3, 0, 0, 0, 0, 0, 0, 0, 0, 101, 0], false, "more invoices than are counted"),
      ([3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x69, 0], false, "an invoice that is not counted"),
      ([3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0x69, 0], true, "an invoice"),
    ] as [([UInt8], Bool, String)])
  func impossibleSummariesAreRefused(bytes: [UInt8], isRead: Bool, name: String) {
    #expect((ClientSummary(encoded: bytes) != nil) == isRead, "\(name)")
  }

  @Test func moreEventsThanAreKeptAreRefused() {
    func encoded(_ count: UInt8) -> [UInt8] {
      var bytes: [UInt8] = [3, 0, 0, count]
      for time in (0..<count).reversed() { bytes += Self.entry(at: time) }
      return bytes + Self.none
    }
    #expect(ClientSummary(encoded: encoded(10)) != nil)
    #expect(ClientSummary(encoded: encoded(11)) == nil)
  }

  @Test func anActionThatTheseRulesDoNotKnowIsPassedOver() {
    let id = [UInt8](repeating: 7, count: 16)
    #expect(ActionHistory(encoded: [1, 1, 4] + Array("sing".utf8) + id + [0]) == ActionHistory())
  }

  private func checkUsable(_ bytes: [UInt8], _ location: SourceLocation = #_sourceLocation) {
    guard var summary = ClientSummary(encoded: bytes) else { return }
    #expect(ClientSummary(encoded: summary.encoded()) == summary, "\(bytes)", sourceLocation: location)
    summary.insert("another", at: .present, stage: .lead) { $0.isTicketOpened = true }
    #expect(
      summary.recent.count <= 10 && summary.own.count <= 10 && summary.tickets.count <= 30, "\(bytes)",
      sourceLocation: location)
    #expect(ClientSummary(encoded: summary.encoded()) != nil, "\(bytes)", sourceLocation: location)
  }
}
