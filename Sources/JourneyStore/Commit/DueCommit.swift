import FoundationEssentials
import Journey
import JourneyPipeline
import PostgresClient

/// Evaluates the clients for whom the time has come, in one transaction: those of whom a risk begins or ends now although nothing happened, and those whose
/// history the host application has changed.
///
/// It passes over what somebody else holds, and waits for nobody.
extension BatchCommit {
  /// - Parameters:
  ///   - limit: how many clients are looked at.
  ///   - organizations: whose clients are left out.
  func evaluateDue(limit: Int, passingOver organizations: [UUID]) throws(PostgresError) -> DueReceipt {
    let lock = PostgresParameters {
      $0.int4(Int32(limit))
      $0.int8(clockOffset.microseconds)
      $0.uuids(organizations)
    }
    let found = try connection.pipeline([(.begin, PostgresParameters()), (DueStatements.lock, lock)])[1]
    var due: [(client: DueClient, locked: LockedClient)] = []
    due.reserveCapacity(found.rowCount)
    for row in 0..<found.rowCount {
      due.append((try DueClient(found, row), try LockedClient(found, row, from: 2).moved(by: clockOffset)))
    }
    guard !due.isEmpty else {
      try connection.rollback()
      return DueReceipt()
    }
    return try evaluate(due)
  }

  private func evaluate(_ due: [(client: DueClient, locked: LockedClient)]) throws(PostgresError) -> DueReceipt {
    let wanted = Set(due.map(\.locked.orgID))
    let answer = try connection.execute(DueStatements.lockOrganizations, PostgresParameters { $0.uuids(wanted.sorted()) })
    var held = wanted
    for row in 0..<answer.rowCount { held.remove(try answer.uuid(row, 0)) }
    var moved: [UUID] = []
    var shares: [ClientShare] = []
    for (client, locked) in due where !held.contains(locked.orgID) {
      guard client.isForgotten || client.dueAt.map({ $0 <= locked.now }) ?? false else {
        moved.append(client.id)
        continue
      }
      shares.append(ClientShare(locked.snapshot(id: client.id, under: decider.fingerprint)))
    }
    shares.sort { $0.client.id.precedesByBytes($1.client.id) }
    try addWhatIsStored(to: shares, [])
    // Of somebody without a single event there is nothing to say.
    let empty = shares.filter { $0.client.summary.lastEventAt == nil }.map(\.client.id)
    shares.removeAll { $0.client.summary.lastEventAt == nil }
    var commands: [(PostgresStatement, PostgresParameters)] = []
    if !moved.isEmpty { commands.append((DueStatements.moveOn, PostgresParameters { $0.uuids(moved) })) }
    if !empty.isEmpty { commands.append((DueStatements.clear, PostgresParameters { $0.uuids(empty) })) }
    if !commands.isEmpty { _ = try connection.pipeline(commands) }
    let outbox = try decide(shares, [], [], published: [])
    return DueReceipt(
      looked: due.count, evaluated: shares.map { DueReceipt.Client(id: $0.client.id, orgID: $0.client.orgID) }, held: Array(held), outbox: outbox)
  }
}

/// A client that is to be looked at.
private struct DueClient {
  var id: UUID
  var dueAt: Timestamp?
  /// Whether the host application has changed its history.
  var isForgotten: Bool

  init(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    id = try result.uuid(row, 0)
    dueAt = try result.timestampIfPresent(row, 1).map { Timestamp(microseconds: $0) }
    isForgotten = try result.bytes(row, 2).isEmpty
  }
}

enum DueStatements {
  /// Locks the clients that are to be looked at, but for those that somebody else holds, and reads how they stand. The contacts too, as the foreign keys of what
  /// is written ask for.
  static let lock = PostgresStatement(
    name: "lock_due",
    """
    SELECT s.client_id, s.due_at, \(LockedClient.columns)
    FROM journey_client_state s JOIN contacts c ON c.id = s.client_id
    WHERE s.check_at <= clock_timestamp() + $2::int8 * interval '1 microsecond' AND s.merged_into IS NULL AND s.org_id <> ALL($3::uuid[])
    ORDER BY s.check_at LIMIT $1::int4
    FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF c SKIP LOCKED
    """)

  static let lockOrganizations = PostgresStatement(name: "lock_due_organizations", "SELECT journey_lock_organizations($1::uuid[])")

  /// Not yet due: events have come since the time was set.
  static let moveOn = PostgresStatement(
    name: "move_due_on", "UPDATE journey_client_state SET check_at = due_at WHERE client_id = ANY($1::uuid[])")

  /// Nothing is known of them any more.
  static let clear = PostgresStatement(
    name: "clear_states",
    """
    UPDATE journey_client_state
    SET check_at = NULL, due_at = NULL, stage = NULL, stage_at = NULL, score = NULL, risk_level = NULL, risks = '{}', last_event_at = NULL
    WHERE client_id = ANY($1::uuid[])
    """)

  /// The client that would be looked at next is left alone for an hour: it cannot be evaluated, and is in the others' way.
  static let postpone = PostgresStatement(
    name: "postpone_due",
    """
    UPDATE journey_client_state SET check_at = clock_timestamp() + $1::int8 * interval '1 microsecond' + interval '1 hour'
    WHERE client_id = (
      SELECT client_id FROM journey_client_state
      WHERE check_at <= clock_timestamp() + $1::int8 * interval '1 microsecond' AND merged_into IS NULL
      ORDER BY check_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING client_id
    """)
}
