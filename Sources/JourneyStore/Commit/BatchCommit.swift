import FoundationEssentials
import Journey
import JourneyPipeline
import PostgresClient

/// One batch in one transaction, on one connection: three round trips, a fourth where invoices, unknown histories or clients without a state are concerned.
///
/// Locks are taken in one order everywhere (identities, client states by id, events by key, invoices by key), so that instances wait for each
/// other but never in a circle.
struct BatchCommit {
  let connection: PostgresConnection
  let decider: Decider
  let history: History
  let clock: any WallClock
  let instance: Int32
  /// The outbox batch that the transaction holds once COMMIT is sent: after a lost answer nobody else knows of it.
  private(set) var decided: UUID?

  init(connection: PostgresConnection, decider: Decider, history: History, clock: any WallClock, instance: Int32) {
    self.connection = connection
    self.decider = decider
    self.history = history
    self.clock = clock
    self.instance = instance
  }

  mutating func run(_ batch: EventBatch) throws(PostgresError) -> CommitReceipt {
    var results = [CommitReceipt.Result](repeating: .duplicate, count: batch.events.count)
    let events = batch.events
    let (resolution, places) = try resolve(events)
    var shares: [UUID: ClientShare] = [:]
    shares.reserveCapacity(resolution.locked.count)
    for (index, place) in places.enumerated() {
      switch resolution.outcomes[place] {
      case .failure(let rejection): results[index] = .rejected(rejection)
      case .success(let id):
        if let share = shares[id] {
          share.events.append(index)
          continue
        }
        guard let locked = resolution.locked[id] else {
          // Its state was deleted, or it became another client, since it was resolved. Stored without a decision, the event would never be decided.
          throw PostgresError(.transient, operation: "lock_clients", "a client's state vanished while its events were taken in")
        }
        let share = ClientShare(locked.snapshot(id: id, under: decider.fingerprint))
        share.events.append(index)
        shares[id] = share
      }
    }
    var sorted = shares.values.sorted { $0.client.id < $1.client.id }
    try store(events, sorted)
    for share in sorted { for index in share.events { results[index] = .stored } }
    sorted.removeAll { $0.events.isEmpty }
    try addWhatIsStored(to: sorted, events)
    return CommitReceipt(results: results, outbox: try decide(sorted, events, published: batch.published))
  }

  // MARK: Clients

  /// What a batch means for one client. `events` are places in the batch; after `store` only those that are new.
  private final class ClientShare {
    var client: ClientSnapshot
    let isUnread: Bool
    var events: [Int] = []

    init(_ found: (client: ClientSnapshot, isUnread: Bool)) { (client, isUnread) = found }
  }

  /// - Returns: the clients, and each event's place among the references.
  private func resolve(_ events: [StagedEvent]) throws(PostgresError) -> (ClientResolution, places: [Int]) {
    var (resolution, places) = ClientResolution.references(of: events)
    let parameters = resolution.parameters(Array(resolution.keys.indices))
    let answer = try connection.pipeline([(.begin, PostgresParameters()), (ClientResolution.findAndLock, parameters)])
    let toCreate = try resolution.take(foundAndLocked: answer[1])
    let changes = IdentityChanges(events, resolution)
    if !toCreate.isEmpty || !changes.isEmpty || resolution.hasMerged {
      // Identities come before states in the order of locks: start again.
      try connection.rollback()
      resolution.unlock()
      let found = try connection.pipeline([(.begin, PostgresParameters()), (ClientResolution.find, parameters)])[1]
      let toCreate = try resolution.take(Array(resolution.keys.indices), found: found)
      try changes.apply(to: &resolution, creating: toCreate, at: clock.now(), on: connection)
      resolution.expectUnmet()
    }
    if !resolution.unmet.isEmpty {
      let rows = resolution.unmet.sorted { $0.key < $1.key }
      let states = PostgresParameters {
        $0.uuids(rows) { $0.key }
        $0.uuids(rows) { $0.value }
      }
      let ids = PostgresParameters { $0.uuids(rows) { $0.key } }
      try resolution.take(
        locked: try connection.pipeline([(CommitStatements.addStates, states), (CommitStatements.lockClients, ids)])[1])
    }
    return (resolution, places)
  }

  // MARK: Events

  /// Stores the events, and leaves in the shares those that are new.
  private func store(_ events: [StagedEvent], _ shares: [ClientShare]) throws(PostgresError) {
    var rows: [EventRow] = []
    rows.reserveCapacity(events.count)
    for share in shares {
      let marks = StageMarks(share.client.summary.stage, share.events.lazy.map { events[$0].event })
      for index in share.events { rows.append(EventRow(index: index, clientID: share.client.id, stage: marks.stage(of: events[index].event))) }
    }
    guard !rows.isEmpty else { return }
    rows.sort { events[$0.index].event.precedes(events[$1.index].event) }
    let inserted = try connection.execute(CommitStatements.insertEvents, EventRow.parameters(rows, events))
    // The usual case is that all of them are new.
    if inserted.rowCount == rows.count { return }
    var new: Set<UUID> = []
    for row in 0..<inserted.rowCount { new.insert(try inserted.uuid(row, 0)) }
    for share in shares { share.events.removeAll { !new.contains(events[$0].id) } }
  }

  // MARK: What is stored besides

  /// Adds what the evaluation needs and the locked rows do not hold: summaries that have to be made from stored events, and the late invoices of
  /// clients whose invoices the batch touches.
  private func addWhatIsStored(to shares: [ClientShare], _ events: [StagedEvent]) throws(PostgresError) {
    let tracksInvoices = decider.rules.risks.lateInvoices == .untilSettled
    let unread = shares.filter(\.isUnread).map(\.client.id)
    var book = InvoiceBook()
    if tracksInvoices { for share in shares { for index in share.events { book.note(events[index], clientID: share.client.id) } } }
    var commands: [(PostgresStatement, PostgresParameters)] = []
    if !unread.isEmpty {
      let own = shares.filter(\.isUnread).flatMap { $0.events.map { events[$0].id } }
      commands.append((history.newest, history.parameters(clients: unread, excluded: own)))
      if tracksInvoices { commands.append((history.invoices, PostgresParameters { $0.uuids(unread) })) }
    }
    if !book.isEmpty { commands.append((InvoiceBook.merge, book.parameters())) }
    let readsLate = tracksInvoices && (!book.isEmpty || !unread.isEmpty)
    if readsLate { commands.append((InvoiceBook.late, InvoiceBook.lateParameters(Array(Set(book.clients + unread))))) }
    guard !commands.isEmpty else { return }
    let answers = try connection.pipeline(commands)
    let made = unread.isEmpty ? [:] : try history.summaries(answers[0])
    let late = readsLate ? try InvoiceBook.late(answers[answers.count - 1]) : [:]
    for share in shares {
      if share.isUnread { share.client.summary = made[share.client.id] ?? ClientSummary() }
      if let late = late[share.client.id] { share.client.lateInvoices = late }
    }
  }

  // MARK: Decisions

  private mutating func decide(
    _ shares: [ClientShare], _ events: [StagedEvent], published: [UUID]
  ) throws(PostgresError) -> OutboxBatch? {
    var random = IDRandom()
    var writes = BatchWrites(decider: decider, instance: instance, random: IDRandom(), at: clock.now())
    for share in shares {
      writes.add(share.client, decider.evaluate(share.client, taking: share.events.map { events[$0] }, random: &random))
    }
    let outbox = writes.messages.isEmpty ? nil : OutboxBatch(id: writes.outboxID, actions: writes.messages)
    decided = outbox?.id
    _ = try connection.pipeline(writes.commands(published: published) + [(.commit, PostgresParameters())])
    return outbox
  }
}
