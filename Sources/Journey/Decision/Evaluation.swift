public import FoundationEssentials

/// An event on its way into a journey: with the id of its row and what its metadata signals. A class, since it is
/// handed on often and never changes.
public final class IncomingEvent: Sendable {
  /// The id of the event's row, a UUIDv7.
  public let id: UUID
  public let event: JourneyEvent
  public let signals: Signals
  /// The W3C `traceparent` that came with the event.
  public let traceparent: String?

  public init(id: UUID, event: JourneyEvent, signals: Signals, traceparent: String? = nil) {
    self.id = id
    self.event = event
    self.signals = signals
    self.traceparent = traceparent
  }
}

/// A client as it is found, locked, and as an evaluation leaves it.
public struct ClientSnapshot: Sendable {
  public var id: UUID
  public var orgID: UUID
  public var name: String?
  public var email: String?
  public var phone: String?
  public var aiScore: Double?
  public var summary: ClientSummary
  public var actionHistory: ActionHistory
  /// The invoices that are late once the new events' invoices are taken in; nil where none of them touched an invoice.
  public var lateInvoices: LateInvoices?
  /// The moment for which windows are counted, by the database's clock: one clock for all instances.
  public var now: Timestamp
  /// When the client was evaluated last.
  public var lastEvaluation: Timestamp?

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
  /// The newest of the events that were taken in.
  case event(IncomingEvent)
  /// A risk began or ended although nothing happened.
  case time
  /// The stored events of the client are others now: the host application has written, corrected or deleted some, or
  /// two clients have become one.
  case historyChange
  /// The client was made anew from its stored events, under the present rules.
  case recomputation

  public var incoming: IncomingEvent? {
    if case .event(let incoming) = self { incoming } else { nil }
  }

  /// The id of the event's row.
  public var eventID: UUID? { incoming?.id }
}

/// One evaluation of a client: when, because of which event, and with what result.
public struct Evaluation: Sendable {
  /// A UUIDv7: the id of its score, and of the action that follows from it.
  public var id: UUID
  public var at: Timestamp
  public var cause: Cause
  public var assessment: Assessment
  public var decision: Decision
}

extension DecisionRules {
  /// Takes new events of one client into its summary and evaluates it: once for all of them, or after each, as
  /// `evaluation` says. Actions that are recommended are noted in its outreach.
  ///
  /// The resulting summary does not depend on the order of `events`. Evaluations are dated at least one microsecond
  /// apart, and after any earlier one of the client, so that the last one is also the latest, whatever a clock did.
  ///
  /// - Returns: the evaluations in the order in which they were made; the last one is how the client stands now.
  public func evaluate(
    _ client: inout ClientSnapshot, taking events: [IncomingEvent], random: inout some RandomNumberGenerator
  ) -> [Evaluation] {
    var evaluations: [Evaluation] = []
    if let late = client.lateInvoices { client.summary.lateInvoices = late }
    for incoming in events {
      client.summary.insert(incoming.event.stamp, stage: incoming.event.stage, signals: incoming.signals)
      if evaluation == .perEvent { evaluations.append(evaluate(&client, because: .event(incoming), random: &random)) }
    }
    if evaluation == .perBatch, let newest = events.max(by: { $0.event.stamp < $1.event.stamp }) {
      evaluations.append(evaluate(&client, because: .event(newest), random: &random))
    }
    return evaluations
  }

  /// Evaluates a client as it stands now, without an event.
  /// - Parameters:
  ///   - cause: why, other than an event.
  ///   - publishes: whether an action may follow from it. Where none may, none is noted in the outreach.
  public func evaluate(
    _ client: inout ClientSnapshot, without cause: Cause, publishes: Bool = true,
    random: inout some RandomNumberGenerator
  ) -> Evaluation {
    if let late = client.lateInvoices { client.summary.lateInvoices = late }
    return evaluate(&client, because: cause, publishes: publishes, random: &random)
  }

  /// How a client stands at its `now`, for somebody who reads: the evaluation that would be made, and nothing is noted
  /// of it.
  /// - Parameter latest: the id of the client's latest evaluation. The action that followed from it is the one that is
  ///   recommended, and does not hold itself back.
  public func standing(of client: ClientSnapshot, after latest: UUID?) -> Evaluation {
    var client = client
    if let latest { client.actionHistory.last = client.actionHistory.last.filter { $0.value.actionID != latest } }
    var random = SystemRandomNumberGenerator()
    return evaluate(&client, without: .time, random: &random)
  }

  private func evaluate(
    _ client: inout ClientSnapshot, because cause: Cause, publishes: Bool = true,
    random: inout some RandomNumberGenerator
  ) -> Evaluation {
    let at = client.lastEvaluation.map { max(client.now, $0 + TimeSpan(microseconds: 1)) } ?? client.now
    let assessment = assess(client.summary, aiScore: client.aiScore, at: client.now)
    let decided = decide(assessment, actionHistory: client.actionHistory, at: client.now)
    let decision = publishes ? decided : decided.withholding
    let id = UUID.v7(at: at, using: &random)
    // Without a cooldown nobody asks.
    if actions.cooldown > .seconds(0), let winner = decision.winner(of: assessment) {
      client.actionHistory.record(winner.action, id: id, at: client.now, priority: assessment.priority)
    }
    client.lastEvaluation = at
    return Evaluation(id: id, at: at, cause: cause, assessment: assessment, decision: decision)
  }
}
