import FoundationEssentials
import Journey
import Testing

/// Silence contracts: what is expected follows from the events, in whatever order they come.
@Suite struct ExpectationTests {
  private static let ofInvoice = SilenceContract(
    otherwise: "invoice_unpaid_14d", after: ["invoice_overdue"], expected: ["invoice_paid", "invoice_voided"],
    same: "invoiceId", within: .days(14))
  private static let ofClient = SilenceContract(
    otherwise: "proposal_unanswered", after: ["proposal_sent"], expected: ["message_received"], within: .days(7))
  private static let client = UUID()

  private static func day(_ day: Int64) -> Timestamp { .present + .days(day) }

  private func state(
    _ contract: SilenceContract, opened: [Int64] = [], settled: [Int64] = [], fired: [Int64] = []
  ) -> ExpectationState {
    var state = ExpectationState()
    for day in opened { state.merge(ExpectationState(openings: [Self.day(day)]), under: contract) }
    for day in settled { state.merge(ExpectationState(settledAt: Self.day(day)), under: contract) }
    for day in fired { state.merge(ExpectationState(firedFor: Self.day(day)), under: contract) }
    return state
  }

  private static func event(
    _ type: String, _ day: Int64, _ metadata: String = #"{"invoiceId":"i1"}"#, source: String = "crm"
  ) -> JourneyEvent {
    JourneyEvent(
      orgID: UUID(), source: source, sourceEventID: "\(type)\(day)", client: ClientReference(id: client), type: type,
      stage: nil, occurredAt: Self.day(day), metadata: Array(metadata.utf8))
  }

  /// The same rule, said with all events at hand.
  private func expected(_ contract: SilenceContract, _ opened: [Int64], _ settled: [Int64], _ fired: [Int64]) -> Int64?
  {
    let within = contract.within.microseconds / TimeSpan.days(1).microseconds
    var floor = settled.max() ?? .min
    if contract.same == nil {
      floor = max(floor, fired.max().map { $0 + within } ?? .min)
    } else if let last = fired.max(), last > floor {
      return nil
    }
    return opened.filter { $0 > floor }.min()
  }

  @Test(arguments: propertySeeds)
  func anyOrderOfEventsGivesTheSameExpectation(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for contract in [Self.ofInvoice, Self.ofClient] {
      for _ in 0..<300 {
        func days(_ count: Int) -> [Int64] { (0..<count).map { _ in Int64.random(in: 0...30, using: &random) } }
        let opened = days(Int.random(in: 0...ExpectationState.limit, using: &random))
        let settled = days(Int.random(in: 0...3, using: &random)), fired = days(random.chance(0.4) ? 1 : 0)
        let signs =
          opened.map { ExpectationState(openings: [Self.day($0)]) }
          + settled.map { ExpectationState(settledAt: Self.day($0)) }
          + fired.map { ExpectationState(firedFor: Self.day($0)) }
        let wanted = expected(contract, opened, settled, fired).map(Self.day)
        let all = state(contract, opened: opened, settled: settled, fired: fired)
        for _ in 0..<5 {
          var one = ExpectationState(), other = ExpectationState()
          // Some come twice; two parts are united as when two clients become one.
          for sign in (signs + signs.prefix(3)).shuffled(using: &random) {
            if random.chance(0.5) { one.merge(sign, under: contract) } else { other.merge(sign, under: contract) }
          }
          one.merge(other, under: contract)
          #expect(one == all)
          #expect(one.openedAt(under: contract) == wanted)
        }
      }
    }
  }

  @Test func anExpectedEventCountsFromTheOpeningOneOn() {
    let contract = Self.ofInvoice
    #expect(state(contract, opened: [3]).openedAt(under: contract) == Self.day(3))
    #expect(state(contract, opened: [3], settled: [3]).openedAt(under: contract) == nil)
    #expect(state(contract, opened: [3], settled: [2]).openedAt(under: contract) == Self.day(3))
    #expect(state(contract, opened: [3, 5], settled: [4]).openedAt(under: contract) == Self.day(5))
    #expect(state(contract, opened: [3, 5]).openedAt(under: contract) == Self.day(3), "a reminder postpones nothing")
  }

  @Test func ofOneThingItIsSaidOnceThatNothingCame() {
    let contract = Self.ofInvoice
    #expect(state(contract, opened: [3, 20], fired: [3]).openedAt(under: contract) == nil)
    #expect(state(contract, opened: [1, 3], fired: [3]).openedAt(under: contract) == nil, "an earlier one comes late")
    #expect(state(contract, opened: [3, 30], settled: [20], fired: [3]).openedAt(under: contract) == Self.day(30))
  }

  @Test func withoutAKeyALaterEventOpensItAgain() {
    let contract = Self.ofClient
    #expect(state(contract, opened: [3, 8], fired: [3]).openedAt(under: contract) == nil)
    #expect(state(contract, opened: [3, 11], fired: [3]).openedAt(under: contract) == Self.day(11))
  }

  /// However many reminders come, the first counts, and the storage is bounded.
  @Test func manyOpeningsAreBounded() {
    let contract = Self.ofInvoice
    for days in [Array(0..<100), Array((0..<100).reversed())] {
      let state = state(contract, opened: days.map(Int64.init))
      #expect(state.openings.count == ExpectationState.limit)
      #expect(state.openedAt(under: contract) == Self.day(0))
    }
  }

  @Test func whatAnEventSays() {
    let reader = ExpectationReader([Self.ofInvoice, Self.ofClient])
    func keys(_ event: JourneyEvent, voided: Bool = false) -> [String] {
      reader.signs(of: event, isVoided: voided, at: Self.day(1)).map { "\($0.contract.otherwise) \($0.key)" }
    }
    #expect(keys(Self.event("invoice_overdue", 0)) == ["invoice_unpaid_14d i1"])
    #expect(keys(Self.event("invoice_overdue", 0, #"{"invoiceId":17}"#)) == ["invoice_unpaid_14d 17"])
    #expect(keys(Self.event("invoice_overdue", 0, "{}")) == [], "nothing could settle it")
    #expect(keys(Self.event("invoice_overdue", 0, #"{"invoiceId":""}"#)) == [])
    #expect(keys(Self.event("invoice_overdue", -200)) == [], "too long ago")
    #expect(keys(Self.event("invoice_overdue", 0), voided: true) == [])
    #expect(keys(Self.event("proposal_sent", 0, "{}")) == ["proposal_unanswered "])
    #expect(keys(Self.event("ticket_opened", 0)) == [])
    #expect(keys(Self.event("invoice_unpaid_14d", 0, source: "crm")) == [], "only the adapter's own says that")
  }

  /// The adapter's event says for which opening event it is, also where it was voided: it is not stored again.
  @Test func theStoredEventMarksItsContract() throws {
    let reader = ExpectationReader([Self.ofInvoice, Self.ofClient])
    for (contract, key) in [(Self.ofInvoice, "i\"1"), (Self.ofClient, "")] {
      let opening = Self.event("invoice_overdue", 0)
      let at = opening.occurredAt + TimeSpan(microseconds: 123_456)
      let event = reader.event(contract, key: key, clientID: Self.client, after: (at, opening))
      #expect(event.source == SilenceContract.source && event.actor == .system && event.stage == nil)
      #expect(event.occurredAt == at + contract.within)
      #expect(event == reader.event(contract, key: key, clientID: Self.client, after: (at, opening)))
      let metadata = try JSONDocument(parsing: event.metadata).root
      #expect(metadata["within"]?.string == (contract.same == nil ? "7d" : "14d"))
      #expect(metadata["openedBy"]?["id"]?.string == "invoice_overdue0")
      #expect(metadata["invoiceId"]?.string == (contract.same == nil ? nil : key))
      let signs = reader.signs(of: event, isVoided: true, at: Self.day(20))
      #expect(signs.map(\.key) == [key])
      #expect(signs.first?.state == ExpectationState(firedFor: at))
    }
  }

  @Test func onlyContractsChangeTheFingerprint() {
    var rules = DecisionRules()
    let before = rules.stateFingerprint
    rules.expectations = [Self.ofInvoice]
    let after = rules.stateFingerprint
    rules.expectations[0].within = .days(15)
    #expect(Set([before, after, rules.stateFingerprint]).count == 3)
  }
}
