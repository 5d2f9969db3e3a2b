import Foundation
import Journey
import PostgresClient

@testable import JourneyPostgres
@testable import TestSupport

/// Lets clients live through a year, hour by hour: their events go through the real commit, the actions that follow to
/// workers, and the answers back.
struct YearRun {
  static let org = UUID()
  static let zones = ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata", "America/Los_Angeles"]

  /// What the checker is given besides what the database knows.
  struct Account {
    var events = 0
    var types: Set<String> = []
    var messages: [Channel: Int] = [:]
    var accepted: [Channel: Int] = [:]
    var unsubscribed = 0
    /// Reports and events that were rejected.
    var rejected: [String] = []
    /// From when on no e-mail may go to a client.
    var noEmailSince: [UUID: Timestamp] = [:]
    /// Times at which a client had an overdue invoice, by client.
    var overdue: [UUID: [(from: Timestamp, to: Timestamp?)]] = [:]
    /// CRITICAL clients for whom nothing was under way.
    var forgotten: [String] = []
    var accepts: Int { accepted.values.reduce(0, +) }
  }

  /// Something that is done at a later hour.
  private enum Task {
    case happens(Int)
    case paid(Int, String)
    case answers(Int, UUID, ActionOutcome)
    case isMet(Int, UUID, ActionKind)
    case takesCallsBack(Int)
  }

  var clients: [YearClient]
  let store: PostgresEventStore
  let other: PostgresWorker
  let consents: ConsentRepository
  let rules: DecisionRules
  private(set) var account = Account()
  private var agenda: [Int: [Task]] = [:]
  private var random: SeededRandom
  private var ids = IDRandom()
  private let isNight: (Timestamp, String?) -> Bool

  init(
    clients: [YearClient], store: PostgresEventStore, other: PostgresWorker, consents: ConsentRepository,
    rules: DecisionRules, seed: UInt64, isNight: @escaping (Timestamp, String?) -> Bool
  ) {
    self.clients = clients
    self.store = store
    self.other = other
    self.consents = consents
    self.rules = rules
    self.isNight = isNight
    random = SeededRandom(stream: seed)
  }

  private static func hour(_ time: Timestamp) -> Int { Int(time.microseconds / TimeSpan.hours(1).microseconds) }

  private mutating func plan(_ task: Task, at time: Timestamp) { agenda[Self.hour(time), default: []].append(task) }

  private mutating func planNext(_ client: Int, after now: Timestamp) {
    // Some fall silent for a season, and would be glad of a call.
    let isSeason = Int.random(in: 0..<60, using: &random) == 0
    if isSeason { clients[client].occasion(for: .sendVoiceMessage) }
    let mean = isSeason ? 70 * 24 * 60.0 : 72 * 60
    let pause = -mean * log(Double.random(in: 0.0001..<1, using: &random))
    plan(.happens(client), at: now + .hours(1) + .seconds(60 * Int64(pause)))
  }

  /// - Parameter spans: the times that are lived through.
  mutating func live(_ spans: [Range<Timestamp>]) async throws {
    for span in spans {
      agenda = [:]
      for client in clients.indices {
        planNext(client, after: span.lowerBound)
        if let time = clients[client].takesCallsBackAt, span.contains(time) { plan(.takesCallsBack(client), at: time) }
        for invoice in clients[client].overdue { plan(.paid(client, invoice), at: span.lowerBound + .days(3)) }
      }
      var now = span.lowerBound
      while now < span.upperBound {
        try await step(at: now)
        if Self.hour(now) % (24 * 7) == 0 { try await lookAtCritical(now) }
        now = now + .hours(1)
      }
    }
  }

  private mutating func step(at now: Timestamp) async throws {
    store.setClock(to: TimeSpan(microseconds: now.microseconds - SystemClock().now().microseconds))
    var events: [IncomingEvent] = []
    for task in agenda.removeValue(forKey: Self.hour(now)) ?? [] {
      switch task {
      case .happens(let index):
        let happening = clients[index].next(&random)
        events.append(event(happening, of: index, at: now))
        planNext(index, after: now)
        if let invoice = happening.opensInvoice {
          plan(.paid(index, invoice), at: now + .days(Int64.random(in: 2..<40, using: &random)))
          begin(overdue: clients[index].id, at: now)
        }
        if happening.type == "email_unsubscribed" { noEmail(clients[index].id, since: now) }
      case .paid(let index, let invoice):
        guard let happening = clients[index].paid(invoice) else { continue }
        events.append(event(happening, of: index, at: now))
        if clients[index].overdue.isEmpty {
          account.overdue[clients[index].id]?.indices.last.map { last in
            account.overdue[clients[index].id]![last].to = now
          }
        }
      case .answers(let index, let action, let outcome):
        events.append(report(action, outcome, at: now))
        if outcome.blocksChannel { noEmail(clients[index].id, since: now) }
      case .isMet(let index, let action, let kind):
        guard try await isOpen(action) else { continue }
        let outcome = clients[index].meet(kind, &random)
        if outcome == .accepted { account.accepted[.human, default: 0] += 1 }
        events.append(report(action, outcome, at: now))
      case .takesCallsBack(let index):
        _ = try await consents.record(
          ConsentRecord(
            id: UUID.v7(at: now, using: &ids), change: .withdrawn, channel: .voice, purpose: "calls", at: now),
          of: clients[index].id, source: "call", reason: nil, actor: "year", at: now, rules: rules.actions)
      }
    }
    while !events.isEmpty {
      let result = try await store.commit(EventBatch(events: events, published: []))
      try await work(result.outbox, at: now)
      account.rejected += result.results.compactMap { if case .rejected(let why) = $0 { "\(why)" } else { nil } }
      events = zip(events, result.results).compactMap { event, result in
        switch result {
        case .stateCreated, .locked: event
        default: nil
        }
      }
    }
    while true {
      let due = try await store.evaluateDue(limit: 500, passingOver: PassedOver())
      try await work(due.outbox, at: now)
      if due.looked < 500 { break }
    }
  }

  private mutating func event(_ happening: YearClient.Happening, of index: Int, at now: Timestamp) -> IncomingEvent {
    account.events += 1
    account.types.insert(happening.type)
    let event = JourneyEvent(
      orgID: Self.org, source: "year", sourceEventID: happening.id, client: ClientReference(id: clients[index].id),
      type: happening.type, stage: happening.stage, actor: EventTypes.actor(of: happening.type), occurredAt: now,
      metadata: Array(happening.metadata.utf8))
    let metadata = try! JSONDocument(parsing: event.metadata).root
    let signals = SignalReader(rules.signals).signals(
      type: event.type, stage: event.stage, actor: event.actor, sourceEventID: event.sourceEventID, metadata: metadata)
    return IncomingEvent(id: UUID.v7(at: now, using: &ids), event: event, signals: signals)
  }

  private mutating func report(_ action: UUID, _ outcome: ActionOutcome, at now: Timestamp) -> IncomingEvent {
    let report = OutcomeReport(
      actionID: action, outcome: outcome, occurredAt: now, reporter: "worker:year", orgID: Self.org)
    let event = JourneyEvent(
      orgID: Self.org, source: OutcomeReport.source, sourceEventID: "\(action)/\(outcome.rawValue)",
      client: ClientReference(externalID: action.text), type: "action_\(outcome.rawValue)", stage: nil, occurredAt: now,
      metadata: Array("{}".utf8))
    return IncomingEvent(id: UUID.v7(at: now, using: &ids), event: event, signals: Signals(), report: report)
  }

  /// The workers: e-mails and calls go out at once, people come within three days.
  private mutating func work(_ outbox: OutboxBatch?, at now: Timestamp) async throws {
    guard let outbox else { return }
    try await store.markPublished([outbox.id])
    for message in outbox.actions where message.kind == .recommendation {
      let parts = String(decoding: message.body, as: UTF8.self).split(separator: " ")
      let index = Int(parts[0])!, kind = ActionKind(rawValue: String(parts[1]))!
      let channel = Channel(rawValue: String(parts[2]))
      account.messages[channel, default: 0] += 1
      guard channel != .human else {
        plan(.isMet(index, message.id, kind), at: now + .hours(Int64.random(in: 1..<60, using: &random)))
        continue
      }
      plan(.answers(index, message.id, .delivered), at: now + .hours(1))
      let answer = clients[index].answer(
        kind, channel, at: now, isNight: isNight(now, clients[index].zone), &random)
      guard let answer else { continue }
      plan(.answers(index, message.id, answer.outcome), at: now + answer.after + .hours(1))
      if answer.outcome == .accepted { account.accepted[channel, default: 0] += 1 }
      if answer.outcome == .unsubscribed { account.unsubscribed += 1 }
    }
  }

  private mutating func noEmail(_ client: UUID, since time: Timestamp) {
    account.noEmailSince[client] = min(time, account.noEmailSince[client] ?? time)
  }

  private mutating func begin(overdue client: UUID, at now: Timestamp) {
    if let last = account.overdue[client]?.last, last.to == nil { return }
    account.overdue[client, default: []].append((now, nil))
  }

  private func isOpen(_ action: UUID) async throws -> Bool {
    if rules.actions.life == nil { return true }
    let found = try await other.rows(
      "SELECT state IN ('published', 'delivered', 'opened') FROM journey_actions WHERE id = '\(action)'")
    return found == ["t"]
  }

  /// A CRITICAL client has an action that is open, or one that was answered so recently that the rules pause.
  private mutating func lookAtCritical(_ now: Timestamp) async throws {
    guard rules.actions.life != nil else { return }
    let at = "'\(now.iso8601)'::timestamptz"
    account.forgotten += try await other.rows(
      """
      SELECT s.client_id, \(at), (
        SELECT string_agg(l.text, ', ') FROM (
          SELECT concat_ws(' ', a.action, a.decided_at, a.state, a.changed_at) AS text FROM journey_actions a
          WHERE a.client_id = s.client_id ORDER BY a.decided_at DESC LIMIT 3) l)
      FROM journey_client_state s
      WHERE s.risk_level = 'CRITICAL' AND s.scored_at < \(at) - interval '1 day' AND NOT EXISTS (
        SELECT FROM journey_actions a WHERE a.client_id = s.client_id AND (
          a.state IN ('proposed', 'held', 'published', 'delivered', 'opened')
          OR a.changed_at > \(at) - CASE a.state WHEN 'rejected' THEN interval '30 days'
            WHEN 'accepted' THEN interval '7 days' WHEN 'no_response' THEN interval '7 days' ELSE interval '1 day' END
          -- It may have reached somebody all the same, so its cooldown holds.
          OR a.state = 'revoked' AND a.decided_at > \(at) - interval '72 hours'))
      """)
  }
}
