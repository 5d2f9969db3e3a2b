/// Replays the stored events of clients under two sets of rules, side by side, to see what changed rules would have done.
///
/// Events before `begin` only build the state. Those from then on are evaluated when they occurred, and so are the moments
/// in between at which something changes by itself. Nobody runs or answers an action, and no source is ever silent.
public struct Simulation: Sendable {
  public let current: DecisionRules
  public let changed: DecisionRules
  public let begin: Timestamp
  /// The present: nothing is evaluated later.
  public let end: Timestamp
  private let currentSignals: SignalReader
  private let changedSignals: SignalReader

  public init(current: DecisionRules, changed: DecisionRules, begin: Timestamp, end: Timestamp) {
    self.current = current
    self.changed = changed
    self.begin = begin
    self.end = end
    currentSignals = SignalReader(current.signals)
    changedSignals = SignalReader(changed.signals)
  }

  /// Begins a client's replay.
  /// - Parameter client: who it is, its `ai_score`, its time zones, and what it allows today count; not its state.
  public func replay(of client: ClientSnapshot) -> ClientReplay {
    var client = client
    client.summary = ClientSummary()
    client.actionHistory = client.actionHistory.permissions
    client.lateInvoices = nil
    client.lastEvaluation = nil
    client.frozenSince = nil
    return ClientReplay(
      begin: begin, end: end, current: RulesReplay(current, currentSignals, client),
      changed: RulesReplay(changed, changedSignals, client))
  }
}

/// What both sets of rules make of one client.
public struct SimulatedClient: Sendable {
  /// Events from the beginning on.
  public var events = 0
  /// Actions that would have been published, by kind.
  public var current: [ActionKind: Int] = [:]
  public var changed: [ActionKind: Int] = [:]
  /// nil: both publish the same actions at the same times.
  public var difference: SimulatedDifference?
}

/// The first action that one set of rules publishes for a client and the other does not.
public struct SimulatedDifference: Sendable {
  /// What one set of rules says about the client at that time.
  public struct Side: Sendable {
    /// The action that is published; nil: none.
    public var action: ActionKind?
    /// The last evaluation until then; nil: there was none.
    public var evaluation: Evaluation?
  }

  public var at: Timestamp
  public var current: Side
  public var changed: Side
}

/// The replay of one client's events. They come in the order in which they occurred.
public struct ClientReplay: Sendable {
  private let begin: Timestamp
  private let end: Timestamp
  private var current: RulesReplay
  private var changed: RulesReplay
  private var hasBegun = false
  /// Events that occurred at the same time, which is `waitingAt`.
  private var waiting: [JourneyEvent] = []
  private var waitingAt: Timestamp?
  private var result = SimulatedClient()

  /// So many events of one moment are evaluated together at most.
  static let batchLimit = 1000

  init(begin: Timestamp, end: Timestamp, current: RulesReplay, changed: RulesReplay) {
    self.begin = begin
    self.end = end
    self.current = current
    self.changed = changed
  }

  /// Adds the next event. One with a time in the future counts as of the end.
  public mutating func take(_ event: JourneyEvent) {
    let at = min(event.occurredAt, end)
    guard at >= begin else {
      current.build(event)
      changed.build(event)
      return
    }
    if waitingAt != at || waiting.count == Self.batchLimit { evaluateWaiting() }
    waitingAt = at
    waiting.append(event)
  }

  /// Replays until the end.
  public mutating func finish() -> SimulatedClient {
    evaluateWaiting()
    start()
    current.advance(to: end)
    changed.advance(to: end)
    compare()
    return result
  }

  private mutating func start() {
    guard !hasBegun else { return }
    hasBegun = true
    current.start(at: begin)
    changed.start(at: begin)
  }

  private mutating func evaluateWaiting() {
    guard let at = waitingAt, !waiting.isEmpty else { return }
    start()
    result.events += waiting.count
    waiting.sort { $0.stamp < $1.stamp }
    current.take(waiting, at: at)
    changed.take(waiting, at: at)
    waiting.removeAll(keepingCapacity: true)
    compare()
  }

  /// Counts the actions since the last time, and looks for the first that differ.
  private mutating func compare() {
    let (a, b) = (current.published, changed.published)
    for action in a { result.current[action.kind, default: 0] += 1 }
    for action in b { result.changed[action.kind, default: 0] += 1 }
    if result.difference == nil {
      let same = zip(a, b).prefix { $0.isSame(as: $1) }.count
      let (first, second) = (a.dropFirst(same).first, b.dropFirst(same).first)
      if let at = [first?.at, second?.at].compactMap({ $0 }).min() {
        result.difference = SimulatedDifference(at: at, current: current.side(at: at), changed: changed.side(at: at))
      }
    }
    current.forgetSteps()
    changed.forgetSteps()
  }
}
