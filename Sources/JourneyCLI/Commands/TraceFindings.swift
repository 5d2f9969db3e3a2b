import AMQPClient
import DeadLetters
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// What the database has under an id.
struct TraceFindings {
  /// A message that is kept as it came and of which no event was made.
  struct PassedBy {
    var origin: RawOrigin
    var messageID: String?
    var outcomes: [MappingOutcome]
  }

  var events: [TracedEvent] = []
  /// Of actions without an event.
  var evaluations: [TracedEvaluation] = []
  var kept: [KeptGroupEvent] = []
  var parked: [ParkedMessage] = []
  /// Of messages whose events are stored by now, by the id of the event's row.
  var parkedBefore: [UUID: ParkedMessage] = [:]
  var deadLetters: [ArchivedDeadLetter] = []
  var passedBy: [PassedBy] = []
  var clients: [(id: UUID, orgID: UUID, name: String?)] = []
  /// What could not be searched, or not all of it.
  var notes: [String] = []

  var isEmpty: Bool {
    events.isEmpty && evaluations.isEmpty && kept.isEmpty && parked.isEmpty && deadLetters.isEmpty && passedBy.isEmpty
      && clients.isEmpty
  }

  fileprivate mutating func add(_ more: some Sequence<TracedEvent>) {
    for event in more where !events.contains(where: { $0.id == event.id }) { events.append(event) }
  }
}

/// Looks an id up wherever it may be.
struct TraceSearch {
  let id: SearchedID
  let orgID: UUID?
  let since: Timestamp
  /// How long messages that are kept as they came are searched; nil: to the end.
  let timeout: Duration?
  let decoder: InboundDecoder
  let worker: PostgresWorker
  /// Events that are shown of a client.
  static let eventsOfClient = 5

  private var reader: TraceReader { TraceReader(worker: worker, orgID: orgID) }

  func run() async throws -> TraceFindings {
    var found = TraceFindings()
    let uuid = UUID(uuidString: id.text)
    found.events = try await reader.events(id.text)
    if let uuid, let evaluation = try await reader.evaluation(uuid) { try await add(evaluation, &found) }
    found.kept = try await reader.kept(id.text)
    found.deadLetters = await deadLetters(uuid, &found)
    try await addParked(&found)
    found.clients = try await ClientReports(worker: worker, rules: DecisionRules()).find(id.text, orgID: orgID)
    for client in found.clients {
      found.add(try await reader.events(ofClient: client.id, limit: Self.eventsOfClient))
    }
    if found.isEmpty { try await addKeptMessages(&found) }
    return found
  }

  /// An action, with its event if it has one.
  private func add(_ evaluation: TracedEvaluation, _ found: inout TraceFindings) async throws {
    guard let event = evaluation.eventID, var traced = try await reader.events(ids: [event]).first else {
      found.evaluations.append(evaluation)
      return
    }
    traced.evaluation = evaluation
    found.add([traced])
  }

  private func addParked(_ found: inout TraceFindings) async throws {
    for message in try await ParkedRepository(worker: worker).find([id.text], orgID: orgID) {
      let ids = message.messageID == id.text ? message.eventIDs : [id.text]
      let keys = ids.compactMap { id in
        message.orgID.flatMap { org in
          message.source.map { TraceReader.EventKey(orgID: org, source: $0, sourceEventID: id) }
        }
      }
      let stored = try await reader.events(keys: keys)
      found.add(stored.values.sorted { $0.id.precedesByBytes($1.id) })
      for event in stored.values { found.parkedBefore[event.id] = message }
      let isDead = found.deadLetters.contains { $0.deadLetter.failedAt >= message.parkedAt }
      if !isDead, keys.isEmpty || stored.count < Set(keys).count { found.parked.append(message) }
    }
  }

  private func deadLetters(_ uuid: UUID?, _ found: inout TraceFindings) async -> [ArchivedDeadLetter] {
    let repository = DeadLetterRepository(worker: worker, actor: "")
    var filter = DeadLetterFilter()
    filter.orgID = orgID
    filter.since = since
    filter.text = id.text
    do {
      var deadLetters = try await repository.list(filter, limit: 100, withBodies: true, bodyBytes: 1 << 20)
        .filter { $0.deadLetter.message.messageID == id.text || id.occurs(in: $0.deadLetter.message.body) }
      if let uuid {
        filter.ids = [uuid]
        (filter.since, filter.text) = (nil, nil)
        deadLetters =
          try await repository.list(filter, limit: 1, withBodies: false) + deadLetters.filter { $0.id != uuid }
      }
      return deadLetters
    } catch {
      found.notes.append("dead letters could not be searched (\(error)); a shorter time may help: --since 1d")
      return []
    }
  }

  private func addKeptMessages(_ found: inout TraceFindings) async throws {
    let search = RawSearch(worker: worker, for: id.bytes, since: since, orgID: orgID)
    let end = timeout.map { ContinuousClock.now + $0 }
    var last: UUID?
    var random = IDRandom()
    repeat {
      let page = try await search.page(after: last)
      for match in page.matches {
        guard let message = RawMessage(match.record) else { continue }
        let properties = message.delivery.properties
        guard properties.messageID == id.text || id.occurs(in: message.delivery.body) else { continue }
        let decoded = decoder.remap(message, random: &random)
        let orgs = Set(decoded.events.map(\.event.orgID) + [decoded.origin?.orgID].compactMap(\.self))
        guard orgID.map(orgs.contains) ?? true else { continue }
        let events = try await reader.events(ids: Array(match.eventIDs))
        found.add(events)
        if events.isEmpty { found.passedBy.append(passedBy(message, decoded)) }
      }
      last = page.last
      if let last, let end, end < .now {
        let searched = last.timestamp.map { " back to \($0.local)" } ?? ""
        found.notes.append(
          "messages that are kept as they came were searched\(searched) only; to search longer, give --since")
        return
      }
    } while found.isEmpty && last != nil
  }

  private func passedBy(_ message: RawMessage, _ decoded: InboundDecoder.Decoded) -> TraceFindings.PassedBy {
    let delivery = message.delivery
    let trace = try? decoder.trace(
      delivery.properties, body: delivery.body, bodySize: delivery.body.count, routingKey: delivery.routingKey)
    var origin = message.origin
    origin.orgID = decoded.origin?.orgID
    return TraceFindings.PassedBy(
      origin: origin, messageID: delivery.properties.messageID, outcomes: trace?.elements.map(\.outcome) ?? [])
  }
}
