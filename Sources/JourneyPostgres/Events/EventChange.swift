public import FoundationEssentials
import Journey
import PostgresClient

/// Who changes events and why, for the record.
public struct EventChangeAuthor: Sendable {
  /// The command: its transactions have it in common.
  public var run: UUID
  public var actor: String
  public var why: String?

  public init(run: UUID, actor: String, why: String?) {
    self.run = run
    self.actor = actor
    self.why = why
  }
}

enum EventChangeAction: String {
  case void, remap, restore
}

/// What every change of stored events has in common: locks before, and the states from the events afterwards.
extension BatchCommit {
  /// Locks clients and their organisations, within a transaction. It skips what another transaction holds.
  /// - Parameter clients: the organisation of each client.
  /// - Returns: those that are locked.
  func lockForChange(_ clients: [UUID: UUID]) throws(PostgresError) -> Set<UUID> {
    guard !clients.isEmpty else { return [] }
    let ids = clients.keys.sorted()
    let added = PostgresParameters {
      $0.uuids(ids)
      $0.uuids(Array(Set(clients.values)))
    }
    let found = try connection.pipeline([
      (CommitStatements.addFreeStates, added), (RecomputeStatements.lock, PostgresParameters { $0.uuids(ids) }),
    ])[1]
    let free = try lockOrganizations(Array(Set(clients.values)))
    var locked: Set<UUID> = []
    for row in 0..<found.rowCount {
      let id = try found.uuid(row, 0)
      if let orgID = clients[id], free.contains(orgID) { locked.insert(id) }
    }
    return locked
  }

  /// Adds the row about a change.
  /// - Returns: its id.
  func record(
    _ action: EventChangeAction, of source: String?, _ ids: [UUID], counts: [String: Int], by author: EventChangeAuthor
  ) throws(PostgresError) -> Int64 {
    var json = JSONWriter(reservingCapacity: 128)
    json.beginObject()
    for (name, count) in counts.sorted(by: { $0.key < $1.key }) where count > 0 {
      json.key(name)
      json.int(count)
    }
    json.endObject()
    let parameters = PostgresParameters {
      $0.uuid(author.run)
      $0.text(author.actor)
      $0.text(action.rawValue)
      $0.text(source)
      $0.uuids(ids)
      $0.jsonb(json.bytes)
      $0.text(author.why)
    }
    return try connection.execute(EventChangeStatements.record, parameters).int64(0, 0)
  }

  /// Computes the states of clients whose events have changed, all of them locked.
  /// - Parameter clients: with the time of the earliest change.
  /// - Returns: the statements that write the states.
  func statesAfterChange(
    of clients: [UUID: Timestamp], publishes: Bool, _ result: inout RecomputeResult
  ) throws(PostgresError) -> [(PostgresStatement, PostgresParameters)] {
    guard !clients.isEmpty else { return [] }
    let rows = clients.sorted { $0.key < $1.key }
    let times = PostgresParameters {
      $0.uuids(rows) { $0.key }
      $0.timestamptzs(rows) { $0.value.microseconds }
    }
    let found = try connection.pipeline([
      (EventChangeStatements.restage, times),
      (RecomputeStatements.lock, PostgresParameters { $0.uuids(rows) { $0.key } }),
    ])[1]
    var locked: [UUID: (client: LockedClient, stored: StoredState)] = [:]
    for row in 0..<found.rowCount {
      let client = try LockedClient(found, row, from: StoredState.columnCount + 1).moved(by: clockOffset)
      locked[try found.uuid(row, 0)] = (client, try StoredState(found, row, from: 1))
    }
    return try remake(locked, publishes: publishes, &result)
  }

  /// Ends a transaction.
  /// - Parameter isRehearsal: whether it is rolled back.
  func end(_ writes: [(PostgresStatement, PostgresParameters)], isRehearsal: Bool) throws(PostgresError) {
    if isRehearsal {
      try connection.rollback()
    } else {
      _ = try connection.pipeline(writes + [(.commit, PostgresParameters())])
    }
  }
}
