import JourneyPostgres
import FoundationEssentials
public import Journey
public import PostgresClient

/// A replay that has letters left.
public struct OpenReplay: Hashable, Sendable {
  public var id: Int
  public var actor: String
  public var startedAt: Timestamp
  /// Letters that it has taken and not done.
  public var remaining: Int
  /// The JSON patch that it edits bodies with.
  public var edit: [UInt8]?
  public var rate: Double?
  /// Why it was started.
  public var why: String?
  /// Whether a process is at it right now.
  public var isUnderWay: Bool
}

/// What a replay was asked to do, for its row and for a resumed run.
public struct ReplayOrder: Sendable {
  public var filter: DeadLetterFilter
  /// The filter as the operator wrote it, a JSON object.
  public var filterText: [UInt8]
  /// A JSON patch.
  public var edit: [UInt8]?
  /// Letters a second.
  public var rate: Double?
  public var why: String?
  /// Letters that failed the same way this often in a row are left alone; nil: none is.
  public var loopGuard: Int?
  /// Letters with more bytes in their bodies are left alone: they would come back as too large. So are those whose
  /// bodies are archived in part.
  public var maxBodyBytes: Int

  public init(
    filter: DeadLetterFilter, filterText: [UInt8], edit: [UInt8]?, rate: Double?, why: String?, loopGuard: Int?,
    maxBodyBytes: Int = .max
  ) {
    self.filter = filter
    self.filterText = filterText
    self.edit = edit
    self.rate = rate
    self.why = why
    self.loopGuard = loopGuard
    self.maxBodyBytes = maxBodyBytes
  }
}

/// What a replay would take, and what it would leave alone.
public struct ReplayCount: Hashable, Sendable {
  public var claimed: Int
  /// Letters that the loop guard holds back.
  public var held: Int
  /// Letters that are too large to be replayed.
  public var tooLarge: Int

  public init(claimed: Int, held: Int, tooLarge: Int) {
    self.claimed = claimed
    self.held = held
    self.tooLarge = tooLarge
  }
}

/// Starts, finds and ends replays. Letters are taken before the first is published, so that what a replay means does
/// not change while it runs.
public struct ReplayRepository: Sendable {
  /// The first key of the advisory locks that running replays hold; the second is the replay's number.
  static let lockClass: Int32 = 0x444c_5250

  private let worker: PostgresWorker
  private let actor: String
  private let clock: any WallClock

  /// - Parameter actor: who works, for the record.
  public init(worker: PostgresWorker, actor: String, clock: any WallClock) {
    self.worker = worker
    self.actor = actor
    self.clock = clock
  }

  /// How many letters a replay would take, and how many of the others it would leave alone.
  public func count(_ order: ReplayOrder) async throws -> ReplayCount {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.count, DeadLetterSQL.parameters(order.filter) { Self.add(order, to: &$0) })
      return ReplayCount(
        claimed: Int(try result.int64(0, 0)), held: Int(try result.int64(0, 1)), tooLarge: Int(try result.int64(0, 2)))
    }
  }

  /// Parameters 10 and 11: what is left alone.
  private static func add(_ order: ReplayOrder, to parameters: inout PostgresParameters) {
    parameters.int4(order.loopGuard.map { Int32(clamping: $0) })
    parameters.int8(Int64(order.maxBodyBytes))
  }

  /// Takes the letters, in transactions of a few thousand each.
  /// - Returns: the replay's number and how many letters it has taken.
  public func start(_ order: ReplayOrder) async throws -> (id: Int, claimed: Int) {
    try await worker.perform { [actor, clock] connection in
      let created = try connection.execute(
        Statements.create,
        PostgresParameters {
          $0.text(actor)
          $0.text(order.why)
          $0.jsonb(order.filterText)
          $0.jsonb(order.edit)
          $0.float8(order.rate)
        })
      let id = try created.int32(0, 0)
      guard try Self.lock(id, on: connection) else { throw ReplayBusy(id: Int(id)) }
      var claimed = 0
      var after: UUID?
      while true {
        let page = try Self.claim(order, id: id, after: after, at: clock.now(), on: connection)
        claimed += page.count
        guard let last = page.last else { return (Int(id), claimed) }
        after = last
      }
    }
  }

  private static func claim(
    _ order: ReplayOrder, id: Int32, after: UUID?, at now: Timestamp, on connection: PostgresConnection
  ) throws -> [UUID] {
    try connection.transaction {
      let picked = try connection.execute(
        Statements.pick,
        DeadLetterSQL.parameters(order.filter) {
          Self.add(order, to: &$0)
          $0.uuid(after)
          $0.int4(id)
        })
      let ids = try (0..<picked.rowCount).map { try picked.uuid($0, 0) }
      guard !ids.isEmpty else { return [] }
      var random = IDRandom()
      var editedIDs: [UUID?] = []
      for _ in ids { editedIDs.append(order.edit == nil ? nil : UUID.v7(at: now, using: &random)) }
      _ = try connection.execute(
        Statements.claim,
        PostgresParameters {
          $0.uuids(ids)
          $0.uuids(editedIDs)
          $0.int4(id)
        })
      return ids
    }
  }

  /// Replays that were cut off, or are under way, the oldest first.
  public func open() async throws -> [OpenReplay] {
    try await worker.perform { connection in
      let result = try connection.execute(Statements.open, PostgresParameters { $0.int4(Self.lockClass) })
      return try (0..<result.rowCount).map { row in
        OpenReplay(
          id: Int(try result.int32(row, 0)), actor: try result.text(row, 1),
          startedAt: Timestamp(microseconds: try result.timestamp(row, 2)),
          remaining: Int(try result.int64(row, 3)), edit: try result.jsonIfPresent(row, 4),
          rate: try result.doubleIfPresent(row, 5),
          why: try result.textIfPresent(row, 6), isUnderWay: try result.bool(row, 7))
      }
    }
  }

  /// Notes the end of a replay that has nothing left.
  public func finish(_ id: Int) async throws {
    try await worker.perform { connection in
      _ = try connection.execute(Statements.finish, PostgresParameters { $0.int4(Int32(clamping: id)) })
      _ = try connection.execute(Statements.unlock, Self.lockParameters(Int32(clamping: id)))
    }
  }

  /// Opens the letters again that a replay has taken and not done, and ends it.
  /// - Returns: how many there were.
  /// - Throws: `ReplayBusy` while a process is at it.
  public func giveBack(_ id: Int, why: String?) async throws -> Int {
    try await worker.perform { [actor] connection in
      guard try Self.lock(Int32(clamping: id), on: connection) else { throw ReplayBusy(id: id) }
      var count = 0
      while true {
        let page = try connection.execute(
          Statements.giveBack,
          PostgresParameters {
            $0.int4(Int32(clamping: id))
            $0.text(actor)
            $0.text(why)
          }
        ).affectedRows
        count += page
        if page < Self.batch { break }
      }
      _ = try connection.execute(Statements.finish, PostgresParameters { $0.int4(Int32(clamping: id)) })
      _ = try connection.execute(Statements.unlock, Self.lockParameters(Int32(clamping: id)))
      return count
    }
  }

  /// The letters of one replay, for the run that publishes them.
  public func store(_ id: Int, why: String?) -> ReplayClaim {
    ReplayClaim(worker: worker, id: Int32(clamping: id), actor: actor, why: why)
  }

  static func lock(_ id: Int32, on connection: PostgresConnection) throws(PostgresError) -> Bool {
    try connection.execute(Statements.lock, lockParameters(id)).bool(0, 0)
  }

  private static func lockParameters(_ id: Int32) -> PostgresParameters {
    PostgresParameters {
      $0.int4(lockClass)
      $0.int4(id)
    }
  }

  /// Letters a transaction: as many as are changed well within a statement's time.
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
    /// Letters that came after the start are left for another replay, so that this one has an end.
    static let pick = PostgresStatement(
      name: "pick_letters",
      """
      SELECT d.id FROM journey_dead_letters d
      WHERE \(DeadLetterSQL.filter) AND d.state <> 'replaying' AND \(fits) AND \(free) AND ($12::uuid IS NULL OR d.id > $12::uuid)
        AND d.received_at <= (SELECT started_at FROM journey_dead_letter_replays WHERE id = $13::int4)
      ORDER BY d.id LIMIT \(batch) FOR UPDATE SKIP LOCKED
      """)
    /// An edit whose outcome nobody knows keeps its message's id: under a second one it might count twice.
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

/// Another process runs this replay.
public struct ReplayBusy: Error, Hashable, Sendable, CustomStringConvertible {
  public var id: Int
  public var description: String { "replay \(id) is run by another process" }
}
