import JourneyPostgres
import FoundationEssentials
public import Journey
public import PostgresClient

/// The replays in the database: starts, finds and ends them. A replay claims its dead letters before it publishes the
/// first, so that they do not change while it runs.
public struct ReplayRepository: Sendable {
  /// The first key of the advisory lock that a running replay holds; the second is the replay's id.
  static let lockClass: Int32 = 0x444c_5250

  private let worker: PostgresWorker
  private let actor: String
  private let clock: any WallClock
  private let maxBodyBytes: Int

  /// - Parameters:
  ///   - actor: who replays, for the record.
  ///   - maxBodyBytes: the largest body that the ingest queue's consumers accept.
  public init(worker: PostgresWorker, actor: String, clock: any WallClock, maxBodyBytes: Int = .max) {
    self.worker = worker
    self.actor = actor
    self.clock = clock
    self.maxBodyBytes = maxBodyBytes
  }

  public func count(_ request: ReplayRequest) async throws -> ReplayCount {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.count, DeadLetterSQL.parameters(request.filter, skipping(request)))
      return ReplayCount(
        claimed: Int(try result.int64(0, 0)), held: Int(try result.int64(0, 1)), tooLarge: Int(try result.int64(0, 2)))
    }
  }

  /// Parameters 10 and 11: what the replay skips.
  private func skipping(_ request: ReplayRequest) -> [PostgresParameters.Value] {
    [.int4(request.loopGuard.map { Int32(clamping: $0) }), .int8(Int64(request.maxBodyBytes(maxBodyBytes)))]
  }

  /// Claims the dead letters, a few thousand per transaction.
  /// - Returns: the replay's id, and how many dead letters it has claimed.
  public func start(_ request: ReplayRequest) async throws -> (id: Int, claimed: Int) {
    try await worker.perform { connection in
      let created = try connection.execute(
        Statements.create,
        [
          .text(actor), .text(request.why), .jsonb(encodeJSON(request.filter.record)), .jsonb(request.edit?.source),
          .float8(request.rate),
        ])
      let id = try created.int32(0, 0)
      guard try Self.lock(id, on: connection) else { throw ReplayBusy(id: Int(id)) }
      var claimed = 0
      var after: UUID?
      while true {
        let page = try claim(request, id: id, after: after, on: connection)
        claimed += page.count
        guard let last = page.last else { return (Int(id), claimed) }
        after = last
      }
    }
  }

  private func claim(
    _ request: ReplayRequest, id: Int32, after: UUID?, on connection: PostgresConnection
  ) throws -> [UUID] {
    try connection.transaction {
      let picked = try connection.execute(
        Statements.pick,
        DeadLetterSQL.parameters(request.filter, skipping(request) + [.uuid(after), .int4(id)]))
      let ids = try (0..<picked.rowCount).map { try picked.uuid($0, 0) }
      guard !ids.isEmpty else { return [] }
      var random = IDRandom()
      let editedIDs = ids.map { _ in request.edit == nil ? nil : UUID.v7(at: clock.now(), using: &random) }
      try connection.execute(Statements.claim, [.uuids(ids), .uuids(editedIDs), .int4(id)])
      return ids
    }
  }

  /// Replays that were interrupted or are under way, the oldest first.
  public func open() async throws -> [OpenReplay] {
    try await worker.perform { connection in
      let result = try connection.execute(Statements.open, [.int4(Self.lockClass)])
      return try (0..<result.rowCount).map { row in
        OpenReplay(
          id: Int(try result.int32(row, 0)), actor: try result.text(row, 1),
          startedAt: Timestamp(microseconds: try result.timestamp(row, 2)),
          remaining: Int(try result.int64(row, 3)),
          edit: try result.jsonIfPresent(row, 4).map { try JSONPatch(parsing: $0) },
          rate: try result.doubleIfPresent(row, 5),
          why: try result.textIfPresent(row, 6), isUnderWay: try result.bool(row, 7))
      }
    }
  }

  /// Records the end of a replay that has nothing left.
  public func finish(_ id: Int) async throws {
    try await worker.perform { try Self.end(id, on: $0) }
  }

  /// Reopens the dead letters that a replay has claimed and not finished, and ends it.
  /// - Returns: how many there were.
  /// - Throws: `ReplayBusy` while a process runs it.
  public func giveBack(_ id: Int, why: String?) async throws -> Int {
    try await worker.perform { [actor] connection in
      guard try Self.lock(Int32(clamping: id), on: connection) else { throw ReplayBusy(id: id) }
      let count = try connection.execute(
        Statements.giveBack, [.int4(id), .text(actor), .text(why)], inBatchesOf: Self.batch)
      try Self.end(id, on: connection)
      return count
    }
  }

  /// The dead letters of one replay, for the run that publishes them.
  public func store(_ id: Int, why: String?) -> ReplayClaim {
    ReplayClaim(worker: worker, id: Int32(clamping: id), actor: actor, why: why)
  }

  static func lock(_ id: Int32, on connection: PostgresConnection) throws(PostgresError) -> Bool {
    try connection.execute(Statements.lock, [.int4(lockClass), .int4(id)]).bool(0, 0)
  }

  /// Records the end of a replay that has nothing left, and releases its lock.
  private static func end(_ id: Int, on connection: PostgresConnection) throws(PostgresError) {
    try connection.execute(Statements.finish, [.int4(id)])
    try connection.execute(Statements.unlock, [.int4(lockClass), .int4(id)])
  }

  /// Dead letters per transaction: as many as can be changed well within the statement timeout.
  private static let batch = 2000

  private static let fits = "d.body_size <= $11::int8 AND d.body_sha256 IS NULL"
  private static let free = "($10::int4 IS NULL OR d.same_failures < $10::int4)"

  private enum Statements {
    static let count = PostgresStatement(
      name: "count_replay",
      """
      SELECT count(*) FILTER (WHERE \(fits) AND \(free)), count(*) FILTER (WHERE \(fits) AND NOT \(free)), count(*) FILTER (WHERE NOT (\(fits)))
      FROM journey_dead_letters d WHERE \(DeadLetterSQL.filter) AND d.state <> 'replaying'
      """)
    static let create = PostgresStatement(
      name: "create_replay",
      """
      INSERT INTO journey_dead_letter_replays (actor, why, filter, edit, rate)
      VALUES ($1::text, $2::text, $3::jsonb, $4::jsonb, $5::float8) RETURNING id
      """)
    /// Dead letters that arrived after the start are left to another replay, so that this one ends.
    static let pick = PostgresStatement(
      name: "pick_letters",
      """
      SELECT d.id FROM journey_dead_letters d
      WHERE \(DeadLetterSQL.filter) AND d.state <> 'replaying' AND \(fits) AND \(free) AND ($12::uuid IS NULL OR d.id > $12::uuid)
        AND d.received_at <= (SELECT started_at FROM journey_dead_letter_replays WHERE id = $13::int4)
      ORDER BY d.id LIMIT \(batch) FOR UPDATE SKIP LOCKED
      """)
    /// An edited message of unknown outcome keeps its id: under a second id it might count twice.
    static let claim = PostgresStatement(
      name: "take_letters",
      """
      UPDATE journey_dead_letters d SET
        state = 'replaying', replay_id = $3::int4, replay_count = d.replay_count + 1, settled_at = NULL,
        edited_id = CASE WHEN i.edited_id IS NOT NULL THEN COALESCE(d.edited_id, i.edited_id) END
      FROM unnest($1::uuid[], $2::uuid[]) AS i(id, edited_id) WHERE d.id = i.id
      """)
    static let open = PostgresStatement(
      name: "open_replays",
      """
      SELECT r.id, r.actor, r.started_at,
        (SELECT count(*) FROM journey_dead_letters d WHERE d.replay_id = r.id AND d.state = 'replaying'), r.edit, r.rate, r.why,
        EXISTS (
          SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.locktype = 'advisory' AND l.classid = $1::int4::oid AND l.objid = r.id::oid AND l.objsubid = 2
            AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND \(OutboxStatements.isAdapters("a.usesysid")))
      FROM journey_dead_letter_replays r WHERE r.finished_at IS NULL ORDER BY r.id
      """)
    static let finish = PostgresStatement(
      name: "finish_replay",
      """
      UPDATE journey_dead_letter_replays r SET finished_at = now()
      WHERE r.id = $1::int4 AND NOT EXISTS (SELECT FROM journey_dead_letters d WHERE d.replay_id = r.id AND d.state = 'replaying')
      """)
    static let giveBack = PostgresStatement(
      name: "give_back_letters",
      """
      WITH picked AS (
        SELECT id FROM journey_dead_letters WHERE state = 'replaying' AND replay_id = $1::int4 ORDER BY id LIMIT \(batch) FOR UPDATE
      ), replay AS (
        SELECT published_to FROM journey_dead_letter_replays WHERE id = $1::int4
      ), open AS (
        UPDATE journey_dead_letters d SET state = 'new' FROM picked WHERE d.id = picked.id AND d.state = 'replaying' RETURNING d.id
      )
      INSERT INTO journey_dead_letter_log (letter_id, replay_id, action, actor, why, result)
      SELECT id, $1::int4, 'given_back', $2::text, $3::text, CASE WHEN id <= replay.published_to THEN 'it may have been published' END
      FROM open CROSS JOIN replay
      """)
    static let lock = PostgresStatement(name: "lock_replay", "SELECT pg_try_advisory_lock($1::int4, $2::int4)")
    static let unlock = PostgresStatement(name: "unlock_replay", "SELECT pg_advisory_unlock($1::int4, $2::int4)")
  }
}
