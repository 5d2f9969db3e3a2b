import JourneyPostgres
public import Journey
public import PostgresClient

/// Deletes dead letters after their retention time. The log keeps an entry of each.
public struct DeadLetterRetention: Sendable {
  private let worker: PostgresWorker
  private let clock: any WallClock
  private let closedDays: Int
  private let openDays: Int

  /// - Parameters:
  ///   - closedDays: days to keep dead letters that are replayed or discarded; 0: forever.
  ///   - openDays: days to keep open dead letters; 0: forever.
  public init(worker: PostgresWorker, clock: any WallClock, closedDays: Int, openDays: Int) {
    self.worker = worker
    self.clock = clock
    self.closedDays = closedDays
    self.openDays = openDays
  }

  /// - Returns: how many dead letters were deleted.
  public func apply() async throws(StoreError) -> (closed: Int, open: Int) {
    let now = clock.now()
    func since(_ days: Int) -> Int64? { days == 0 ? nil : (now - .seconds(Int64(days) * 86_400)).microseconds }
    let (closed, open) = (since(closedDays), since(openDays))
    return try await withStoreErrors {
      try await worker.perform { [self] connection in
        (
          try delete(Statements.closed, before: closed, why: "deadLetters.retentionDays is \(closedDays)", connection),
          try delete(Statements.open, before: open, why: "deadLetters.openRetentionDays is \(openDays)", connection)
        )
      }
    }
  }

  private func delete(
    _ statement: PostgresStatement, before: Int64?, why: String, _ connection: PostgresConnection
  ) throws(PostgresError) -> Int {
    guard let before else { return 0 }
    return try connection.execute(
      statement, [.timestamptz(before), .text(DeadLetterSQL.serve), .text(why)], inBatchesOf: Self.batch)
  }

  /// Dead letters per statement: well within the statement timeout, and without long locks.
  private static let batch = 1000

  private enum Statements {
    static let closed = statement(
      "delete_closed_letters", "state IN ('replayed', 'discarded') AND settled_at < $1::timestamptz", by: "settled_at")
    /// Counts from when it was archived or failed again, whichever is later, and not by a source's clock.
    static let open = statement(
      "delete_open_letters", "state = 'new' AND GREATEST(received_at, failed_at) < $1::timestamptz", by: "id")

    private static func statement(_ name: String, _ condition: String, by order: String) -> PostgresStatement {
      DeadLetterDeletion.statement(
        name,
        "SELECT id FROM journey_dead_letters WHERE \(condition) ORDER BY \(order) LIMIT \(batch) FOR UPDATE SKIP LOCKED",
        from: 2)
    }
  }
}

extension DeadLetterRepository {
  /// Deletes dead letters permanently; the log keeps who deleted them, and why. Those that a replay has claimed stay.
  /// - Returns: how many were deleted.
  public func delete(_ filter: DeadLetterFilter, why: String) async throws -> Int {
    var filter = filter
    if filter.states.isEmpty { filter.states = DeadLetterState.allCases }
    filter.states.removeAll { $0 == .replaying }
    return try await worker.perform { [filter, actor] connection in
      let parameters = DeadLetterSQL.parameters(filter, [.text(actor), .text(why)])
      return try connection.execute(DeadLetterDeletion.asked, parameters, inBatchesOf: DeadLetterDeletion.batch)
    }
  }
}

extension PostgresConnection {
  /// Executes a statement that changes at most `size` rows, until it changes fewer.
  /// - Returns: how many rows it changed in total.
  func execute(_ statement: PostgresStatement, _ parameters: PostgresParameters, inBatchesOf size: Int)
    throws(PostgresError) -> Int
  {
    var all = 0
    while true {
      let count = try execute(statement, parameters).affectedRows
      all += count
      if count < size { return all }
    }
  }
}

private enum DeadLetterDeletion {
  /// Dead letters per statement, when an operator waits.
  static let batch = 2000

  static let asked = statement(
    "delete_letters",
    "SELECT d.id FROM journey_dead_letters d WHERE \(DeadLetterSQL.filter) ORDER BY d.id LIMIT \(batch) FOR UPDATE",
    from: 10)

  /// Deletes what a query selects, and logs it.
  /// - Parameter parameter: the number of the first of two parameters: who deletes, and why.
  static func statement(_ name: String, _ picked: String, from parameter: Int) -> PostgresStatement {
    PostgresStatement(
      name: name,
      """
      WITH picked AS (\(picked)), deleted AS (
        DELETE FROM journey_dead_letters d USING picked WHERE d.id = picked.id RETURNING d.id, d.state
      )
      INSERT INTO journey_dead_letter_log (letter_id, action, actor, why, result)
      SELECT id, 'deleted', $\(parameter)::text, $\(parameter + 1)::text, 'was ' || state FROM deleted
      """)
  }
}
