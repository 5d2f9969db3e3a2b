import FoundationEssentials
import Journey
import PostgresClient

/// Commits one batch in one transaction on one connection.
///
/// The first round trip locks the organisations, the clients and their states, and looks up which events are stored
/// already. The last one writes and commits. Two round trips suffice if all clients are known and unlocked. A third one
/// resolves the other clients; a further one reads invoices and unread histories. If identities change, the transaction
/// starts again after the second round trip. Events of clients without a state are left for a later batch: this one
/// adds the states after its commit.
///
/// No other transaction stores events of a client that is locked here, so the lookup stays valid. If another
/// transaction stores the same event for a different client, the unique key fails and the batch is retried.
///
/// Foreign keys lock the rows that they refer to. Those rows are locked first, so no write waits for the host
/// application. Rows that the host or another instance holds are skipped, and their events are deferred. Where two
/// instances may still wait for each other (identities, new states), all take locks in the same order: organisations,
/// contacts, identities, states, events, invoices.
struct BatchCommit {
  let connection: PostgresConnection
  let decider: Decider
  let history: SummaryRebuild
  let clock: any WallClock
  let clockOffset: TimeSpan
  let instance: Int32
  let claims: OutboxClaims
  let groupEvents: GroupEvents
  /// The organisations in which silence says nothing, each with the moment since when.
  var frozen: [UUID: Timestamp] = [:]
  /// nil: no raw bodies are kept.
  var raw: RawBodies?

  /// Stores events that each name one client.
  func store(_ batch: EventBatch) throws(PostgresError) -> CommitResult {
    let events = batch.events
    var results = [CommitResult.Result](repeating: .duplicate, count: events.count)
    let (resolution, keyIndices, stored) = try resolve(events)
    var new: [Int] = []
    new.reserveCapacity(events.count)
    for (index, keyIndex) in keyIndices.enumerated() {
      switch resolution.outcomes[keyIndex] {
      case _ where resolution.held.contains(keyIndex): results[index] = .locked
      case .failure(let rejection): results[index] = .rejected(rejection)
      case .success(let id) where resolution.locked[id] == nil:
        results[index] = resolution.clientsWithoutState[id] == nil ? .locked : .stateCreated
      case .success:
        results[index] = stored.contains(index) ? .duplicate : .stored
        if !stored.contains(index) { new.append(index) }
      }
    }
    // Sorted by key, as the rows are stored. The first event with a key wins.
    let keys = EventKeys(events)
    new = keys.sorted(new)
    var last: Int?
    new.removeAll { index in
      defer { last = index }
      guard let last, keys.isSame(last, index) else { return false }
      results[index] = .duplicate
      return true
    }
    let clientBatches = clientBatches(of: new.sorted(), resolution, keyIndices)
    let outbox: OutboxBatch?
    do throws(PostgresError) {
      let wrong = try addWhatIsStored(to: clientBatches, events)
      new.removeAll(where: wrong.contains)
      for index in wrong { results[index] = .duplicate }
      outbox = try decide(
        clientBatches, events, new, origins: resolution.origins(of: new, keyIndices), published: batch.published,
        besides: rawBatch(of: batch, results))
    } catch {
      throw Self.passing(error) ?? error
    }
    let held = try insertMissingStates(resolution, isCommitted: !new.isEmpty)
    for case (let index, .stateCreated) in results.enumerated() {
      if case .success(let id) = resolution.outcomes[keyIndices[index]], held.contains(id) { results[index] = .locked }
    }
    return CommitResult(results: results, outbox: outbox)
  }

  /// Converts errors that a concurrent transaction caused into transient ones: a retry resolves them.
  static func passing(_ error: PostgresError) -> PostgresError? {
    let reason: String
    switch (error.sqlState, error.constraint) {
    case ("23505", "client_journey_events_once"): reason = "the event was stored for another client meanwhile"
    // Impossible while the client is locked; possible while identities change.
    case ("23503", let constraint?) where parents.contains(constraint): reason = "a client was deleted meanwhile"
    default: return nil
    }
    return PostgresError(.transient, sqlState: error.sqlState, operation: error.operation, reason)
  }

  /// The adapter's foreign keys to rows that the host may delete.
  private static let parents: Set<String> = [
    "client_journey_events_client_fk", "client_journey_events_org_fk", "client_journey_scores_client_fk",
    "client_journey_scores_org_fk",
    "journey_identities_client_fk", "journey_client_state_client_fk", "journey_client_state_merged_fk",
    "journey_invoices_client_fk", "journey_expectations_client_fk", "journey_group_members_client_fk",
    "journey_groups_org_fk",
  ]

  // MARK: Clients

  /// The new events of one client, as indices into the batch; empty if the client is evaluated without an event.
  final class ClientBatch {
    var client: ClientSnapshot
    let isUnread: Bool
    var events: [Int] = []

    init(_ found: (client: ClientSnapshot, isUnread: Bool)) { (client, isUnread) = found }
  }

  /// - Returns: the resolved clients, the index of each event's client key, and the indices of events that are stored
  ///   already.
  func resolve(_ events: [IncomingEvent]) throws(PostgresError) -> (
    ClientResolution, keyIndices: [Int], stored: Set<Int>
  ) {
    var (resolution, keyIndices) = ClientResolution.references(of: events)
    let all = Array(events.indices)
    var stored: Set<Int> = []
    var answers = try connection.pipeline(
      [(.begin, PostgresParameters())] + resolution.locks + [EventRow.find(all, events)])
    try resolution.apply(known: Array(answers.dropFirst().dropLast()))
    try EventRow.apply(answers[answers.count - 1], of: all, into: &stored)
    let open = resolution.open
    var toCreate: [Int] = []
    if !open.isEmpty {
      let isOpen = Set(open)
      let again = all.filter { isOpen.contains(keyIndices[$0]) }
      answers = try connection.pipeline([
        (ClientStatements.findAndLock, resolution.parameters(open)), EventRow.find(again, events),
      ])
      toCreate = try resolution.apply(open, foundAndLocked: answers[0])
      try EventRow.apply(answers[1], of: again, into: &stored)
    }
    let changes = IdentityChanges(events, resolution, stored: stored)
    let isSettled = toCreate.isEmpty && changes.isEmpty && !resolution.hasMerged
    if !isSettled { stored = try startAgain(changes, &resolution, events) }
    return (resolution, keyIndices, stored)
  }

  /// Starts the transaction again, in order to change identities and add states before states are locked. It waits for
  /// another instance that does the same, for at most the lock timeout. No instance may wait while it holds locks that
  /// come later in the order.
  /// - Parameter changes: the identities to change.
  /// - Returns: the indices of events that are stored already.
  private func startAgain(
    _ changes: IdentityChanges, _ resolution: inout ClientResolution, _ events: [IncomingEvent]
  ) throws(PostgresError) -> Set<Int> {
    try connection.rollback()
    resolution.unlock()
    let references = Array(resolution.keys.indices)
    let found = try connection.pipeline(
      [(.begin, PostgresParameters()), (ClientStatements.find, resolution.parameters(references))])
    let toCreate = try resolution.apply(references, found: found[found.count - 1])
    try changes.apply(to: &resolution, creating: toCreate, at: clock.now(), on: connection)
    resolution.expectClientsWithoutState()
    let all = Array(events.indices)
    let ids = PostgresParameters { $0.uuids(resolution.clientsWithoutState.keys.sorted()) }
    let answers = try connection.pipeline([
      (CommitStatements.addStates, resolution.newStates), (CommitStatements.lockClients, ids),
      EventRow.find(all, events),
    ])
    try resolution.apply(locked: answers[1])
    var stored: Set<Int> = []
    try EventRow.apply(answers[2], of: all, into: &stored)
    return stored
  }

  /// - Returns: the clients that still have no state, because another transaction holds them.
  /// - Throws: only if nothing is committed yet.
  func insertMissingStates(_ resolution: ClientResolution, isCommitted: Bool) throws(PostgresError) -> Set<UUID> {
    do throws(PostgresError) {
      return try MissingStates(connection: connection, clients: resolution.clientsWithoutState).insert()
    } catch {
      guard isCommitted else { throw error }
      return Set(resolution.clientsWithoutState.keys)
    }
  }

  /// - Returns: the new events by client, ordered by the clients' ids.
  private func clientBatches(of new: [Int], _ resolution: ClientResolution, _ keyIndices: [Int]) -> [ClientBatch] {
    var clientBatches: [UUID: ClientBatch] = [:]
    clientBatches.reserveCapacity(resolution.locked.count)
    for index in new {
      guard case .success(let id) = resolution.outcomes[keyIndices[index]], let locked = resolution.locked[id] else {
        continue
      }
      if let clientBatch = clientBatches[id] {
        clientBatch.events.append(index)
        continue
      }
      let clientBatch = ClientBatch(locked.moved(by: clockOffset).snapshot(id: id, under: decider.fingerprint))
      clientBatch.events.append(index)
      clientBatches[id] = clientBatch
    }
    return clientBatches.values.sorted { $0.client.id.precedesByBytes($1.client.id) }
  }

  // MARK: Further input

  /// Adds input of the evaluation that the locked rows lack: summaries that have to be rebuilt from stored events, and
  /// late invoices of clients whose invoices the batch changes.
  ///
  /// - Returns: new events that are not to be stored, see `trackExpectations`. The batches lose them.
  @discardableResult
  func addWhatIsStored(
    to clientBatches: [ClientBatch], _ events: [IncomingEvent]
  ) throws(PostgresError) -> Set<Int> {
    if !frozen.isEmpty {
      for clientBatch in clientBatches { clientBatch.client.frozenSince = frozen[clientBatch.client.orgID] }
    }
    let wrong = try trackExpectations(clientBatches, events)
    if !wrong.isEmpty { for clientBatch in clientBatches { clientBatch.events.removeAll(where: wrong.contains) } }
    let tracksInvoices = decider.rules.risks.lateInvoices == .untilSettled
    let unread = clientBatches.filter(\.isUnread).map(\.client.id)
    var book = InvoiceUpdates()
    if tracksInvoices {
      for clientBatch in clientBatches {
        for index in clientBatch.events { book.record(events[index], clientID: clientBatch.client.id) }
      }
    }
    var commands: [(PostgresStatement, PostgresParameters)] = []
    if !unread.isEmpty {
      let clients = PostgresParameters { $0.uuids(unread) }
      commands.append((history.newest, clients))
      if tracksInvoices { commands.append((history.invoices, clients)) }
    }
    if !book.isEmpty { commands.append((InvoiceUpdates.merge, book.parameters())) }
    let readsLate = tracksInvoices && (!book.isEmpty || !unread.isEmpty)
    if readsLate {
      commands.append((InvoiceUpdates.late, InvoiceUpdates.lateParameters(Array(Set(book.clients + unread)))))
    }
    guard !commands.isEmpty else { return wrong }
    let answers = try connection.pipeline(commands)
    let made = unread.isEmpty ? [:] : try history.summaries(answers[0])
    let blocks = unread.isEmpty ? [:] : try history.blocks(answers[0])
    let late = readsLate ? try InvoiceUpdates.late(answers[answers.count - 1]) : [:]
    for clientBatch in clientBatches {
      if clientBatch.isUnread {
        clientBatch.client.summary = made[clientBatch.client.id] ?? ClientSummary()
        clientBatch.client.actionHistory.replaceEventBlocks(by: blocks[clientBatch.client.id] ?? [])
      }
      if let late = late[clientBatch.client.id] { clientBatch.client.lateInvoices = late }
    }
    return wrong
  }

  // MARK: Decisions

  /// Must be called before the clients' summaries include the events.
  /// - Returns: the row of each new event, by its index in the batch.
  private func rows(of clientBatches: [ClientBatch], _ events: [IncomingEvent], origins: [Int: UUID]) -> [EventRow?] {
    var rows = [EventRow?](repeating: nil, count: events.count)
    for clientBatch in clientBatches {
      let marks = StageMarks(clientBatch.client.summary.stage, clientBatch.events.lazy.map { events[$0].event })
      for index in clientBatch.events {
        rows[index] = EventRow(
          clientID: clientBatch.client.id, originID: origins[index], stage: marks.stage(of: events[index].event))
      }
    }
    return rows
  }

  /// - Parameters:
  ///   - new: the events to store, ordered by key.
  ///   - origins: the merged clients that they name, by index.
  ///   - others: statements of the same transaction.
  private func decide(
    _ clientBatches: [ClientBatch], _ events: [IncomingEvent], _ new: [Int], origins: [Int: UUID], published: [UUID],
    besides others: [(PostgresStatement, PostgresParameters)]
  ) throws(PostgresError) -> OutboxBatch? {
    var commands = others
    if !new.isEmpty {
      let rows = rows(of: clientBatches, events, origins: origins)
      if !origins.isEmpty { commands.append(EventRow.requiring(origins, rows)) }
      var columns = EventColumns(rows: new.count)
      for index in new { columns.add(events[index], rows[index]!) }
      commands.append((CommitStatements.insertEvents, columns.parameters))
      if let joining = Self.joining(events, new, rows) { commands.append(joining) }
    }
    var random = IDRandom()
    var writes = BatchWrites(
      decider: decider, instance: instance, random: IDRandom(), at: clock.now(), clients: clientBatches.count,
      events: events.count)
    for clientBatch in clientBatches {
      let evaluations = decider.evaluate(
        &clientBatch.client, taking: clientBatch.events.map { events[$0] }, random: &random)
      writes.add(clientBatch.client, evaluations)
    }
    return try commit(commands, writes, published: published)
  }

  /// Writes and commits.
  /// - Returns: the actions to publish.
  func commit(
    _ commands: [(PostgresStatement, PostgresParameters)], _ writes: borrowing BatchWrites, published: [UUID]
  ) throws(PostgresError) -> OutboxBatch? {
    var messages = writes.messages
    let claimed = messages.isEmpty && writes.changesPosition == nil ? [] : [writes.outboxID]
    claims.insert(claimed)
    do throws(PostgresError) {
      let answers = try connection.pipeline(
        commands + writes.commands(published: published) + [(.commit, PostgresParameters())])
      if let position = writes.changesPosition, let message = decider.change {
        let changed = answers[commands.count + position]
        for row in 0..<changed.rowCount {
          if let change = try ClientChange(changed, row) { messages.append(message(change)) }
        }
      }
    } catch {
      claims.remove(claimed)
      throw error
    }
    guard !messages.isEmpty else {
      claims.remove(claimed)
      return nil
    }
    return OutboxBatch(id: writes.outboxID, actions: messages)
  }
}
