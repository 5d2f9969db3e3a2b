public import FoundationEssentials
public import Journey
public import PostgresClient

/// Idempotency keys in PostgreSQL, shared by all instances.
public struct PostgresRequestKeys: RequestKeys {
  private let worker: PostgresWorker

  /// - Parameter worker: works as the adapter's role.
  public init(worker: PostgresWorker) { self.worker = worker }

  public func claim(_ key: UUID, of user: UUID, fingerprint: UUID) async throws(StoreError) -> Bool {
    try await withStoreErrors {
      try await worker.perform { connection in
        let parameters = PostgresParameters {
          $0.uuid(user)
          $0.uuid(key)
          $0.uuid(fingerprint)
        }
        let none = PostgresParameters()
        let results = try connection.pipeline([
          (.begin, none), (Self.claim, parameters), (Self.forget, none), (.commit, none),
        ])
        return try results[1].bool(0, 0)
      }
    }
  }

  /// The update changes nothing but locks the row, so the second of two concurrent requests sees the first one's key.
  private static let claim = PostgresStatement(
    name: "take_request_key",
    """
    INSERT INTO journey_request_keys AS k (user_id, key, fingerprint) VALUES ($1::uuid, $2::uuid, $3::uuid)
    ON CONFLICT (user_id, key) DO UPDATE SET made_at = k.made_at
    RETURNING fingerprint = $3::uuid
    """)
  private static let forget = PostgresStatement(
    name: "forget_request_keys",
    """
    DELETE FROM journey_request_keys WHERE (user_id, key) IN (
      SELECT user_id, key FROM journey_request_keys WHERE made_at < now() - interval '7 days' ORDER BY made_at LIMIT 20 FOR UPDATE SKIP LOCKED)
    """)
}
