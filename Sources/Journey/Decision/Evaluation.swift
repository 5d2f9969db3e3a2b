public import FoundationEssentials

/// An event to store, with the id of its row and its signals. A class, because it is passed around often and never
/// changes.
public final class IncomingEvent: Sendable {
  /// The id of the event's row, a UUIDv7.
  public let id: UUID
  public let event: JourneyEvent
  public let signals: Signals
  /// The W3C `traceparent` that came with the event.
  public let traceparent: String?
  /// Set if the message reports the outcome of an action. The event then names no client.
  public let report: OutcomeReport?
  /// Whether it is history that is loaded later: it counts like any other event, and leads to no action.
  public let isBackfill: Bool

  public init(
    id: UUID, event: JourneyEvent, signals: Signals, traceparent: String? = nil, report: OutcomeReport? = nil,
    isBackfill: Bool = false
  ) {
    self.id = id
    self.event = event
    self.signals = signals
    self.traceparent = traceparent
    self.report = report
    self.isBackfill = isBackfill
  }
}

/// A locked client, before and after an evaluation.
public struct ClientSnapshot: Sendable {
  public var id: UUID
  public var orgID: UUID
  public var name: String?
  public var email: String?
  public var phone: String?
  public var aiScore: Double?
  /// The names of the client's time zone and its organisation's, as the host has them.
  public var timeZones: [String?] = []
  public var summary: ClientSummary
  public var actionHistory: ActionHistory
  /// The late invoices including those of the new events; nil if no new event concerns an invoice.
  public var lateInvoices: LateInvoices?
  /// The moment at which time windows end. By the database's clock, which all instances share.
  public var now: Timestamp
  /// When the client was last evaluated.
  public var lastEvaluation: Timestamp?
  /// What evaluations have changed of earlier actions.
  public var actionChanges: [ActionChange] = []
  /// Since when a source of the organisation is silent, so that silence says nothing; nil: all are heard.
  public var frozenSince: Timestamp?

  public init(
    id: UUID, orgID: UUID, name: String?, email: String?, phone: String?, aiScore: Double?, summary: ClientSummary,
    actionHistory: ActionHistory, lateInvoices: LateInvoices?, now: Timestamp, lastEvaluation: Timestamp? = nil
  ) {
    self.id = id
    self.orgID = orgID
    self.name = name
    self.email = email
    self.phone = phone
    self.aiScore = aiScore
    self.summary = summary
    self.actionHistory = actionHistory
    self.lateInvoices = lateInvoices
    self.now = now
    self.lastEvaluation = lastEvaluation
  }
}

/// Why a client was evaluated.
public enum Cause: Sendable {
  /// The newest of the new events.
  case event(IncomingEvent)
  /// A risk began or ended without an event.
  case time
  /// The stored events changed: the host application has written, corrected or deleted some, or two clients were
  /// merged.
  case historyChange
  /// The client was recomputed from its stored events under the current rules.
  case recomputation

  public var incoming: IncomingEvent? {
    if case .event(let incoming) = self { incoming } else { nil }
  }

  /// The id of the event's row.
  public var eventID: UUID? { incoming?.id }
}

/// One evaluation of a client: its time, cause and result.
public struct Evaluation: Sendable {
  /// A UUIDv7: also the id of the score, and of the action that follows.
  public var id: UUID
  public var at: Timestamp
  public var cause: Cause
  public var assessment: Assessment
  public var decision: Decision
  /// Whether an action could be published. If not, what is still to be decided stays so.
  public var isDecided: Bool
  /// Whether the client is one of those that are left alone; nil: there are none.
  public var isHeldOut: Bool?
  /// The stored form of a `DecisionInput`; nil: it is not recorded.
  public var input: [UInt8]?
}

extension DecisionRules {
  /// Adds new events of one client to its summary and evaluates it, once for all of them or after each, depending on
  /// `evaluation`. Recommended actions are recorded in its action history.
  ///
  /// The resulting summary does not depend on the order of `events`. Evaluations of a client are at least one
  /// microsecond apart, so that the last one has the latest date even if a clock was set back. Events that are loaded
  /// later lead to no action.
  ///
  /// - Returns: the evaluations in order; the last one is the client's current state.
  public func evaluate(
    _ client: inout ClientSnapshot, taking events: [IncomingEvent], random: inout some RandomNumberGenerator
  ) -> [Evaluation] {
    var evaluations: [Evaluation] = []
    if let late = client.lateInvoices { client.summary.lateInvoices = late }
    for incoming in events {
      client.summary.insert(
        incoming.event.stamp, stage: incoming.event.stage, minStage: incoming.event.minStage, signals: incoming.signals)
      applyUnsubscription(incoming, to: &client.actionHistory)
      if evaluation == .perEvent {
        evaluations.append(
          evaluate(&client, because: .event(incoming), decides: !incoming.isBackfill, random: &random))
      }
    }
    if evaluation == .perBatch, let newest = events.max(by: { $0.event.stamp < $1.event.stamp }) {
      let decides = events.contains { !$0.isBackfill }
      evaluations.append(evaluate(&client, because: .event(newest), decides: decides, random: &random))
    }
    return evaluations
  }

  /// Evaluates a client without a new event.
  /// - Parameters:
  ///   - cause: the cause, other than an event.
  ///   - publishes: whether anything may be published. If false, the action history stays as it is.
  ///   - decides: whether an action may be published. If false, earlier actions still end.
  public func evaluate(
    _ client: inout ClientSnapshot, without cause: Cause, publishes: Bool = true, decides: Bool = true,
    random: inout some RandomNumberGenerator
  ) -> Evaluation {
    if let late = client.lateInvoices { client.summary.lateInvoices = late }
    return evaluate(&client, because: cause, publishes: publishes, decides: decides, random: &random)
  }

  /// Evaluates a client as of its `now` for a reader. Records nothing.
  /// - Parameter latest: the id of the client's latest evaluation. Its action is the current recommendation, so it does
  ///   not cause a cooldown.
  public func standing(of client: ClientSnapshot, after latest: UUID?) -> Evaluation {
    let history = client.actionHistory
    var client = client
    if let latest { client.actionHistory.remove(latest) }
    var random = SystemRandomNumberGenerator()
    if let late = client.lateInvoices { client.summary.lateInvoices = late }
    var evaluation = evaluate(&client, because: .time, records: false, random: &random)
    // What is only recommended for the reader has no end.
    let change = assess(client.summary, aiScore: client.aiScore, at: client.now, frozenSince: client.frozenSince)
      .nextChange
    let end = actions.nextChange(of: history, after: client.now, onlyLater: true)
    evaluation.assessment.nextChange = [change, end].compactMap { $0 }.min()
    return evaluation
  }

  func applyUnsubscription(_ incoming: IncomingEvent, to history: inout ActionHistory) {
    guard let channel = actions.contact?.unsubscribes[incoming.event.type] else { return }
    history.add(
      ActionHistory.Block(channel: channel, cause: .event, id: incoming.id, at: incoming.event.occurredAt))
  }

  private func evaluate(
    _ client: inout ClientSnapshot, because cause: Cause, publishes: Bool = true, decides: Bool = true,
    records: Bool = true, random: inout some RandomNumberGenerator
  ) -> Evaluation {
    let input =
      recordsInputs && records ? DecisionInput(client, publishes: publishes, decides: decides).encoded() : nil
    let at = client.lastEvaluation.map { max(client.now, $0 + TimeSpan(microseconds: 1)) } ?? client.now
    var assessment = assess(
      client.summary, aiScore: client.aiScore, at: client.now, frozenSince: client.frozenSince)
    if publishes {
      let contacts = client.actionHistory.contacts.count
      actions.advance(&client.actionHistory, to: client.now, &client.actionChanges)
      // Also without a decision: the client is no longer at that risk.
      if actions.life?.followUpFrom.map({ assessment.level < $0 }) ?? true { client.actionHistory.followUpAt = nil }
      actions.revokeProhibited(&client.actionHistory, at: client.now, &client.actionChanges)
      actions.revoke(&client.actionHistory, for: assessment, at: client.now, &client.actionChanges)
      // A channel has become free, and this evaluation may not use it: the next one does.
      if !decides, client.actionHistory.reconsiderAt != nil, client.actionHistory.contacts.count < contacts {
        client.actionHistory.reconsiderAt = client.now
      }
    }
    let isHeldOut = actions.contact?.holdout.map { $0.contains(client.id) }
    let decided = decide(
      assessment, actionHistory: client.actionHistory, at: client.now, in: client.timeZones,
      isHeldOut: isHeldOut ?? false)
    let decision = publishes && decides ? decided : decided.withholding
    let id = UUID.v7(at: at, using: &random)
    if publishes, decides { record(decision, of: assessment, id: id, in: &client) }
    if let next = actions.nextChange(of: client.actionHistory, after: client.now) {
      assessment.nextChange = min(next, assessment.nextChange ?? next)
    }
    client.lastEvaluation = at
    return Evaluation(
      id: id, at: at, cause: cause, assessment: assessment, decision: decision,
      isDecided: publishes && decides, isHeldOut: isHeldOut, input: input)
  }

  /// Records what is published, and what is recommended once more.
  private func record(
    _ decision: Decision, of assessment: Assessment, id: UUID, in client: inout ClientSnapshot
  ) {
    // Without cooldown and life, nothing reads it.
    guard actions.cooldown > .seconds(0) || actions.life != nil else { return }
    if let winner = decision.winner(of: assessment) {
      actions.supersede(&client.actionHistory, by: winner, id, at: client.now, &client.actionChanges)
      client.actionHistory.record(
        winner.action, id: id, at: client.now, priority: assessment.priority,
        trigger: actions.life == nil ? nil : winner.trigger)
      let contact = ActionHistory.Contact(channel: winner.channel, kind: winner.action, actionID: id, at: client.now)
      if let policy = actions.contact, policy.memory(of: contact) > .seconds(0) {
        client.actionHistory.addContact(contact)
      }
    } else if case .open(let actionID, _)? = decision.verdicts.first(where: { !$0.isPassedOver }) {
      client.actionHistory.repeated(actionID)
    }
    client.actionHistory.reconsiderAt = decision.reconsiderAt
    client.actionHistory.followUpAt = actions.followUp(
      decision, of: assessment, client.actionHistory, after: client.now)
  }
}
