public import Journey
public import PostgresClient

/// What an instance does, as it says itself.
public enum InstanceState: String, Sendable, Encodable {
  case starting, consuming, paused, draining
  /// It takes nothing although it is not paused: the broker or the database does not let it.
  case waiting
}

/// An operator's order to pause or resume. The newest that concerns an instance holds.
public struct PauseOrder: Hashable, Sendable {
  public var id: Int64
  public var isPause: Bool
  /// nil: all, also those that start later.
  public var instance: String?
  public var at: Timestamp
  public var actor: String
  public var why: String?

  init(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    id = try result.int64(row, 0)
    isPause = try result.bool(row, 1)
    instance = try result.textIfPresent(row, 2)
    at = Timestamp(microseconds: try result.timestamp(row, 3))
    actor = try result.text(row, 4)
    why = try result.textIfPresent(row, 5)
  }
}

/// An instance, as its row says.
public struct ListedInstance: Hashable, Sendable {
  public var instance: String
  public var host: String
  public var version: String
  public var startedAt: Timestamp
  public var seenAt: Timestamp
  public var state: InstanceState
  /// Messages that it has received and not settled.
  public var inHand: Int
  public var obeyed: Int64
  /// Whether its lease has not run out.
  public var isLive: Bool
  /// Whether consuming is paused, or will be when it runs again.
  public var isPaused: Bool
}

/// The instances, and the orders that operators give them.
public struct InstanceRepository: Sendable {
  private let worker: PostgresWorker

  public init(worker: PostgresWorker) { self.worker = worker }

  /// Sorted by name; also those that ended without saying so within the last week.
  public func list() async throws -> [ListedInstance] {
    try await worker.perform { connection in
      let found = try connection.execute(InstanceStatements.list, PostgresParameters())
      return try (0..<found.rowCount).map { row in
        ListedInstance(
          instance: try found.text(row, 0), host: try found.text(row, 1), version: try found.text(row, 2),
          startedAt: Timestamp(microseconds: try found.timestamp(row, 3)),
          seenAt: Timestamp(microseconds: try found.timestamp(row, 4)),
          state: InstanceState(rawValue: try found.text(row, 5)) ?? .starting, inHand: Int(try found.int32(row, 6)),
          obeyed: try found.int64(row, 7), isLive: try found.bool(row, 8),
          isPaused: try found.boolIfPresent(row, 9) ?? false)
      }
    }
  }

  /// Records an order, for all instances or one, and wakes them.
  public func give(pause: Bool, to instance: String?, actor: String, why: String?) async throws -> PauseOrder {
    try await worker.perform { connection in
      let given = try connection.execute(
        InstanceStatements.give,
        PostgresParameters {
          $0.text(pause ? "pause" : "resume")
          $0.text(instance)
          $0.text(actor)
          $0.text(why)
        })
      return try PauseOrder(given, 0)
    }
  }
}
