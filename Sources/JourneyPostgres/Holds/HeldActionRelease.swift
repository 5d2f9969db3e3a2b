import FoundationEssentials
public import Journey
public import PostgresClient

/// Decides again what was held, once its hold has ended: some clients at a time, at the hold's rate.
///
/// A held action is superseded and forgotten, and its client is marked: the sweep of due clients then decides it from
/// what is known by then. Any number of instances may do this.
public struct HeldActionRelease: Sendable {
  private static let maxClients = 100

  private let worker: PostgresWorker
  private let clock: any WallClock

  public init(worker: PostgresWorker, clock: any WallClock) {
    self.worker = worker
    self.clock = clock
  }

  /// Releases the actions of some clients, in one transaction.
  /// - Returns: how many clients it has looked at; 0: nothing is to be released now.
  public func step() async throws(StoreError) -> Int {
    let clock = clock
    return try await withStoreErrors {
      try await worker.perform { connection in
        try connection.transaction {
          let due = try connection.execute(HoldStatements.due)
          guard due.rowCount > 0 else { return 0 }
          let hold = try due.int64(0, 0), limit = max(1, min(Self.maxClients, Int(try due.double(0, 1) / 4)))
          let (looked, decided) = try Self.release(hold, limit, at: clock.now(), connection)
          _ = try connection.execute(HoldStatements.pace, [.int8(hold), .float8(Double(decided))])
          return looked
        }
      }
    }
  }

  private static func release(
    _ hold: Int64, _ limit: Int, at now: Timestamp, _ connection: PostgresConnection
  ) throws(PostgresError) -> (looked: Int, decided: Int) {
    let found = try connection.execute(HoldStatements.rows, [.int8(hold)])
    let rows = try (0..<found.rowCount).map { row throws(PostgresError) in try found.uuid(row, 0) }
    let locked = try connection.execute(HoldStatements.lock, [.uuids(rows), .int4(limit)])
    var histories: [UUID: ActionHistory] = [:]
    for row in 0..<locked.rowCount {
      histories[try locked.uuid(row, 0)] = ActionHistory(encoded: try locked.bytes(row, 1)) ?? ActionHistory()
    }
    var random = IDRandom()
    var ended: [(id: UUID, orgID: UUID, client: UUID)] = [], clients: Set<UUID> = []
    var moved: [(id: UUID, hold: Int64)] = [], batches: [Int64: UUID] = [:]
    if !histories.isEmpty {
      let actions = try connection.execute(HoldStatements.actions, [.int8(hold), .uuids(Array(histories.keys))])
      for row in 0..<actions.rowCount {
        let id = try actions.uuid(row, 0), client = try actions.uuid(row, 1)
        if let other = try actions.int64IfPresent(row, 3) {
          moved.append((id, other))
          if batches[other] == nil { batches[other] = UUID.v7(at: now, using: &random) }
        } else {
          ended.append((id, try actions.uuid(row, 2), client))
          // What was run all the same stays as it is, and needs no other decision.
          guard try !actions.bool(row, 4) else { continue }
          clients.insert(client)
          histories[client]?.remove(id)
        }
      }
    }
    var commands: [(PostgresStatement, PostgresParameters)] = []
    if !moved.isEmpty {
      let parameters = PostgresParameters {
        $0.uuids(moved) { $0.id }
        $0.uuids(moved) { batches[$0.hold] }
        $0.int8s(moved) { $0.hold }
      }
      commands.append((HoldStatements.move, parameters))
    }
    if !ended.isEmpty {
      let order = clients.sorted { $0.precedesByBytes($1) }
      let changes = PostgresParameters {
        $0.uuids(ended) { $0.id }
        $0.uuids(ended) { $0.orgID }
        $0.texts(ended) { _ in ActionState.superseded.rawValue }
        $0.timestamptzs(ended) { _ in now.microseconds }
        $0.texts(ended) { _ in "decided again after a hold" }
        $0.uuids(ended) { $0.client }
      }
      let left = PostgresParameters {
        $0.uuids(ended) { $0.id }
        $0.uuids(ended) { _ in UUID.v7(at: now, using: &random) }
      }
      let states = PostgresParameters {
        $0.uuids(order)
        $0.byteas(order) { histories[$0]?.encoded() }
        $0.bools(order) { _ in true }
      }
      commands += [
        (ActionStatements.close, changes), (RevocationStatements.leaveOut, left),
        (ActionStatements.writeHistories, states),
      ]
    }
    commands.append((HoldStatements.clear, [.int8(hold), .uuids(rows)]))
    try connection.pipeline(commands)
    return (histories.count, clients.count)
  }
}
