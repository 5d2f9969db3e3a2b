import FoundationEssentials
import Journey
import JourneyPipeline
import PostgresClient

/// One batch in one transaction, on one connection: two round trips, a third where a client is not simply known and free, another where invoices or unknown
/// histories are concerned. Where identities change, the transaction starts again after the second. Where clients are met for the first time, their events
/// are left for another batch, for which their states are added once this one is committed.
///
/// The first locks the clients' states and looks which events are stored already; the last stores all that follows, and commits. Nobody else
/// stores an event of a client that is locked here, so what the look found stands; an event that another transaction takes in for another client
/// meanwhile breaks the unique key, and the batch is taken in again.
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
    do throws(PostgresError) {
      return try takeIn(batch)
    } catch {
      // It has waited long enough for now: other clients have their turn.
      guard batch.waitsForClients, error.sqlState == "55P03" else { throw error }
      return CommitReceipt(results: batch.events.map { _ in .deferred }, outbox: nil)
    }
  }

  private mutating func takeIn(_ batch: EventBatch) throws(PostgresError) -> CommitReceipt {
    let events = batch.events
    var results = [CommitReceipt.Result](repeating: .duplicate, count: events.count)
    let (resolution, places, stored) = try resolve(events, waiting: batch.waitsForClients)
    var new: [Int] = []
    new.reserveCapacity(events.count)
    for (index, place) in places.enumerated() {
      switch resolution.outcomes[place] {
      case .failure(let rejection): results[index] = .rejected(rejection)
      case .success(let id) where resolution.locked[id] == nil: results[index] = resolution.unmet[id] == nil ? .deferred : .met
      case .success:
        results[index] = stored.contains(index) ? .duplicate : .stored
        if !stored.contains(index) { new.append(index) }
      }
    }
    // By key, as rows are stored; of those with one key the first in the batch.
    let keys = EventKeys(events)
    new = keys.sorted(new)
    var last: Int?
    new.removeAll { index in
      defer { last = index }
      guard let last, keys.isSame(last, index) else { return false }
      results[index] = .duplicate
      return true
    }
    let shares = shares(of: new.sorted(), resolution, places)
    let rows = rows(of: shares, events)
    var commands: [(PostgresStatement, PostgresParameters)] = []
    if !new.isEmpty {
      var columns = EventColumns(rows: new.count)
      for index in new { columns.add(events[index], rows[index]!) }
      commands.append((CommitStatements.insertEvents, columns.parameters))
    }
    let outbox: OutboxBatch?
    do throws(PostgresError) {
      try addWhatIsStored(to: shares, events, &commands)
      outbox = try decide(shares, events, commands, published: batch.published)
    } catch {
      guard error.sqlState == "23505", error.constraint == "client_journey_events_once" else { throw error }
      throw PostgresError(.transient, sqlState: error.sqlState, operation: error.operation, "an event was taken in for another client meanwhile")
    }
    do throws(PostgresError) {
      try meet(resolution)
    } catch {
      guard !new.isEmpty else { throw error }
      // What is committed stays so. The rest counts as deferred, so that it comes alone at last, and the error with it.
      for case (let index, .met) in results.enumerated() { results[index] = .deferred }
    }
    return CommitReceipt(results: results, outbox: outbox)
  }

  // MARK: Clients

  /// What a batch means for one client. `events` are places in the batch of those that are new.
  private final class ClientShare {
    var client: ClientSnapshot
    let isUnread: Bool
    var events: [Int] = []

    init(_ found: (client: ClientSnapshot, isUnread: Bool)) { (client, isUnread) = found }
  }

  /// - Returns: the clients, each event's place among the references, and the places of events that are stored already.
  private func resolve(
    _ events: [StagedEvent], waiting: Bool
  ) throws(PostgresError) -> (ClientResolution, places: [Int], stored: Set<Int>) {
    var (resolution, places) = ClientResolution.references(of: events)
    let opening = self.opening(waiting: waiting)
    let findAndLock = waiting ? ClientStatements.findAndLock : ClientStatements.findAndLockFree
    let all = Array(events.indices)
    var stored: Set<Int> = []
    // Who waits takes its locks in order, one statement for all.
    var answers = try connection.pipeline(opening + (waiting ? [] : resolution.locks + [EventRow.find(all, events)]))
    if !waiting {
      try resolution.take(known: Array(answers.dropFirst().dropLast()))
      try EventRow.take(answers[answers.count - 1], of: all, into: &stored)
    }
    let open = resolution.open
    var toCreate: [Int] = []
    if !open.isEmpty {
      let isOpen = Set(open)
      let again = all.filter { isOpen.contains(places[$0]) }
      answers = try connection.pipeline([(findAndLock, resolution.parameters(open)), EventRow.find(again, events)])
      toCreate = try resolution.take(open, foundAndLocked: answers[0])
      try EventRow.take(answers[1], of: again, into: &stored)
    }
    let changes = IdentityChanges(events, resolution)
    let isSettled = toCreate.isEmpty && changes.isEmpty && !resolution.hasMerged
    if !isSettled { stored = try startAgain(changes, &resolution, events, waiting: waiting) }
    return (resolution, places, stored)
  }

  private func opening(waiting: Bool) -> [(PostgresStatement, PostgresParameters)] {
    [(.begin, PostgresParameters())] + (waiting ? [(CommitStatements.limitWait, PostgresParameters())] : [])
  }

  /// Starts the transaction again: identities are changed and states are added before states are locked. Another transaction that does the same is waited for,
  /// and nobody may wait while it holds locks that come later in their order.
  /// - Parameter changes: who is to become known by what, and who is to be created.
  /// - Returns: the places of events that are stored already.
  private func startAgain(
    _ changes: IdentityChanges, _ resolution: inout ClientResolution, _ events: [StagedEvent], waiting: Bool
  ) throws(PostgresError) -> Set<Int> {
    try connection.rollback()
    resolution.unlock()
    let references = Array(resolution.keys.indices)
    let found = try connection.pipeline(opening(waiting: waiting) + [(ClientStatements.find, resolution.parameters(references))])
    let toCreate = try resolution.take(references, found: found[found.count - 1])
    try changes.apply(to: &resolution, creating: toCreate, at: clock.now(), on: connection)
    resolution.expectUnmet()
    let all = Array(events.indices)
    let ids = PostgresParameters { $0.uuids(resolution.unmet.keys.sorted()) }
    let answers = try connection.pipeline([
      (CommitStatements.addStates, resolution.newStates), (waiting ? CommitStatements.lockClients : CommitStatements.lockFreeClients, ids),
      EventRow.find(all, events),
    ])
    try resolution.take(locked: answers[1])
    var stored: Set<Int> = []
    try EventRow.take(answers[2], of: all, into: &stored)
    return stored
  }

  /// Adds the states of clients that are met for the first time, in a transaction of its own, which holds no lock but theirs while it waits for another that adds
  /// the same. It does not wait for long: what was decided is published after it.
  private func meet(_ resolution: ClientResolution) throws(PostgresError) {
    guard !resolution.unmet.isEmpty else { return }
    _ = try connection.pipeline(opening(waiting: true) + [(CommitStatements.addStates, resolution.newStates), (.commit, PostgresParameters())])
  }

  /// - Returns: what the events mean for each client, in the order of the clients' ids.
  private func shares(of new: [Int], _ resolution: ClientResolution, _ places: [Int]) -> [ClientShare] {
    var shares: [UUID: ClientShare] = [:]
    shares.reserveCapacity(resolution.locked.count)
    for index in new {
      guard case .success(let id) = resolution.outcomes[places[index]], let locked = resolution.locked[id] else { continue }
      if let share = shares[id] {
        share.events.append(index)
        continue
      }
      let share = ClientShare(locked.snapshot(id: id, under: decider.fingerprint))
      share.events.append(index)
      shares[id] = share
    }
    return shares.values.sorted { $0.client.id.precedesByBytes($1.client.id) }
  }

  /// - Returns: the row of each event that is new, by its place in the batch.
  private func rows(of shares: [ClientShare], _ events: [StagedEvent]) -> [EventRow?] {
    var rows = [EventRow?](repeating: nil, count: events.count)
    for share in shares {
      let marks = StageMarks(share.client.summary.stage, share.events.lazy.map { events[$0].event })
      for index in share.events { rows[index] = EventRow(clientID: share.client.id, stage: marks.stage(of: events[index].event)) }
    }
    return rows
  }

  // MARK: What is stored besides

  /// Adds what the evaluation needs and the locked rows do not hold: summaries that have to be made from stored events, and the late invoices of
  /// clients whose invoices the batch touches.
  /// - Parameter commands: what has yet to be executed; executed and emptied where there is something to read.
  private func addWhatIsStored(
    to shares: [ClientShare], _ events: [StagedEvent], _ commands: inout [(PostgresStatement, PostgresParameters)]
  ) throws(PostgresError) {
    let tracksInvoices = decider.rules.risks.lateInvoices == .untilSettled
    let unread = shares.filter(\.isUnread).map(\.client.id)
    var book = InvoiceBook()
    if tracksInvoices { for share in shares { for index in share.events { book.note(events[index], clientID: share.client.id) } } }
    let waiting = commands.count
    if !unread.isEmpty {
      let own = shares.filter(\.isUnread).flatMap { $0.events.map { events[$0].id } }
      commands.append((history.newest, history.parameters(clients: unread, excluded: own)))
      if tracksInvoices { commands.append((history.invoices, PostgresParameters { $0.uuids(unread) })) }
    }
    if !book.isEmpty { commands.append((InvoiceBook.merge, book.parameters())) }
    let readsLate = tracksInvoices && (!book.isEmpty || !unread.isEmpty)
    if readsLate { commands.append((InvoiceBook.late, InvoiceBook.lateParameters(Array(Set(book.clients + unread))))) }
    guard commands.count > waiting else { return }
    let answers = try connection.pipeline(commands)
    commands = []
    let made = unread.isEmpty ? [:] : try history.summaries(answers[waiting])
    let late = readsLate ? try InvoiceBook.late(answers[answers.count - 1]) : [:]
    for share in shares {
      if share.isUnread { share.client.summary = made[share.client.id] ?? ClientSummary() }
      if let late = late[share.client.id] { share.client.lateInvoices = late }
    }
  }

  // MARK: Decisions

  private mutating func decide(
    _ shares: [ClientShare], _ events: [StagedEvent], _ commands: [(PostgresStatement, PostgresParameters)], published: [UUID]
  ) throws(PostgresError) -> OutboxBatch? {
    var random = IDRandom()
    var writes = BatchWrites(decider: decider, instance: instance, random: IDRandom(), at: clock.now(), clients: shares.count, events: events.count)
    for share in shares {
      let evaluations = decider.evaluate(&share.client, taking: share.events.map { events[$0] }, random: &random)
      writes.add(share.client, evaluations)
    }
    let outbox = writes.messages.isEmpty ? nil : OutboxBatch(id: writes.outboxID, actions: writes.messages)
    decided = outbox?.id
    _ = try connection.pipeline(commands + writes.commands(published: published) + [(.commit, PostgresParameters())])
    return outbox
  }
}
