import FoundationEssentials
import Journey
import PostgresClient

/// Evaluates clients that are due, in one transaction: a risk begins or ends now without an event, or the host
/// application has changed the client's history.
///
/// It skips rows that another transaction holds, and does not wait for locks.
extension BatchCommit {
  /// - Parameters:
  ///   - limit: the maximum number of clients.
  ///   - passedOver: clients and organisations to skip.
  ///   - first: set to the first client that is read.
  func evaluateDue(limit: Int, passingOver passedOver: PassedOver, first: inout UUID?) throws(PostgresError)
    -> DueResult
  {
    let lock = DueStatements.parameters(passedOver, at: clockOffset, limit: limit)
    let found = try connection.pipeline([
      (.begin, PostgresParameters()),
      (decider.rules.evaluatesOverTime ? DueStatements.lock : DueStatements.lockMarked, lock),
    ])[1]
    var due: [DueClient] = []
    due.reserveCapacity(found.rowCount)
    for row in 0..<found.rowCount { due.append(try DueClient(found, row, at: clockOffset)) }
    first = due.first?.id
    guard !due.isEmpty else {
      try connection.rollback()
      return DueResult()
    }
    return try evaluate(due)
  }

  /// The client that a batch of one fails on because of a lock timeout.
  func firstDue(passingOver passedOver: PassedOver) throws(PostgresError) -> UUID? {
    let parameters = DueStatements.parameters(passedOver, at: clockOffset, limit: 1)
    let found = try connection.pipeline([(.begin, PostgresParameters()), (DueStatements.first, parameters)])[1]
    let id = found.rowCount > 0 ? try found.uuid(0, 0) : nil
    try connection.rollback()
    return id
  }

  private func evaluate(_ due: [DueClient]) throws(PostgresError) -> DueResult {
    let free = try lockOrganizations(due.map(\.locked.orgID))
    let ofFree = due.filter { free.contains($0.locked.orgID) }
    let clients = Dictionary(uniqueKeysWithValues: ofFree.map { ($0.id, $0) })
    let moved = ofFree.filter { !$0.isToBeEvaluated }.map(\.id)
    var clientBatches = ofFree.filter(\.isToBeEvaluated).map {
      ClientBatch($0.locked.snapshot(id: $0.id, under: decider.fingerprint))
    }
    clientBatches.sort { $0.client.id.precedesByBytes($1.client.id) }
    try addWhatIsStored(to: clientBatches, [])
    var random = IDRandom()
    var writes = BatchWrites(
      decider: decider, instance: instance, random: IDRandom(), at: clock.now(), clients: clientBatches.count,
      events: clientBatches.count)
    var empty: [UUID] = []
    var evaluated: [DueResult.Client] = []
    for clientBatch in clientBatches {
      guard let client = clients[clientBatch.client.id] else { continue }
      guard clientBatch.client.summary.lastEventAt != nil else {
        empty.append(client.id)
        continue
      }
      var after = clientBatch.client
      let before = after.actionHistory
      let evaluation = decider.evaluateWithoutEvent(&after, historyChanged: client.isForgotten, random: &random)
      let isWaitOver = before.isWaitOver(
        at: after.now, after.actionHistory, evaluation.assessment.level, decider.rules.actions.life)
      // The outcome is unchanged: the host filled a column, or changed something that no rule reads.
      if !client.isToBeDecided, !isWaitOver, client.stored.hasOutcome(of: evaluation.assessment) {
        after = clientBatch.client
        let unchanged = decider.evaluateWithoutDecision(&after, random: &random)
        writes.add(unscored: after, unchanged)
      } else {
        writes.add(after, [evaluation])
      }
      evaluated.append(DueResult.Client(id: client.id, orgID: client.locked.orgID))
    }
    var commands = clearing(empty)
    if !moved.isEmpty { commands.append((DueStatements.moveOn, PostgresParameters { $0.uuids(moved) })) }
    let outbox = try commit(commands, writes, published: [])
    return DueResult(
      looked: due.count, evaluated: evaluated, held: Array(Set(due.map(\.locked.orgID)).subtracting(free)),
      outbox: outbox)
  }
}

/// A client that is due.
private struct DueClient {
  var id: UUID
  var stored: StoredState
  var locked: LockedClient
  /// Whether to decide even if it finds what the last evaluation found.
  var isToBeDecided: Bool

  /// Whether its history has changed, so that the summary has to be rebuilt.
  var isForgotten: Bool { locked.summary.isEmpty }
  var isToBeEvaluated: Bool { isForgotten || isToBeDecided || stored.dueAt.map { $0 <= locked.now } ?? false }

  /// - Parameter offset: added to the database's clock.
  init(_ result: PostgresResult, _ row: Int, at offset: TimeSpan) throws(PostgresError) {
    id = try result.uuid(row, 0)
    stored = try StoredState(result, row, from: 1)
    isToBeDecided = try result.bool(row, 1 + StoredState.columnCount)
    locked = try LockedClient(result, row, from: 2 + StoredState.columnCount).moved(by: offset)
  }
}

enum DueStatements {
  static func parameters(_ passedOver: PassedOver, at offset: TimeSpan, limit: Int) -> PostgresParameters {
    PostgresParameters {
      $0.int4(Int32(limit))
      $0.int8(offset.microseconds)
      $0.uuids(Array(passedOver.organizations))
      $0.uuids(Array(passedOver.clients))
    }
  }

  /// Uses `now()`, the start of the transaction. `clock_timestamp()` changes during a statement, so it cannot bound an
  /// index scan.
  private static let isDue = """
    s.check_at <= now() + $2::int8 * interval '1 microsecond' AND s.merged_into IS NULL
      AND s.org_id <> ALL($3::uuid[]) AND s.client_id <> ALL($4::uuid[])
    """

  /// Locks due clients, except those that another transaction holds, and reads their states. It also locks the
  /// contacts, as foreign keys require. If the host has changed a contact and still holds it, the server waits for it
  /// nevertheless.
  static let lock = lock("lock_due", isDue)
  /// The same among those that are to be decided although nothing is evaluated as time passes.
  static let lockMarked = lock("lock_marked", "s.redecide AND \(isDue)")

  private static func lock(_ name: String, _ condition: String) -> PostgresStatement {
    PostgresStatement(
      name: name,
      """
      SELECT s.client_id, \(StoredState.columns), s.redecide, \(LockedClient.columns)
      FROM journey_client_state s JOIN contacts c ON c.id = s.client_id
      WHERE \(condition)
      ORDER BY s.check_at LIMIT $1::int4
      FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF c SKIP LOCKED
      """)
  }

  /// The first due client, even if another transaction holds its contact.
  static let first = PostgresStatement(
    name: "first_due",
    "SELECT s.client_id FROM journey_client_state s WHERE \(isDue) ORDER BY s.check_at LIMIT $1::int4 FOR UPDATE SKIP LOCKED"
  )

  /// For clients that are not due any more, because events have arrived since.
  static let moveOn = PostgresStatement(
    name: "move_due_on", "UPDATE journey_client_state SET check_at = due_at WHERE client_id = ANY($1::uuid[])")

  static func postponement(of client: UUID, at offset: TimeSpan) -> PostgresParameters {
    PostgresParameters {
      $0.uuid(client)
      $0.int8(offset.microseconds)
    }
  }

  static let postpone = PostgresStatement(
    name: "postpone_due",
    """
    UPDATE journey_client_state SET check_at = clock_timestamp() + $2::int8 * interval '1 microsecond' + interval '1 hour'
    WHERE client_id = $1::uuid
    """)
}
