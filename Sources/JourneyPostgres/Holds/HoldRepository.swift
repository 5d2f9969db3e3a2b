public import FoundationEssentials
public import Journey
public import PostgresClient

/// A hold, as its row says.
public struct ListedHold: Hashable, Sendable {
  public var hold: Hold
  public var at: Timestamp
  /// When it ends by itself; nil: when it is released.
  public var until: Timestamp?
  public var actor: String
  public var why: String
  public var isOpen: Bool
  public var endedAt: Timestamp?
  /// nil: nobody; it is open, or `until` has passed.
  public var releasedBy: String?
  /// Clients a second that are decided again.
  public var rate: Double?
  /// Actions that wait for its end, or to be decided again after it.
  public var actions: Int

  init(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    hold = try Hold(result, row)
    at = Timestamp(microseconds: try result.timestamp(row, 4))
    until = try result.timestampIfPresent(row, 5).map { Timestamp(microseconds: $0) }
    actor = try result.text(row, 6)
    why = try result.text(row, 7)
    isOpen = try result.bool(row, 8)
    endedAt = try result.timestampIfPresent(row, 9).map { Timestamp(microseconds: $0) }
    releasedBy = try result.textIfPresent(row, 10)
    rate = try result.doubleIfPresent(row, 11)
    actions = Int(try result.int64(row, 12))
  }
}

extension Hold {
  init(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    self.init(
      id: try result.int64(row, 0), channel: try result.textIfPresent(row, 1).map(Channel.init),
      action: try result.textIfPresent(row, 2).flatMap(ActionKind.init), orgID: try result.uuidIfPresent(row, 3))
  }
}

/// The holds, and the orders that operators give.
public struct HoldRepository: Sendable {
  private let worker: PostgresWorker

  public init(worker: PostgresWorker) { self.worker = worker }

  /// The newest first: those that are open or whose actions wait to be decided again.
  /// - Parameter all: also the others.
  public func list(all: Bool = false, limit: Int = 1000) async throws -> [ListedHold] {
    try await holds(HoldStatements.list, [.int8(nil), .bool(all), .int4(limit)])
  }

  public func hold(_ id: Int64) async throws -> ListedHold? {
    try await holds(HoldStatements.list, [.int8(id), .bool(true), .int4(1)]).first
  }

  /// Records a hold and wakes the instances.
  /// - Parameter hold: its id is ignored.
  public func add(_ hold: Hold, until: Timestamp?, actor: String, why: String) async throws -> ListedHold {
    try await holds(
      HoldStatements.add, Self.parameters(hold) + [.timestamptz(until?.microseconds), .text(actor), .text(why)])[0]
  }

  /// Ends a hold and wakes the instances, which decide its actions again.
  /// - Parameter rate: clients a second; nil: 100.
  /// - Returns: nil if it is not open.
  public func release(_ id: Int64, rate: Double?, actor: String, why: String?) async throws -> ListedHold? {
    try await holds(HoldStatements.release, [.int8(id), .text(actor), .text(why), .float8(rate)]).first
  }

  /// How many unpublished actions, and of how many clients, a hold would match.
  public func preview(_ hold: Hold) async throws -> (actions: Int, clients: Int) {
    try await worker.perform { connection in
      let found = try connection.execute(HoldStatements.preview, PostgresParameters(Self.parameters(hold)))
      return (Int(try found.int64(0, 0)), Int(try found.int64(0, 1)))
    }
  }

  /// How many clients have actions that wait for the end of a hold.
  public func clients(of hold: Int64) async throws -> Int {
    try await worker.perform { Int(try $0.execute(HoldStatements.clients, [.int8(hold)]).int64(0, 0)) }
  }

  public func isOrganization(_ id: UUID) async throws -> Bool {
    try await worker.perform { try $0.execute(HoldStatements.isOrganization, [.uuid(id)]).bool(0, 0) }
  }

  /// Waits until each instance has carried out a hold or its lease has run out.
  /// - Returns: the instances, at the latest after `limit`.
  public func carriedOut(_ hold: Int64, within limit: Duration) async throws -> [ListedInstance] {
    let instances = InstanceRepository(worker: worker)
    let end = ContinuousClock.now + limit
    while true {
      let found = try await instances.list()
      if .now >= end || found.allSatisfy({ !$0.isLive || $0.holds.contains(hold) }) { return found }
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  private static func parameters(_ hold: Hold) -> [PostgresParameters.Value] {
    [.text(hold.channel?.rawValue), .text(hold.action?.rawValue), .uuid(hold.orgID)]
  }

  private func holds(_ statement: PostgresStatement, _ parameters: [PostgresParameters.Value]) async throws
    -> [ListedHold]
  {
    let parameters = PostgresParameters(parameters)
    return try await worker.perform { connection in
      let found = try connection.execute(statement, parameters)
      return try (0..<found.rowCount).map { try ListedHold(found, $0) }
    }
  }
}
