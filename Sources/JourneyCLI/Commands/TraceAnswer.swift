import DeadLetters
import FoundationEssentials
import Journey
import JourneyPostgres

/// Where a message or an event is, and how it came there.
struct TraceAnswer {
  enum Place: String {
    case parked, returned
    case deadLetter = "dead_letter"
    case ignored, unlisted
    /// The current rules make something else of a message that was passed by.
    case unmapped
    case kept, voided, evaluated
    /// Without an evaluation so far.
    case stored
    case actionUnpublished = "action_unpublished"
    case actionPublished = "action_published"
    case client
  }

  struct Step: Encodable {
    var at: Timestamp?
    var step: String
    var text: String
  }

  var place: Place
  var title: String
  var steps: [Step] = []
  var now: String
  /// The ids, for machines.
  var members: [(String, (any Encodable)?)] = []

  var json: JSONObject { JSONObject([("place", place.rawValue)] + members + [("now", now), ("steps", steps)]) }
}

/// How many messages wait in queues.
struct WaitingMessages {
  var ingest: String
  /// The queue of what workers report.
  var outcomes: String
  /// nil: not known.
  var waiting: Int?
  /// By tier.
  var retries: [String: Int] = [:]
  /// Why it is not known.
  var failure: String?

  var text: String {
    guard let waiting else { return "how many messages wait in \(ingest) is not known: \(failure ?? "")" }
    return "\(waiting.waiting("message")) in \(ingest)"
  }
}

extension TraceAnswer {
  /// - Parameter parked: where the event's message waited before.
  init(_ event: TracedEvent, parkedBefore parked: ParkedMessage?, _ queues: WaitingMessages, at now: Timestamp) {
    let source = event.source ?? "the host application"
    self.init(
      place: .evaluated, title: "event \(event.type) \(event.sourceEventID ?? event.id.text) from \(source)", now: "",
      members: [
        ("eventId", event.id), ("orgId", event.orgID), ("source", event.source), ("id", event.sourceEventID),
        ("type", event.type), ("clientId", event.clientID), ("occurredAt", event.occurredAt),
        ("storedAt", event.storedAt), ("voidedAt", event.voidedAt),
      ])
    steps.append(Step(at: event.occurredAt, step: "occurred", text: "occurred"))
    if let received = parked?.receivedAt ?? event.receivedAt {
      steps.append(Step(at: received, step: "received", text: "received"))
    }
    if let parked { steps.append(Self.step(parked)) }
    let stage = event.setsStage ? "sets stage \(event.stage)" : "leaves stage \(event.stage)"
    steps.append(
      Step(
        at: event.storedAt, step: "stored",
        text: "stored as \(event.id.text) of \(Self.client(event.clientID, event.clientName)): \(stage)"))
    if let evaluation = event.evaluation { add(evaluation, of: event, queues, at: now) }
    if let voided = event.voidedAt {
      place = .voided
      steps.append(Step(at: voided, step: "voided", text: "voided"))
      self.now = "voided: it counts no more (journey events restore --event \(event.id.text))"
    } else if event.evaluation == nil {
      place = .stored
      self.now = "stored; no evaluation of the client within an hour is known"
    }
  }

  init(_ evaluation: TracedEvaluation, _ queues: WaitingMessages, at now: Timestamp) {
    self.init(
      place: .evaluated, title: "evaluation \(evaluation.id.text), without an event", now: "",
      members: [("orgId", evaluation.orgID), ("clientId", evaluation.clientID)])
    add(evaluation, of: nil, queues, at: now)
  }

  private mutating func add(
    _ evaluation: TracedEvaluation, of event: TracedEvent?, _ queues: WaitingMessages, at now: Timestamp
  ) {
    let isOther = event != nil && evaluation.eventID != event?.id
    let outcome = [
      evaluation.stage.map { "stage \($0)" }, "risk level \(evaluation.riskLevel)",
      evaluation.score.map { "score \($0 == $0.rounded() ? "\(Int($0))" : "\($0)")" },
    ].compactMap(\.self).joined(separator: ", ")
    let with = isOther ? " with other events" : ""
    let whose = event == nil ? " (\(Self.client(evaluation.clientID, evaluation.clientName)))" : ""
    steps.append(Step(at: evaluation.at, step: "evaluated", text: "client evaluated\(whose)\(with): \(outcome)"))
    members += [
      ("evaluationId", evaluation.id), ("evaluatedAt", evaluation.at), ("riskLevel", evaluation.riskLevel),
      ("score", evaluation.score),
    ]
    guard let action = evaluation.action else {
      self.now =
        "stored and evaluated; no action followed (why: journey explain \(evaluation.clientID.text))"
      return
    }
    let expires = action.expiresAt.map { ", expires \($0.local)" } ?? ""
    steps.append(
      Step(
        at: evaluation.at, step: "decided",
        text:
          "action \(evaluation.id.text) decided: \(action.action) by \(action.channel), priority \(action.priority)\(expires)"
      ))
    members += [
      ("actionId", evaluation.id), ("action", action.action), ("channel", action.channel),
      ("priority", action.priority), ("expiresAt", action.expiresAt),
    ]
    add(action, queues, at: now)
  }

  private mutating func add(_ action: TracedAction, _ queues: WaitingMessages, at now: Timestamp) {
    place = .actionUnpublished
    let expired = action.expiresAt.map { $0 < now } ?? false
    let tried = action.attempts > 0 ? " after \(action.attempts.of("attempt"))" : ""
    switch action.progress {
    case .published(let time):
      place = .actionPublished
      steps.append(Step(at: time, step: "published", text: "action published, confirmed by the broker"))
      members.append(("publishedAt", time))
      self.now =
        "the action is published; what its worker reports goes to \(queues.outcomes), which the adapter does not read"
    case .underWay: self.now = "the action is not confirmed yet: an instance is publishing it"
    case .abandoned:
      self.now = "the action is not published yet: its instance has ended, the next that runs publishes it"
    case .failed(let reason, nil): self.now = "the action is not published and is not tried again: \(reason)"
    case .failed(let reason, let again?):
      self.now = "the action is not published\(tried): \(reason); tried again \(again.local(at: now))"
    }
    if expired, place == .actionUnpublished { self.now += "; it has expired" }
  }

  init(_ event: KeptGroupEvent) {
    self.init(
      place: .kept, title: "event \(event.type) \(event.sourceEventID) from \(event.source)",
      now: "kept until somebody of the group \(event.groupID) gets it (journey identity group)",
      members: [
        ("eventId", event.id), ("orgId", event.orgID), ("source", event.source), ("id", event.sourceEventID),
        ("type", event.type), ("groupId", event.groupID), ("keptAt", event.keptAt),
      ])
    steps = [
      Step(at: event.occurredAt, step: "occurred", text: "occurred"),
      Step(at: event.keptAt, step: "kept", text: "kept: it names only the group \(event.groupID)"),
    ]
    if let failed = event.failedAt {
      steps.append(Step(at: failed, step: "refused", text: "refused by the database; tried again an hour later"))
    }
  }

  init(_ message: ParkedMessage, _ queues: WaitingMessages, at now: Timestamp) {
    let names = [message.messageID ?? message.eventIDs.first, message.source.map { "from \($0)" }]
    self.init(
      place: .parked, title: (["message"] + names.compactMap(\.self)).joined(separator: " "), now: "",
      members: [
        ("orgId", message.orgID), ("source", message.source), ("messageId", message.messageID),
        ("ids", message.eventIDs), ("code", message.code), ("tier", message.tier), ("attempt", message.attempt),
        ("parkedAt", message.parkedAt), ("returnsAt", message.returnsAt),
      ])
    if let received = message.receivedAt { steps.append(Step(at: received, step: "received", text: "received")) }
    steps.append(Self.step(message))
    if message.returnsAt > now, queues.retries[message.tier] != 0 {
      self.now = "parked: it returns to \(queues.ingest) \(message.returnsAt.local(at: now))"
    } else {
      place = .returned
      let back = message.returnsAt > now ? "nothing waits in the retry queue any more" : "its time is over"
      if message.returnsAt <= now {
        steps.append(Step(at: message.returnsAt, step: "returned", text: "returned to \(queues.ingest)"))
      }
      self.now = "\(back), so it waits to be taken up again; \(queues.text)"
    }
  }

  private static func step(_ message: ParkedMessage) -> Step {
    let why =
      message.code.map { "\($0), attempt \(message.attempt)" }
      ?? "postponed: rows were locked, or the database was away"
    return Step(
      at: message.parkedAt, step: "parked", text: "parked for \(message.tier), until \(message.returnsAt.local): \(why)"
    )
  }

  init(_ archived: ArchivedDeadLetter) {
    let deadLetter = archived.deadLetter
    let names = [deadLetter.type, deadLetter.message.messageID, deadLetter.source.map { "from \($0)" }]
    self.init(
      place: .deadLetter, title: (["message"] + names.compactMap(\.self)).joined(separator: " "),
      now: "dead letter \(archived.id.text), \(archived.state.rawValue); journey dlq show \(archived.id.text)",
      members: [
        ("deadLetterId", archived.id), ("orgId", deadLetter.orgID), ("source", deadLetter.source),
        ("messageId", deadLetter.message.messageID), ("code", deadLetter.code), ("state", archived.state.rawValue),
        ("failedAt", deadLetter.failedAt),
      ])
    if deadLetter.firstFailedAt < deadLetter.failedAt {
      steps.append(Step(at: deadLetter.firstFailedAt, step: "failed", text: "first failed"))
    }
    let reason = deadLetter.reason.split(separator: "\n").first ?? ""
    steps.append(
      Step(
        at: deadLetter.failedAt, step: "deadLetter",
        text: "rejected after \(deadLetter.attempts.of("attempt")): \(deadLetter.code): \(reason)"))
    if let settled = archived.settledAt {
      steps.append(Step(at: settled, step: archived.state.rawValue, text: archived.state.rawValue))
    }
  }

  init(_ message: TraceFindings.PassedBy) {
    let what = message.outcomes.prefix(5).map { DLQShow.verdict($0) }.joined(separator: "; ")
    self.init(
      place: .unmapped, title: "message\(message.messageID.map { " \($0)" } ?? "") from \(message.origin.source)",
      now: "no event was made of it; by the current mapping it \(what)",
      members: [
        ("orgId", message.origin.orgID), ("source", message.origin.source), ("messageId", message.messageID),
        ("outcomes", message.outcomes),
      ])
    steps = [Step(at: message.origin.receivedAt, step: "received", text: "received")]
    if message.outcomes.contains(where: { if case .event = $0 { true } else { false } }) {
      now += " (journey events remap --source \(message.origin.source) makes it so)"
    } else if message.outcomes.contains(where: { if case .unlisted = $0 { true } else { false } }) {
      place = .unlisted
    } else if message.outcomes.contains(where: { if case .ignored = $0 { true } else { false } }) {
      place = .ignored
    }
  }

  init(client: UUID, orgID: UUID, name: String?, events: Int) {
    let most = TraceSearch.eventsOfClient
    self.init(
      place: .client, title: Self.client(client, name),
      now: events == 0
        ? "no event of the client is stored"
        : "a client\(events < most ? "" : "; its newest \(most) events are shown") (all: journey explain \(client.text))",
      members: [("orgId", orgID), ("clientId", client)])
  }

  private static func client(_ id: UUID, _ name: String?) -> String {
    "client \(name.map { "\($0) " } ?? "")\(id.text)"
  }
}
