import FoundationEssentials
import Journey
import PostgresClient

/// Records reports of outcomes in a transaction of their own: what has become of the actions, and what later decisions
/// need to know of it. A report that is committed twice changes nothing.
extension BatchCommit {
  struct Reported {
    /// By the index of the report in the batch.
    var results: [Int: CommitResult.Result] = [:]
    /// The kinds of the actions.
    var kinds: [Int: ActionKind] = [:]
    /// The events that are the client's engagement, still to be stored.
    var events: [(index: Int, event: IncomingEvent)] = []
  }

  /// - Parameter indices: the events with a report.
  func record(_ indices: [Int], of events: [IncomingEvent]) throws(PostgresError) -> Reported {
    var reported = Reported()
    let reports = indices.compactMap { index in events[index].report.map { (index: index, report: $0) } }
    let ids = PostgresParameters { $0.uuids(Array(Set(reports.map(\.report.actionID)))) }
    let found = try connection.pipeline([(.begin, PostgresParameters()), (ActionStatements.find, ids)])[1]
    var actions = try ReportedAction.all(found)
    let clients = Set(actions.values.map(\.clientID)).sorted { $0.precedesByBytes($1) }
    let answers = try connection.pipeline([
      (CommitStatements.lockClients, PostgresParameters { $0.uuids(clients) }), (ActionStatements.lives, ids),
    ])
    var histories: [UUID: ActionHistory] = [:], now: Timestamp?
    for row in 0..<answers[0].rowCount {
      let locked = try LockedClient(answers[0], row, from: 1).moved(by: clockOffset)
      now = locked.now
      histories[try answers[0].uuid(row, 0)] = ActionHistory(encoded: locked.actionHistory) ?? ActionHistory()
    }
    try ReportedAction.read(answers[1], into: &actions)
    var written: Set<UUID> = [], redecided: Set<UUID> = []
    // The order of time, so that what is recorded does not depend on the order in the batch.
    for (index, report) in reports.sorted(by: { $0.report.occurredAt < $1.report.occurredAt }) {
      guard var action = actions[report.actionID] else {
        reported.results[index] = .rejected(Self.unknown(report))
        continue
      }
      if let orgID = report.orgID, orgID != action.orgID {
        reported.results[index] = .rejected(Self.foreign(report))
        continue
      }
      guard action.isCurrent, var history = histories[action.clientID] else {
        reported.results[index] = .locked
        continue
      }
      reported.kinds[index] = action.kind
      switch action.life.apply(report) {
      case .refused(let reason):
        reported.results[index] = .rejected(Self.refused(report, reason))
        continue
      case .repeated:
        reported.results[index] = .duplicate
        // It may say again what a person has lifted since the first time. When it was said decides.
        if report.isTimed, history.applyBlock(of: report, on: action.channel) {
          histories[action.clientID] = history
          written.insert(report.actionID)
          redecided.insert(action.clientID)
        }
      case .changed:
        reported.results[index] = .stored
        history.apply(
          report, to: action.life, action.kind, on: action.channel,
          countsContacts: decider.rules.actions.contact != nil)
        actions[report.actionID] = action
        histories[action.clientID] = history
        written.insert(report.actionID)
        // Something else may reach the client, and what waits on this channel is taken back.
        if report.outcome.state == .failed || report.outcome.blocksChannel { redecided.insert(action.clientID) }
      }
      if decider.rules.actions.life != nil, let event = engagement(report, action, events[index]) {
        reported.events.append((index, event))
      }
    }
    try write(written.compactMap { actions[$0] }, histories, redecided, at: now)
    return reported
  }

  private func write(
    _ actions: [ReportedAction], _ histories: [UUID: ActionHistory], _ redecided: Set<UUID>, at databaseNow: Timestamp?
  ) throws(PostgresError) {
    let now = clock.now()
    var commands: [(PostgresStatement, PostgresParameters)] = []
    var histories = histories, taken = ActionChangeColumns()
    for action in actions where redecided.contains(action.clientID) {
      guard let databaseNow, var history = histories[action.clientID] else { continue }
      var changes: [ActionChange] = []
      decider.rules.actions.revokeProhibited(&history, at: databaseNow, &changes)
      histories[action.clientID] = history
      taken.add(changes, of: action.clientID, in: action.orgID)
    }
    if !actions.isEmpty {
      let parameters = PostgresParameters {
        $0.uuids(actions) { $0.id }
        $0.uuids(actions) { $0.orgID }
        $0.texts(actions) { $0.life.state?.rawValue }
        $0.timestamptzs(actions) { $0.life.stateSince?.microseconds }
        $0.timestamptzs(actions) { $0.life.snoozedUntil?.microseconds }
        $0.jsonbs(actions) { $0.life.json(recordedAt: now) }
      }
      commands.append((ActionStatements.write, parameters))
      if decider.rules.actions.life != nil {
        let clients = Set(actions.map(\.clientID)).sorted { $0.precedesByBytes($1) }
        let parameters = PostgresParameters {
          $0.uuids(clients)
          $0.byteas(clients) { histories[$0]?.encoded() }
          $0.bools(clients) { redecided.contains($0) }
        }
        commands.append((ActionStatements.writeHistories, parameters))
      }
    }
    if !taken.isEmpty { commands.append((ActionStatements.close, taken.parameters)) }
    _ = try connection.pipeline(commands + [(.commit, PostgresParameters())])
  }

  /// The event that a report is for the client's engagement, with a key of its own, so that it is stored once.
  private func engagement(_ report: OutcomeReport, _ action: ReportedAction, _ incoming: IncomingEvent)
    -> IncomingEvent?
  {
    guard let type = report.outcome.eventType(on: action.channel) else { return nil }
    var json = JSONWriter(reservingCapacity: 96)
    json.beginObject()
    json.member("actionId", report.actionID)
    json.member("channel", action.channel.rawValue)
    json.endObject()
    let event = JourneyEvent(
      orgID: action.orgID, source: OutcomeReport.source,
      sourceEventID: "\(report.actionID.text)/\(report.outcome.rawValue)", client: ClientReference(id: action.clientID),
      type: type, stage: nil, actor: .client, occurredAt: report.occurredAt, metadata: json.bytes)
    guard let metadata = try? JSONDocument(parsing: json.bytes).root else { return nil }
    let signals = history.signals.signals(
      type: type, stage: nil, actor: .client, sourceEventID: event.sourceEventID, metadata: metadata)
    return IncomingEvent(id: incoming.id, event: event, signals: signals, traceparent: incoming.traceparent)
  }

  private static func unknown(_ report: OutcomeReport) -> Rejection {
    Rejection(
      .unknownAction, field: "data.actionId", value: report.actionID.text, "there is no published action with this id")
  }

  private static func foreign(_ report: OutcomeReport) -> Rejection {
    Rejection(
      .foreignAction, field: "orgid", value: report.orgID?.text, "the action belongs to another organisation")
  }

  private static func refused(_ report: OutcomeReport, _ reason: String) -> Rejection {
    Rejection(
      .refusedOutcome, field: "data.outcome", value: report.outcome.rawValue, "the action cannot take it: \(reason)")
  }
}

/// An action of which an outcome is reported.
struct ReportedAction {
  var id: UUID
  var orgID: UUID
  var clientID: UUID
  var channel: Channel
  /// nil: this version does not know it.
  var kind: ActionKind?
  var life = ActionLife()
  /// Whether it still belongs to the client that is locked.
  var isCurrent = false

  static func all(_ found: PostgresResult) throws(PostgresError) -> [UUID: ReportedAction] {
    var actions: [UUID: ReportedAction] = [:]
    for row in 0..<found.rowCount {
      let id = try found.uuid(row, 0)
      actions[id] = ReportedAction(
        id: id, orgID: try found.uuid(row, 1), clientID: try found.uuid(row, 2),
        channel: Channel(rawValue: try found.text(row, 3)),
        kind: try found.textIfPresent(row, 4).flatMap(ActionKind.init(rawValue:)))
    }
    return actions
  }

  static func read(_ lives: PostgresResult, into actions: inout [UUID: ReportedAction]) throws(PostgresError) {
    for row in 0..<lives.rowCount {
      let id = try lives.uuid(row, 0)
      guard let known = actions[id], try lives.uuid(row, 1) == known.clientID else { continue }
      actions[id]?.isCurrent = true
      actions[id]?.life = ActionLife(
        actionID: id, json: Array((try lives.textIfPresent(row, 2) ?? "[]").utf8),
        snoozedUntil: try lives.timestampIfPresent(row, 3).map { Timestamp(microseconds: $0) },
        isUnsent: try lives.bool(row, 4), isForPeople: known.channel == .human)
    }
  }
}
