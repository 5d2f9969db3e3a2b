import FoundationEssentials
import Journey
import PostgresClient

/// The result of one transaction of a remap.
struct RemapResult: Sendable {
  var counts = RemapCounts()
  var differences: [RemapDifference] = []
  /// Messages with clients that another transaction holds, or whose state was just created. They were not changed.
  var held: [RemapItem] = []
}

/// Makes stored events what the current rules make of their messages, in one transaction, under the locks of a commit.
extension BatchCommit {
  /// - Parameters:
  ///   - batch: the batch of raw bodies that contains the messages.
  ///   - orgID: restricts it to events of this organisation.
  ///   - clientID: restricts it to messages with an event of this client, before or after.
  func remap(
    _ items: [RemapItem], of batch: UUID, source: String, orgID: UUID?, clientID: UUID?, by author: EventChangeAuthor,
    publishes: Bool, isRehearsal: Bool
  ) throws(PostgresError) -> RemapResult {
    let (resolution, free, held, byID) = try find(items, orgID: orgID, clientID: clientID, isRehearsal: isRehearsal)
    var plan = RemapPlan()
    plan.plan(free, byID: byID)
    var result = RemapResult(counts: plan.counts, differences: plan.differences, held: held)
    do throws(PostgresError) {
      var writes: [(PostgresStatement, PostgresParameters)] = []
      if !plan.isEmpty {
        try write(plan, of: batch, source: source, by: author)
        var outcome = RecomputeResult()
        writes = try statesAfterChange(of: plan.clients, publishes: publishes, &outcome)
        (result.counts.clients, result.counts.actions) = (outcome.changed, outcome.actions)
      }
      try end(writes, isRehearsal: isRehearsal)
    } catch {
      throw Self.passing(error) ?? error
    }
    if !isRehearsal { _ = try insertMissingStates(resolution, isCommitted: true) }
    return result
  }

  /// Those of the messages that have an event of a client, before or after, or may have. It changes nothing.
  func items(
    _ items: [RemapItem], ofClient clientID: UUID, orgID: UUID?
  ) throws(PostgresError) -> [RemapItem] {
    let (_, free, held, _) = try find(items, orgID: orgID, clientID: clientID, isRehearsal: true)
    try connection.rollback()
    return free.map(\.item) + held
  }

  /// Finds and locks the clients of messages and their stored events.
  /// - Returns: the messages whose clients are locked now, the others, and the events that were made of them.
  private func find(
    _ items: [RemapItem], orgID: UUID?, clientID: UUID?, isRehearsal: Bool
  ) throws(PostgresError) -> (
    ClientResolution, free: [(item: RemapItem, found: [RemapPlan.Found])], held: [RemapItem], byID: [UUID: StoredEvent]
  ) {
    let events = items.flatMap(\.events)
    let (resolution, keyIndices, _) = try resolve(events)
    let clients = keyIndices.map { keyIndex -> Result<UUID, Rejection>? in
      guard !resolution.held.contains(keyIndex) else { return nil }
      let outcome = resolution.outcomes[keyIndex]
      guard case .success(let id) = outcome, resolution.locked[id] == nil else { return outcome }
      // Nothing is written, so the event of a client without a state counts like the others.
      return isRehearsal && resolution.clientsWithoutState[id] != nil ? outcome : nil
    }
    let origins = keyIndices.map { resolution.origins[$0] }
    var (byEvent, byID) = try stored(items, events, clients, origins, orgID)
    let orgs = Dictionary(
      (byEvent.compactMap(\.self) + byID.values).map { ($0.clientID, $0.orgID) },
      uniquingKeysWith: { first, _ in first })
    let others = orgs.filter { resolution.locked[$0.key] == nil }
    var locked = Set(resolution.locked.keys)
    if !others.isEmpty {
      locked.formUnion(try lockForChange(others))
      // They may have changed until the lock.
      (byEvent, byID) = try stored(items, events, clients, origins, orgID)
    }
    var free: [(item: RemapItem, found: [RemapPlan.Found])] = []
    var held: [RemapItem] = []
    var first = 0
    for item in items {
      let range = first..<(first + item.events.count)
      first = range.upperBound
      let rows = item.owned.compactMap { byID[$0] } + byEvent[range].compactMap(\.self)
      let found = range.compactMap { index in
        clients[index].map { client in
          RemapPlan.Found(client: client, originID: origins[index], stored: byEvent[index])
        }
      }
      guard found.count == range.count, rows.allSatisfy({ locked.contains($0.clientID) }) else {
        held.append(item)
        continue
      }
      if let clientID {
        let isOfClient =
          rows.contains { $0.clientID == clientID } || found.contains { (try? $0.client.get()) == clientID }
        guard isOfClient else { continue }
      }
      free.append((item, found))
    }
    return (resolution, free, held, byID)
  }

  /// - Returns: what is stored under the key of each event, and what was made of the messages.
  private func stored(
    _ items: [RemapItem], _ events: [IncomingEvent], _ clients: [Result<UUID, Rejection>?], _ origins: [UUID?],
    _ orgID: UUID?
  ) throws(PostgresError) -> (byEvent: [StoredEvent?], byID: [UUID: StoredEvent]) {
    let rows = zip(events.map(\.event), clients).map { (event: $0, client: try? $1?.get()) }
    let compared = PostgresParameters {
      $0.uuids(rows) { $0.event.orgID }
      $0.texts(rows) { $0.event.source }
      $0.texts(rows) { $0.event.sourceEventID }
      $0.uuids(rows) { $0.client }
      $0.texts(rows) { $0.event.stage?.rawValue }
      $0.bools(rows) { $0.event.stage != nil }
      $0.texts(rows) { $0.event.type }
      $0.jsonbs(rows) { $0.event.metadata }
      $0.timestamptzs(rows) { $0.event.occurredAt.microseconds }
      $0.texts(rows) { $0.event.minStage?.rawValue }
      $0.texts(rows) { $0.event.actor?.rawValue }
      $0.uuids(origins) { $0 }
    }
    let answers = try connection.pipeline([
      (EventChangeStatements.compare, compared),
      (EventChangeStatements.owned, PostgresParameters { $0.uuids(items.flatMap(\.owned)) }),
    ])
    var byEvent = [StoredEvent?](repeating: nil, count: events.count), byID: [UUID: StoredEvent] = [:]
    let flags: [RemapCounts.Field] = [.type, .stage, .client, .time, .metadata, .by]
    for row in 0..<answers[0].rowCount {
      let index = Int(try answers[0].int64(row, 0)) - 1
      var stored = StoredEvent(
        id: try answers[0].uuid(row, 1), clientID: try answers[0].uuid(row, 2), orgID: try answers[0].uuid(row, 12),
        occurredAt: Timestamp(microseconds: try answers[0].timestamp(row, 3)), isVoided: try answers[0].bool(row, 4))
      stored.isVoidedByRemap = try answers[0].textIfPresent(row, 5) == EventChangeAction.remap.rawValue
      for (column, field) in flags.enumerated() where try answers[0].bool(row, 6 + column) {
        stored.fields.append(field)
      }
      stored.key = EventKey(events[index].event)
      byEvent[index] = stored
    }
    for row in 0..<answers[1].rowCount {
      let id = try answers[1].uuid(row, 0), owner = try answers[1].uuid(row, 2)
      guard orgID == nil || owner == orgID else { continue }
      byID[id] = StoredEvent(
        id: id, clientID: try answers[1].uuid(row, 1), orgID: owner,
        occurredAt: Timestamp(microseconds: try answers[1].timestamp(row, 5)), isVoided: try answers[1].bool(row, 6),
        key: EventKey(owner, try answers[1].text(row, 3), try answers[1].text(row, 4)))
    }
    return (byEvent, byID)
  }

  private func write(
    _ plan: RemapPlan, of batch: UUID, source: String, by author: EventChangeAuthor
  ) throws(PostgresError) {
    let ids = plan.rewrites.map(\.newID) + plan.additions.map(\.incoming.id) + plan.gone.map(\.id)
    let counts = ["changed": plan.counts.changed, "new": plan.counts.new, "gone": plan.counts.gone]
    let change = try record(.remap, of: source, ids, counts: counts, by: author)
    var commands: [(PostgresStatement, PostgresParameters)] = []
    let named = plan.origins
    if !named.isEmpty { commands.append(EventRow.requiring(named)) }
    if !plan.rewrites.isEmpty {
      let kept = PostgresParameters {
        $0.int8(change)
        $0.uuids(plan.rewrites) { $0.stored.id }
      }
      let rewritten = PostgresParameters {
        $0.uuids(plan.rewrites) { $0.stored.id }
        $0.uuids(plan.rewrites) { $0.newID }
        $0.uuids(plan.rewrites) { $0.clientID }
        $0.texts(plan.rewrites) { $0.event.stage?.rawValue }
        $0.bools(plan.rewrites) { $0.event.stage != nil }
        $0.texts(plan.rewrites) { $0.event.type }
        $0.jsonbs(plan.rewrites) { $0.event.metadata }
        $0.timestamptzs(plan.rewrites) { $0.event.occurredAt.microseconds }
        $0.texts(plan.rewrites) { $0.event.minStage?.rawValue }
        $0.texts(plan.rewrites) { $0.event.actor?.rawValue }
        $0.uuids(plan.rewrites) { $0.originID }
      }
      commands += [(EventChangeStatements.keepVersions, kept), (EventChangeStatements.rewrite, rewritten)]
    }
    if !plan.gone.isEmpty {
      let voided = PostgresParameters {
        $0.int8(change)
        $0.uuids(plan.gone) { $0.id }
      }
      commands.append((EventChangeStatements.void, voided))
    }
    if !plan.additions.isEmpty {
      var columns = EventColumns(rows: plan.additions.count)
      for addition in plan.additions.sorted(by: { $0.incoming.id < $1.incoming.id }) {
        // The stage of an event that sets none is computed afterwards.
        let stage = StageMarks.Stage(known: addition.incoming.event.stage ?? .lead)
        columns.add(addition.incoming, EventRow(clientID: addition.clientID, originID: addition.originID, stage: stage))
      }
      commands.append((CommitStatements.insertEvents, columns.parameters))
    }
    if !plan.owners.isEmpty {
      let owned = PostgresParameters {
        $0.uuid(batch)
        $0.uuids(plan.owners) { $0.id }
        $0.int4s(plan.owners) { $0.position }
      }
      commands.append((EventChangeStatements.addToBatch, owned))
    }
    _ = try connection.pipeline(commands)
  }
}
