public import FoundationEssentials
public import Journey
public import PostgresClient

/// A feed as it is stored.
public struct StoredFeed: Sendable, Encodable {
  public var orgID: UUID
  public var source: String
  public var firstHeard: Timestamp
  public var lastHeard: Timestamp
  /// In seconds, while any instance consumed.
  public var silentFor: Int64
  /// In seconds; nil: not known yet.
  public var usualGap: Int64?
  /// Since when it is taken for dead; nil: it is not.
  public var frozenSince: Timestamp?

  private enum CodingKeys: String, CodingKey {
    case orgID = "orgId", source, firstHeard, lastHeard, silentFor, usualGap, frozenSince
  }
}

/// The feeds, for operators.
public struct FeedRepository: Sendable {
  private let worker: PostgresWorker

  public init(worker: PostgresWorker) { self.worker = worker }

  /// The frozen feeds first.
  /// - Parameter orgID: nil: of all organisations.
  public func list(orgID: UUID? = nil) async throws -> [StoredFeed] {
    try await worker.perform { connection in
      let found = try connection.execute(FeedStatements.list, PostgresParameters { $0.uuid(orgID) })
      return try (0..<found.rowCount).map { row in
        StoredFeed(
          orgID: try found.uuid(row, 0), source: try found.text(row, 1),
          firstHeard: Timestamp(microseconds: try found.timestamp(row, 2)),
          lastHeard: Timestamp(microseconds: try found.timestamp(row, 3)), silentFor: try found.int64(row, 4),
          usualGap: try found.int64IfPresent(row, 5),
          frozenSince: try found.timestampIfPresent(row, 6).map { Timestamp(microseconds: $0) })
      }
    }
  }

  /// Forgets a feed that nobody expects any more: its organisation is not frozen because of it. If it is heard again,
  /// it is a new one.
  /// - Returns: whether there was one.
  public func forget(_ feed: Feed) async throws -> Bool {
    try await worker.perform { connection in
      let parameters = PostgresParameters {
        $0.uuid(feed.orgID)
        $0.text(feed.source)
      }
      return try connection.execute(FeedStatements.forget, parameters).affectedRows > 0
    }
  }
}
