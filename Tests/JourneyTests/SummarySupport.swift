import Journey

/// A generator whose whole sequence follows from its seed. Source: S. Vigna, SplitMix64.
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func chance(_ probability: Double) -> Bool { Double.random(in: 0..<1, using: &self) < probability }
  mutating func pick<T>(_ choices: [T]) -> T { choices[Int.random(in: 0..<choices.count, using: &self)] }
}

/// What parameterized tests run with: a failure names the random seed that shows it.
let propertySeeds: [UInt64] = Array(1...16)

/// An event as a summary sees it, and its effect on an invoice.
struct HistoryEvent: Hashable {
  var stamp: EventStamp
  var stage: Stage?
  var minStage: Stage?
  var signals: Signals

  /// The mark of the event among those that tell a stage.
  var mark: ClientSummary.StageMark? {
    (stage ?? minStage).map { ClientSummary.StageMark(stamp: stamp, stage: $0, rank: signals.rank) }
  }

  /// The event as the lists of the newest have it, without its signals.
  var entry: ClientSummary.Entry { ClientSummary.Entry(stamp, kind: 0) }

  /// The stage that the events give, one after the other.
  static func stage(after events: [HistoryEvent]) -> Stage? {
    let inOrder = events.filter { $0.mark != nil }.sorted { $0.mark!.precedes($1.mark!) }
    return inOrder.reduce(nil) { stage, event in
      if let set = event.stage { return set }
      guard let raised = event.minStage, let stage else { return event.minStage }
      return stage.index < raised.index ? raised : stage
    }
  }

  /// Random events of one client, each with a name of its own; times are few, so that ties are many.
  static func random(count: Int, around now: Timestamp, using random: inout SeededRandom) -> [HistoryEvent] {
    var names: Set<[[UInt8]]> = []
    var events: [HistoryEvent] = []
    while events.count < count {
      let event = HistoryEvent.random(around: now, using: &random)
      if names.insert([Array(event.stamp.id.utf8), Array(event.stamp.source.utf8)]).inserted { events.append(event) }
    }
    return events
  }

  private static func random(around now: Timestamp, using random: inout SeededRandom) -> HistoryEvent {
    // The last two are one text to Unicode and two to a database.
    let ids = ["evt_\(Int.random(in: 0..<400, using: &random))", "Z", "z", "", "\u{e9}", "e\u{301}"]
    let stamp = EventStamp(
      at: now + .hours(random.pick([-2000, -720, -719, -500, -100, -3, -2, -1, 0, 5])),
      id: random.chance(0.8) ? ids[0] : random.pick(ids),
      source: random.pick(["/crm", "/billing", "stripe"]))
    var signals = Signals()
    signals.isNegative = random.chance(0.2)
    signals.isTicketOpened = random.chance(0.3)
    signals.isOwn = random.chance(0.5)
    signals.kind = UInt32.random(in: 0..<3, using: &random)
    if signals.isTicketOpened, random.chance(0.2) { signals.naturalKey = random.pick([1, 2]) }
    signals.isOverdueNotice = random.chance(0.1)
    if random.chance(0.2) { signals.progress = random.pick([.advanced, .delayed]) }
    if random.chance(0.2) { signals.usage = Double(Int.random(in: 0...100, using: &random)) }
    if random.chance(0.3) {
      let id = "in_\(Int.random(in: 0..<6, using: &random))"
      signals.invoice = random.chance(0.6) ? .overdue(id: id) : .settled(id: id)
    }
    let stage: Stage? = random.chance(0.3) ? random.pick(Stage.allCases) : nil
    let minStage: Stage? = stage == nil && random.chance(0.6) ? random.pick(Stage.allCases) : nil
    if let stage = stage ?? minStage, random.chance(0.7) { signals.rank = UInt8(stage.index) }
    return HistoryEvent(stamp: stamp, stage: stage, minStage: minStage, signals: signals)
  }
}

extension ClientSummary {
  init(of events: some Sequence<HistoryEvent>) {
    self.init()
    for event in events { insert(event) }
  }

  mutating func insert(_ event: HistoryEvent) {
    insert(event.stamp, stage: event.stage, minStage: event.minStage, signals: event.signals)
  }

  mutating func insert(
    _ id: String, at time: Timestamp, stage: Stage? = nil, _ change: (inout Signals) -> Void = { _ in }
  ) {
    var signals = Signals()
    change(&signals)
    insert(EventStamp(at: time, id: id, source: "test"), stage: stage, signals: signals)
  }
}

/// A client's invoices, as a event store keeps them: one row each, merged event by event.
struct InvoiceRows: Equatable {
  var rows: [String: InvoiceState] = [:]

  mutating func apply(_ event: HistoryEvent) {
    switch event.signals.invoice {
    case .overdue(let id): rows[id, default: InvoiceState()].merge(InvoiceState(overdueAt: event.stamp.at))
    case .settled(let id): rows[id, default: InvoiceState()].merge(InvoiceState(settledAt: event.stamp.at))
    case nil: break
    }
  }

  var late: LateInvoices {
    let late = rows.filter(\.value.isLate).compactMap { id, state in
      state.overdueAt.map { LateInvoices.Item(id: id, overdueAt: $0) }
    }
    .sorted { ($0.overdueAt, $0.id) < ($1.overdueAt, $1.id) }
    return LateInvoices(
      count: min(late.count, LateInvoices.countLimit), oldest: Array(late.prefix(LateInvoices.oldestLimit)))
  }
}

extension DecisionRules {
  /// The design document to the dead letter: every addition off.
  static var literal: DecisionRules {
    var rules = DecisionRules()
    rules.version = "literal"
    rules.evaluation = .perEvent
    rules.risks.overlap = .sum
    rules.risks.lowEngagement?.counts = .all
    rules.signals.sameInstant = .greatestID
    rules.signals.lowerBounds = .set
    rules.risks.lateInvoices = .everOverdue
    rules.risks.slowProgress = nil
    rules.risks.lowUsage = nil
    rules.risks.highTickets = nil
    rules.actions.cooldown = .seconds(0)
    rules.actions.expiry = nil
    return rules
  }
}

extension Timestamp {
  /// 2026-11-20T10:00:00Z, the present of these tests.
  static let present = Timestamp(seconds: 1_795_168_800)
}

extension TimeSpan {
  static let microsecond = TimeSpan(microseconds: 1)
}
