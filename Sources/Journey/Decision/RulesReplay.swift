import FoundationEssentials

/// One client's replay under one set of rules.
struct RulesReplay: Sendable {
  struct Published: Sendable {
    var kind: ActionKind
    var at: Timestamp

    func isSame(as other: Published) -> Bool { kind == other.kind && isSameMoment(at, other.at) }
  }

  private let rules: DecisionRules
  private let signals: SignalReader
  private var client: ClientSnapshot
  private var invoices = ReplayedInvoices()
  private var random = IDRandom()
  /// When something changes by itself; nil: nothing does.
  private var next: Timestamp?
  /// The evaluations since the last comparison, and before them the last one of the time before.
  private var steps: [Evaluation] = []
  /// The actions since the last comparison.
  private(set) var published: [Published] = []

  init(_ rules: DecisionRules, _ signals: SignalReader, _ client: ClientSnapshot) {
    self.rules = rules
    self.signals = signals
    self.client = client
  }

  /// Takes an event of the time before the simulation begins.
  mutating func build(_ event: JourneyEvent) {
    let incoming = incoming(event)
    client.summary.insert(
      event.stamp, stage: event.stage, minStage: event.minStage, signals: incoming.signals)
    rules.applyUnsubscription(incoming, to: &client.actionHistory)
    if invoices.apply(incoming) { client.summary.lateInvoices = invoices.late }
  }

  /// Finds out where the client stands, without an action: so is history that is loaded.
  mutating func start(at begin: Timestamp) {
    guard client.summary.lastEventAt != nil else { return }
    client.now = begin
    record(rules.evaluate(&client, without: .time, decides: false, random: &random))
  }

  /// Evaluates the client together with its new events.
  mutating func take(_ events: [JourneyEvent], at time: Timestamp) {
    advance(to: time)
    let events = events.map { incoming($0) }
    var hasInvoices = false
    for event in events where invoices.apply(event) { hasInvoices = true }
    if hasInvoices { client.lateInvoices = invoices.late }
    client.now = time
    for evaluation in rules.evaluate(&client, taking: events, random: &random) { record(evaluation) }
    client.lateInvoices = nil
  }

  /// Evaluates the client whenever something changes by itself, up to and including a time.
  mutating func advance(to time: Timestamp) {
    guard rules.evaluatesOverTime else { return }
    while let due = next, due <= time {
      // Like the sweep, which looks every few seconds: whatever comes due at once makes no endless loop.
      let at = max(due, client.now + .seconds(1))
      guard at <= time else { return }
      client.now = at
      let before = client
      var after = client
      var evaluation = rules.evaluate(&after, without: .time, random: &random)
      let isSame = steps.last.map { $0.assessment.hasOutcome(of: evaluation.assessment) } ?? false
      if isSame,
        !before.actionHistory.isWaitOver(
          at: at, after.actionHistory, evaluation.assessment.level, rules.actions.life)
      {
        after = before
        evaluation = rules.evaluate(&after, without: .time, decides: false, random: &random)
      }
      client = after
      record(evaluation)
    }
  }

  private mutating func record(_ evaluation: Evaluation) {
    client.actionChanges = []
    next = evaluation.assessment.nextChange
    steps.append(evaluation)
    if let winner = evaluation.decision.winner(of: evaluation.assessment) {
      published.append(Published(kind: winner.action, at: evaluation.at))
    }
  }

  /// What these rules say at a time since the last comparison.
  func side(at time: Timestamp) -> SimulatedDifference.Side {
    let evaluation = steps.last { $0.at <= time || isSameMoment($0.at, time) }
    let winner = evaluation.flatMap { isSameMoment($0.at, time) ? $0.decision.winner(of: $0.assessment) : nil }
    return SimulatedDifference.Side(action: winner?.action, evaluation: evaluation)
  }

  mutating func forgetSteps() {
    if steps.count > 1 { steps.removeFirst(steps.count - 1) }
    published.removeAll(keepingCapacity: true)
  }

  private func incoming(_ event: JourneyEvent) -> IncomingEvent {
    let metadata = (try? JSONDocument(parsing: event.metadata))?.root
    let found = metadata.map {
      signals.signals(
        type: event.type, stage: event.stage ?? event.minStage, actor: event.actor,
        sourceEventID: event.sourceEventID, metadata: $0)
    }
    return IncomingEvent(id: client.id, event: event, signals: found ?? Signals())
  }
}

/// Closer than the sweep looks. Evaluations of one client are a microsecond apart, and these are no other moments.
func isSameMoment(_ a: Timestamp, _ b: Timestamp) -> Bool { abs((a - b).microseconds) < 1_000_000 }

extension Assessment {
  /// Whether stage, score, level and risks are the same. The evidence may differ.
  func hasOutcome(of other: Assessment) -> Bool {
    stage == other.stage && score == other.score && level == other.level
      && risks.map(\.risk) == other.risks.map(\.risk)
  }
}

/// One client's invoices, as the event store keeps them: merged event by event.
private struct ReplayedInvoices: Sendable {
  private var states: [String: InvoiceState] = [:]
  private var overdue: [String: Timestamp] = [:]

  /// - Returns: whether the event concerns an invoice.
  mutating func apply(_ incoming: IncomingEvent) -> Bool {
    let at = incoming.event.occurredAt
    switch incoming.signals.invoice {
    case .overdue(let id): merge(id, InvoiceState(overdueAt: at))
    case .settled(let id): merge(id, InvoiceState(settledAt: at))
    case nil: return false
    }
    return true
  }

  private mutating func merge(_ id: String, _ state: InvoiceState) {
    states[id, default: InvoiceState()].merge(state)
    overdue[id] = states[id].flatMap { $0.isLate ? $0.overdueAt : nil }
  }

  var late: LateInvoices {
    let oldest = overdue.sorted {
      $0.value == $1.value ? $0.key.precedesByBytes($1.key) : $0.value < $1.value
    }
    return LateInvoices(
      count: min(overdue.count, LateInvoices.countLimit),
      oldest: oldest.prefix(LateInvoices.oldestLimit).map { .init(id: $0.key, overdueAt: $0.value) })
  }
}
