public import FoundationEssentials
public import Journey
public import PostgresClient

/// An event type that no rule names, as it is stored.
public struct StoredUnlistedType: Sendable, Encodable {
  public var source: String
  public var type: String
  public var count: Int64
  public var firstSeen: Timestamp
  public var lastSeen: Timestamp
  public var orgID: UUID?
  public var hasSample: Bool
}

/// The event types that no rule of a mapping names.
public struct UnlistedRepository: Sendable {
  private let worker: PostgresWorker
  private let sampleDays: Int

  /// - Parameter sampleDays: how long samples are kept; 0: they are not.
  public init(worker: PostgresWorker, sampleDays: Int) {
    self.worker = worker
    self.sampleDays = sampleDays
  }

  /// Deletes old samples, and types that were not seen for 90 days.
  public func forget() async throws(StoreError) {
    try await withStoreErrors {
      try await worker.perform { connection in try forget(on: connection) }
    }
  }

  private func forget(on connection: PostgresConnection) throws(PostgresError) {
    _ = try connection.execute(Statements.forgetSamples, PostgresParameters { $0.int4(Int32(sampleDays)) })
    _ = try connection.execute(Statements.forget, PostgresParameters())
  }

  /// Adds what was counted, and deletes what is old.
  public func add(_ types: [UnlistedType]) async throws(StoreError) {
    let types = types.sorted { ($0.source, $0.type) < ($1.source, $1.type) }
    try await withStoreErrors {
      try await worker.perform { connection in
        let parameters = PostgresParameters {
          $0.texts(types) { $0.source }
          $0.texts(types) { $0.type }
          $0.int8s(types) { Int64($0.count) }
          $0.timestamptzs(types) { $0.lastSeen.microseconds }
          $0.uuids(types) { $0.orgID }
          $0.byteas(types) { $0.sample }
        }
        _ = try connection.execute(Statements.add, parameters)
        try forget(on: connection)
      }
    }
  }

  /// The types, the latest first.
  /// - Parameters:
  ///   - source: restricts the answer to this source.
  ///   - since: leaves out types that were not seen since then.
  public func list(source: String?, since: Timestamp?) async throws -> [StoredUnlistedType] {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.list,
        PostgresParameters {
          $0.text(source)
          $0.timestamptz(since?.microseconds)
        })
      return try (0..<result.rowCount).map { row in
        StoredUnlistedType(
          source: try result.text(row, 0), type: try result.text(row, 1), count: try result.int64(row, 2),
          firstSeen: Timestamp(microseconds: try result.timestamp(row, 3)),
          lastSeen: Timestamp(microseconds: try result.timestamp(row, 4)), orgID: try result.uuidIfPresent(row, 5),
          hasSample: try result.bool(row, 6))
      }
    }
  }

  /// - Returns: the body that was kept of a type; nil if there is none.
  public func sample(source: String, type: String) async throws -> [UInt8]? {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.sample,
        PostgresParameters {
          $0.text(source)
          $0.text(type)
        })
      return result.rowCount == 0 ? nil : try result.bytesIfPresent(0, 0)
    }
  }

  private enum Statements {
    /// At most 1,000 types a source, as senders choose them.
    static let add = PostgresStatement(
      name: "add_unlisted",
      """
      INSERT INTO journey_unlisted AS u (source, type, count, first_seen_at, last_seen_at, sample_org, sample, sampled_at)
      SELECT i.source, i.type, i.count, i.seen_at, i.seen_at, i.org_id, i.sample, CASE WHEN i.sample IS NOT NULL THEN now() END
      FROM unnest($1::text[], $2::text[], $3::int8[], $4::timestamptz[], $5::uuid[], $6::bytea[])
        AS i(source, type, count, seen_at, org_id, sample)
      WHERE EXISTS (SELECT FROM journey_unlisted k WHERE k.source = i.source AND k.type = i.type)
        OR (SELECT count(*) FROM journey_unlisted k WHERE k.source = i.source) < 1000
      ON CONFLICT (source, type) DO UPDATE
      SET count = u.count + EXCLUDED.count, last_seen_at = GREATEST(u.last_seen_at, EXCLUDED.last_seen_at),
        sample_org = CASE WHEN u.sample IS NULL THEN EXCLUDED.sample_org ELSE u.sample_org END, sample = COALESCE(u.sample, EXCLUDED.sample),
        sampled_at = CASE WHEN u.sample IS NULL THEN EXCLUDED.sampled_at ELSE u.sampled_at END
      """)
    static let forget = PostgresStatement(
      name: "forget_unlisted", "DELETE FROM journey_unlisted WHERE last_seen_at < now() - interval '90 days'")
    static let forgetSamples = PostgresStatement(
      name: "forget_unlisted_samples",
      """
      UPDATE journey_unlisted SET sample = NULL, sample_org = NULL, sampled_at = NULL
      WHERE sampled_at <= now() - $1::int4 * interval '1 day'
      """)
    static let list = PostgresStatement(
      name: "list_unlisted",
      """
      SELECT source, type, count, first_seen_at, last_seen_at, sample_org, sample IS NOT NULL
      FROM journey_unlisted
      WHERE ($1::text IS NULL OR source = $1) AND ($2::timestamptz IS NULL OR last_seen_at >= $2)
      ORDER BY last_seen_at DESC, source, type
      """)
    static let sample = PostgresStatement(
      name: "unlisted_sample", "SELECT sample FROM journey_unlisted WHERE source = $1::text AND type = $2::text")
  }
}
