import Journey
import Testing

@Suite struct InvoiceStateTests {
  private static func random(using random: inout SeededRandom) -> InvoiceState {
    func time() -> Timestamp? { random.chance(0.3) ? nil : .present + .hours(Int64.random(in: -3...3, using: &random)) }
    let overdue = time()
    return InvoiceState(overdueAt: overdue, settledAt: time())
  }

  private func merged(_ a: InvoiceState, _ b: InvoiceState) -> InvoiceState {
    var result = a
    result.merge(b)
    return result
  }

  @Test(arguments: propertySeeds)
  func mergingIsCommutativeAssociativeAndIdempotent(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      let a = Self.random(using: &random), b = Self.random(using: &random), c = Self.random(using: &random)
      #expect(merged(a, b) == merged(b, a))
      #expect(merged(merged(a, b), c) == merged(a, merged(b, c)))
      #expect(merged(a, a) == a)
      #expect(merged(merged(a, b), b) == merged(a, b))
      #expect(merged(a, InvoiceState()) == a)
    }
  }

  @Test(arguments: propertySeeds)
  func rowsAreTheSameWhateverTheOrderOfTheirEvents(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let events = HistoryEvent.random(count: 60, around: .present, using: &random)
    func rows(_ events: [HistoryEvent]) -> InvoiceRows {
      var rows = InvoiceRows()
      for event in events { rows.apply(event) }
      return rows
    }
    let expected = rows(events)
    for _ in 0..<10 {
      let shuffled = rows((events + events.prefix(20)).shuffled(using: &random))
      #expect(shuffled == expected)
      #expect(shuffled.late == expected.late)
    }
  }

  @Test func eachKindKeepsItsEarliestTime() {
    let early = Timestamp.present - .days(1)
    var state = InvoiceState(overdueAt: .present, settledAt: early)
    state.merge(InvoiceState(overdueAt: early, settledAt: .present))
    #expect(state == InvoiceState(overdueAt: early, settledAt: early))
  }

  @Test func aPaymentSettlesAlsoOneThatComesBeforeTheNotice() {
    var paidLater = InvoiceState(overdueAt: .present)
    #expect(paidLater.isLate)
    paidLater.merge(InvoiceState(settledAt: .present + .days(1)))
    #expect(!paidLater.isLate)
    var paidFirst = InvoiceState(settledAt: .present + .days(1))
    #expect(!paidFirst.isLate)
    paidFirst.merge(InvoiceState(overdueAt: .present))
    #expect(!paidFirst.isLate)
    #expect(paidFirst == paidLater)
    #expect(!InvoiceState().isLate)
  }
}
