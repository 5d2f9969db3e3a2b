import FoundationEssentials
import Journey
import PostgresClient

/// Decides for events that name several ids which of them counts, and for events that name only a group who gets them.
/// It looks all of them up at once, before the clients of the batch are looked up.
struct ReferenceChoice {
  /// The events to store for clients, by their indices in the batch, each with one reference.
  private(set) var chosen: [(index: Int, event: IncomingEvent)] = []
  /// The indices of events to keep for their groups.
  private(set) var kept: [Int] = []
  /// The indices of events whose ids an earlier event of the batch may make known.
  private(set) var later: [Int] = []
  private(set) var rejected: [(index: Int, rejection: Rejection)] = []

  static func isNeeded(_ events: [IncomingEvent]) -> Bool {
    events.contains { !$0.event.client.alternatives.isEmpty || $0.event.client.namesOnlyGroup }
  }

  /// - Parameter keepsOwners: whether an event that is stored stays with its client as long as it may be meant.
  init(
    _ events: [IncomingEvent], _ mode: GroupEvents, keepsOwners: Bool = false, on connection: PostgresConnection
  ) throws(PostgresError) {
    let several = events.indices.filter { !events[$0].event.client.alternatives.isEmpty }
    let ofGroups = events.indices.filter { events[$0].event.client.namesOnlyGroup }
    let candidates = several.flatMap { index in
      events[index].event.client.candidates.map { (event: events[index].event, id: $0) }
    }
    let stored = keepsOwners ? several + ofGroups : []
    let keys = PostgresParameters {
      $0.uuids(stored) { events[$0].event.orgID }
      $0.texts(stored) { events[$0].event.source }
      $0.texts(stored) { events[$0].event.sourceEventID }
      $0.texts(stored) { events[$0].event.client.namesOnlyGroup ? events[$0].event.client.group : nil }
    }
    let owned = keepsOwners ? [(GroupStatements.findOwners, keys)] : []
    let answers = try connection.pipeline(
      [
        (.begin, PostgresParameters()),
        (GroupStatements.findKnown, Self.parameters(candidates)),
        (GroupStatements.findTargets, Self.parameters(mode == .owner ? ofGroups.map { events[$0].event } : [])),
      ] + owned + [(.commit, PostgresParameters())])
    var known: [Int: UUID] = [:]
    for row in 0..<answers[1].rowCount {
      known[Int(try answers[1].int64(row, 0)) - 1] = try answers[1].uuid(row, 1)
    }
    var targets: [Int: UUID] = [:]
    for row in 0..<answers[2].rowCount {
      targets[ofGroups[Int(try answers[2].int64(row, 0)) - 1]] = try answers[2].uuidIfPresent(row, 1)
    }
    var owners: [Int: UUID] = [:]
    for row in 0..<(keepsOwners ? answers[3].rowCount : 0) {
      owners[stored[Int(try answers[3].int64(row, 0)) - 1]] = try answers[3].uuid(row, 1)
    }
    choose(events, known, targets, owners, mode)
  }

  private mutating func choose(
    _ events: [IncomingEvent], _ known: [Int: UUID], _ targets: [Int: UUID], _ owners: [Int: UUID],
    _ mode: GroupEvents
  ) {
    var offset = 0
    var mentioned: Set<Mention> = []
    for (index, incoming) in events.enumerated() {
      var client = incoming.event.client
      if client.namesOnlyGroup {
        if let target = owners[index] ?? targets[index] {
          (client.id, client.group) = (target, nil)
          chosen.append((index, incoming.refering(to: client)))
        } else if mode == .reject {
          rejected.append((index, Self.rejection(client)))
        } else {
          kept.append(index)
        }
        continue
      }
      if !client.alternatives.isEmpty {
        let ids = client.candidates
        let first =
          owners[index].flatMap { owner in ids.indices.first { known[offset + $0] == owner } }
          ?? ids.indices.first { known[offset + $0] != nil }
        offset += ids.count
        if first == nil, ids.dropFirst().contains(where: { mentioned.contains(Mention(incoming.event, $0)) }) {
          later.append(index)
          continue
        }
        let id = ids[first ?? 0]
        (client.id, client.externalID, client.alternatives) = (UUID(hyphenated: id), id, [])
      }
      let event = incoming.refering(to: client)
      for id in client.linked + client.merged { mentioned.insert(Mention(event.event, id)) }
      if client.creation != nil, let id = client.externalID { mentioned.insert(Mention(event.event, id)) }
      chosen.append((index, event))
    }
  }

  private static func rejection(_ client: ClientReference) -> Rejection {
    Rejection(
      .missingField, field: "client", value: client.group,
      "the event names no client, only a group, and the setting groups.events is reject")
  }

  /// An id that an event of the batch makes known.
  private struct Mention: Hashable {
    var orgID: UUID
    var source: String
    var id: String

    init(_ event: JourneyEvent, _ id: String) { (orgID, source, self.id) = (event.orgID, event.source, id) }
  }

  private static func parameters(_ candidates: [(event: JourneyEvent, id: String)]) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(candidates) { $0.event.orgID }
      $0.texts(candidates) { $0.event.source }
      $0.uuids(candidates) { UUID(hyphenated: $0.id) }
      $0.texts(candidates) { $0.id }
    }
  }

  private static func parameters(_ events: [JourneyEvent]) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(events) { $0.orgID }
      $0.texts(events) { $0.source }
      $0.texts(events) { $0.client.group }
    }
  }
}

extension ClientReference {
  fileprivate var candidates: [String] { [text] + alternatives }
}

extension IncomingEvent {
  fileprivate func refering(to client: ClientReference) -> IncomingEvent {
    if client == event.client { return self }
    var event = event
    event.client = client
    return IncomingEvent(id: id, event: event, signals: signals, traceparent: traceparent, isBackfill: isBackfill)
  }
}
