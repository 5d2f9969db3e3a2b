public import FoundationEssentials
public import Journey
public import PostgresClient

/// The messages that wait in retry queues.
public struct ParkedRepository: ParkedMessageStore {
  private let worker: PostgresWorker

  public init(worker: PostgresWorker) { self.worker = worker }

  public func store(_ messages: [ParkedMessage]) async throws(StoreError) {
    // A statement changes a row once. In order of the ids, so that instances do not deadlock.
    let rows = Dictionary(messages.map { ($0.id, $0) }) { $0.parkedAt > $1.parkedAt ? $0 : $1 }.values
      .sorted { $0.id.precedesByBytes($1.id) }
    try await withStoreErrors {
      try await worker.perform { connection in
        _ = try connection.execute(
          Statements.store,
          PostgresParameters {
            $0.uuids(rows) { $0.id }
            $0.uuids(rows) { $0.orgID }
            $0.texts(rows) { $0.source }
            $0.texts(rows) { $0.messageID }
            $0.texts(rows) { $0.eventIDs.joined(separator: Statements.separator) }
            $0.texts(rows) { $0.code }
            $0.texts(rows) { $0.tier }
            $0.int4s(rows) { Int32(clamping: $0.attempt) }
            $0.timestamptzs(rows) { $0.receivedAt?.microseconds }
            $0.timestamptzs(rows) { $0.parkedAt.microseconds }
            $0.timestamptzs(rows) { $0.returnsAt.microseconds }
          })
      }
    }
  }

  public func forget(limit: Int) async throws(StoreError) -> Int {
    try await withStoreErrors {
      try await worker.perform { connection in
        try connection.execute(Statements.forget, PostgresParameters { $0.int4(Int32(limit)) }).rowCount
      }
    }
  }

  /// Those that have one of these ids: of the message, of one of its events, or as parked. At most 20, the latest first.
  /// - Parameter orgID: nil: of any organisation, or of none.
  public func find(_ ids: [String], parkedAs: [UUID] = [], orgID: UUID?) async throws -> [ParkedMessage] {
    try await worker.perform { connection in
      let found = try connection.execute(
        Statements.find,
        PostgresParameters {
          $0.texts(ids)
          $0.uuids(parkedAs)
          $0.uuid(orgID)
        })
      return try (0..<found.rowCount).map { row in
        ParkedMessage(
          id: try found.uuid(row, 0), orgID: try found.uuidIfPresent(row, 1), source: try found.textIfPresent(row, 2),
          messageID: try found.textIfPresent(row, 3), eventIDs: try found.texts(row, 4).compactMap(\.self),
          code: try found.textIfPresent(row, 5), tier: try found.text(row, 6), attempt: Int(try found.int32(row, 7)),
          receivedAt: try found.timestampIfPresent(row, 8).map { Timestamp(microseconds: $0) },
          parkedAt: Timestamp(microseconds: try found.timestamp(row, 9)),
          returnsAt: Timestamp(microseconds: try found.timestamp(row, 10)))
      }
    }
  }

  private enum Statements {
    /// No id of an event contains a control character.
    static let separator = "\u{1}"
    static let store = PostgresStatement(
      name: "store_parked",
      """
      INSERT INTO journey_parked AS p
        (id, org_id, source, message_id, event_ids, code, tier, attempt, received_at, parked_at, returns_at)
      SELECT i.id, i.org_id, i.source, i.message_id, string_to_array(i.event_ids, E'\\x01'), i.code, i.tier, i.attempt,
        i.received_at, i.parked_at, i.returns_at
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int4[],
        $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
        AS i(id, org_id, source, message_id, event_ids, code, tier, attempt, received_at, parked_at, returns_at)
      ON CONFLICT (id) DO UPDATE
      SET event_ids = EXCLUDED.event_ids, code = EXCLUDED.code, tier = EXCLUDED.tier, attempt = EXCLUDED.attempt,
        received_at = COALESCE(EXCLUDED.received_at, p.received_at), parked_at = EXCLUDED.parked_at,
        returns_at = EXCLUDED.returns_at
      WHERE p.parked_at <= EXCLUDED.parked_at
      """)
    static let forget = PostgresStatement(
      name: "forget_parked",
      """
      DELETE FROM journey_parked WHERE id = ANY (ARRAY(
        SELECT id FROM journey_parked WHERE returns_at < now() - interval '1 hour'
        ORDER BY returns_at LIMIT $1::int4 FOR UPDATE SKIP LOCKED))
      RETURNING id
      """)
    static let find = PostgresStatement(
      name: "find_parked",
      """
      SELECT id, org_id, source, message_id, event_ids, code, tier, attempt, received_at, parked_at, returns_at
      FROM journey_parked
      WHERE (id = ANY($2::uuid[]) OR message_id = ANY($1::text[]) OR event_ids && $1::text[])
        AND ($3::uuid IS NULL OR org_id = $3)
      ORDER BY parked_at DESC, id LIMIT 20
      """)
  }
}
