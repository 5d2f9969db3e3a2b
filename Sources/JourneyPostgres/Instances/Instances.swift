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

  /// - Parameter first: the column of the id, after which the others follow.
  init(_ result: PostgresResult, _ row: Int, from first: Int = 0) throws(PostgresError) {
    id = try result.int64(row, first)
    isPause = try result.bool(row, first + 1)
    instance = try result.textIfPresent(row, first + 2)
    at = Timestamp(microseconds: try result.timestamp(row, first + 3))
    actor = try result.text(row, first + 4)
    why = try result.textIfPresent(row, first + 5)
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
  /// The newest order that concerns it; nil: there was none.
  public var order: PauseOrder?
  /// The holds that it has carried out.
  public var holds: Set<Int64>

  /// The order to pause that holds.
  public var pause: PauseOrder? { order.flatMap { $0.isPause ? $0 : nil } }
  /// Whether consuming is paused, or will be when it runs again.
  public var isPaused: Bool { pause != nil }
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
          order: try Self.order(found, row), holds: Set(try found.int8s(row, 15).compactMap(\.self)))
      }
    }
  }

  /// The order that concerns a listed instance.
  private static func order(_ found: PostgresResult, _ row: Int) throws(PostgresError) -> PauseOrder? {
    try found.int64IfPresent(row, 9) == nil ? nil : PauseOrder(found, row, from: 9)
  }

  /// The newest order for all instances, also those that start later; nil: there was none.
  public func orderForAll() async throws -> PauseOrder? {
    try await worker.perform { connection in
      let found = try connection.execute(InstanceStatements.order, PostgresParameters { $0.text(nil) })
      return try found.rowCount == 0 ? nil : PauseOrder(found, 0)
    }
  }

  /// How many processes are alive, those of earlier versions too, which have no lease and obey no order.
  public func alive() async throws -> Int {
    try await worker.perform { connection in
      let found = try connection.execute(
        InstanceStatements.count, PostgresParameters { $0.int4(InstanceLock.keyClass) })
      return Int(try found.int64(0, 0))
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
