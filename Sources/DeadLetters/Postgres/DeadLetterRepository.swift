public import FoundationEssentials
public import Journey
public import PostgresClient

/// An entry of a dead letter's history.
public struct DeadLetterLogEntry: Hashable, Sendable, Encodable {
  private enum CodingKeys: String, CodingKey { case at, action, actor, why, result, replayID = "replayId" }

  public var at: Timestamp
  public var action: String
  public var actor: String
  public var why: String?
  public var result: String?
  public var replayID: Int?
}

/// The archive for operators: reads, discards, exports and imports dead letters. Each change is logged with who and why.
public struct DeadLetterRepository: Sendable {
  let worker: PostgresWorker
  let actor: String

  /// - Parameter actor: who makes the changes, for the log.
  public init(worker: PostgresWorker, actor: String) {
    self.worker = worker
    self.actor = actor
  }

  public func statistics(_ filter: DeadLetterFilter) async throws -> DeadLetterStatistics {
    try await worker.perform { connection in
      var anyState = filter
      anyState.states = []
      let states = try connection.execute(Statements.states, DeadLetterSQL.parameters(anyState))
      let parameters = DeadLetterSQL.parameters(filter)
      let groups = try connection.pipeline(
        [Statements.codes, Statements.sources, Statements.types, Statements.ages].map { ($0, parameters) })
      var counts: [DeadLetterState: Int] = [:]
      for row in 0..<states.rowCount {
        if let state = DeadLetterState(rawValue: try states.text(row, 0)) {
          counts[state] = Int(try states.int64(row, 1))
        }
      }
      return DeadLetterStatistics(
        states: counts, codes: try Self.groups(groups[0]), sources: try Self.groups(groups[1]),
        types: try Self.groups(groups[2]),
        ages: try Self.groups(groups[3]))
    }
  }

  /// A page of dead letters, the newest first; empty after the last page.
  /// - Parameters:
  ///   - before: the last dead letter of the previous page.
  ///   - limit: the page's size at most; smaller if large bodies are read.
  ///   - withBodies: whether bodies are read, too.
  ///   - bodyBytes: of larger bodies only the beginning is read.
  public func list(_ filter: DeadLetterFilter, before: UUID? = nil, limit: Int, withBodies: Bool, bodyBytes: Int = .max)
    async throws -> [ArchivedDeadLetter]
  {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.list,
        DeadLetterSQL.parameters(filter, [.uuid(before), .int4(limit), .int4(withBodies ? bodyBytes : -1)]))
      return try (0..<result.rowCount).map { try DeadLetterSQL.deadLetter(result, $0) }
    }
  }

  public func count(_ filter: DeadLetterFilter) async throws -> Int {
    try await worker.perform { Int(try $0.execute(Statements.count, DeadLetterSQL.parameters(filter)).int64(0, 0)) }
  }

  /// How many dead letters are open: bounded, because metrics ask for it often.
  /// - Parameter limit: the most to be counted.
  public func countOpen(limit: Int) async throws -> Int {
    try await worker.perform { Int(try $0.execute(Statements.countOpen, [.int4(limit)]).int64(0, 0)) }
  }

  /// The states of dead letters; unknown ids are omitted.
  public func states(of deadLetters: [UUID]) async throws -> [UUID: DeadLetterState] {
    try await worker.perform { connection in
      let result = try connection.execute(Statements.statesOf, [.uuids(deadLetters)])
      return try (0..<result.rowCount).reduce(into: [:]) { states, row in
        states[try result.uuid(row, 0)] = DeadLetterState(rawValue: try result.text(row, 1))
      }
    }
  }

  /// The history of a dead letter, the oldest entry first.
  public func history(of deadLetter: UUID) async throws -> [DeadLetterLogEntry] {
    try await worker.perform { connection in
      let result = try connection.execute(Statements.history, [.uuid(deadLetter)])
      return try (0..<result.rowCount).map { row in
        DeadLetterLogEntry(
          at: Timestamp(microseconds: try result.timestamp(row, 0)), action: try result.text(row, 1),
          actor: try result.text(row, 2),
          why: try result.textIfPresent(row, 3), result: try result.textIfPresent(row, 4),
          replayID: try result.int32IfPresent(row, 5).map { Int($0) })
      }
    }
  }

  /// A part of an archived body; empty beyond its end. Large bodies are read in parts to limit memory.
  public func body(of deadLetter: UUID, from offset: Int, count: Int) async throws -> [UInt8] {
    try await worker.perform { connection in
      let result = try connection.execute(Statements.body, [.uuid(deadLetter), .int4(offset), .int4(count)])
      return result.rowCount == 0 ? [] : try result.bytes(0, 0)
    }
  }

  /// Discards open dead letters. They stay in the archive.
  /// - Returns: how many there were.
  public func discard(_ filter: DeadLetterFilter, why: String) async throws -> Int {
    var filter = filter
    filter.states = [.new]
    return try await worker.perform { [filter, actor] connection in
      let parameters = DeadLetterSQL.parameters(filter, [.text(actor), .text(why)])
      return try connection.execute(Statements.discard, parameters, inBatchesOf: Self.batch)
    }
  }

  /// Imports dead letters of another archive. Those that are archived already stay as they are.
  /// - Returns: how many were new.
  public func insert(_ deadLetters: [ArchivedDeadLetter]) async throws -> Int {
    let rows = deadLetters.map { deadLetter in
      DeadLetterRow(
        id: deadLetter.id, fingerprint: DeadLetterRows.fingerprint(deadLetter.deadLetter.message),
        deadLetter: deadLetter.deadLetter,
        // A claim in the other archive does not count here.
        state: deadLetter.state == .replaying ? .new : deadLetter.state, sameFailures: deadLetter.sameFailures,
        settledAt: deadLetter.settledAt)
    }.sorted { $0.fingerprint.lexicographicallyPrecedes($1.fingerprint) }
    guard !rows.isEmpty else { return 0 }
    return try await worker.perform { [actor] connection in
      try connection.transaction {
        let inserted = try connection.execute(PostgresDeadLetterArchive.insert, DeadLetterRow.parameters(rows))
        let ids = try (0..<inserted.rowCount).map { try inserted.uuid($0, 0) }
        try connection.execute(
          Statements.log, [.uuids(ids), .text("imported"), .text(actor), .text(nil), .text(nil)])
        return ids.count
      }
    }
  }

  /// Logs an export.
  public func recordExport(_ count: Int, why: String?) async throws {
    try await worker.perform { [actor] connection in
      _ = try connection.execute(
        Statements.log,
        [.uuids([nil]), .text("exported"), .text(actor), .text(why), .text(count.of("dead letter"))])
    }
  }

  private static let batch = 2000

  private static func groups(_ result: PostgresResult) throws(PostgresError) -> [DeadLetterStatistics.Group] {
    try (0..<result.rowCount).map { row throws(PostgresError) in
      DeadLetterStatistics.Group(
        name: try result.text(row, 0), count: Int(try result.int64(row, 1)),
        oldest: Timestamp(microseconds: try result.timestamp(row, 2)),
        newest: Timestamp(microseconds: try result.timestamp(row, 3)))
    }
  }

  private enum Statements {
    static let states = PostgresStatement(
      name: "letter_states",
      "SELECT d.state, count(*) FROM journey_dead_letters d WHERE \(DeadLetterSQL.filter) GROUP BY 1"
    )
    static let statesOf = PostgresStatement(
      name: "states_of_letters", "SELECT id, state FROM journey_dead_letters WHERE id = ANY($1::uuid[])")
    static let codes = groups("letter_codes", by: "d.code")
    static let sources = groups("letter_sources", by: "COALESCE(d.source, '(unknown)')")
    static let types = groups("letter_types", by: "COALESCE(d.type, '(unknown)')")
    static let ages = PostgresStatement(
      name: "letter_ages",
      """
      SELECT CASE a.bucket WHEN 0 THEN 'under an hour' WHEN 1 THEN 'under a day' WHEN 2 THEN 'under a week' ELSE 'a week and more' END,
        count(*), min(a.failed_at), max(a.failed_at)
      FROM (
        SELECT d.failed_at, CASE WHEN d.failed_at > now() - interval '1 hour' THEN 0 WHEN d.failed_at > now() - interval '1 day' THEN 1
          WHEN d.failed_at > now() - interval '7 days' THEN 2 ELSE 3 END AS bucket
        FROM journey_dead_letters d WHERE \(DeadLetterSQL.filter)
      ) a
      GROUP BY a.bucket ORDER BY a.bucket
      """)
    static let count = PostgresStatement(
      name: "count_letters", "SELECT count(*) FROM journey_dead_letters d WHERE \(DeadLetterSQL.filter)")
    static let countOpen = PostgresStatement(
      name: "count_open_letters",
      "SELECT count(*) FROM (SELECT FROM journey_dead_letters WHERE state = 'new' LIMIT $1::int4) AS open")
    static let list = PostgresStatement(
      name: "list_letters",
      """
      SELECT \(DeadLetterSQL.columns), CASE WHEN $12::int4 < 0 THEN ''::bytea ELSE substr(d.body, 1, $12::int4) END
      FROM journey_dead_letters d JOIN (
        SELECT id, sum(LEAST(body_size, $12::int4)) OVER (ORDER BY id DESC) - LEAST(body_size, $12::int4) AS bytes_before FROM (
          SELECT d.id, d.body_size FROM journey_dead_letters d
          WHERE \(DeadLetterSQL.filter) AND ($10::uuid IS NULL OR d.id < $10::uuid)
          ORDER BY d.id DESC LIMIT $11::int4
        ) next
      ) page ON page.id = d.id
      WHERE $12::int4 < 0 OR page.bytes_before < \(DeadLetterSQL.pageBytes)
      ORDER BY d.id DESC
      """)
    static let history = PostgresStatement(
      name: "letter_history",
      "SELECT at, action, actor, why, result, replay_id FROM journey_dead_letter_log WHERE letter_id = $1::uuid ORDER BY id"
    )
    static let discard = PostgresStatement(
      name: "discard_letters",
      """
      WITH picked AS (
        SELECT d.id FROM journey_dead_letters d WHERE \(DeadLetterSQL.filter) ORDER BY d.id LIMIT \(batch) FOR UPDATE
      ), discarded AS (
        UPDATE journey_dead_letters d SET state = 'discarded', settled_at = now() FROM picked WHERE d.id = picked.id RETURNING d.id
      )
      INSERT INTO journey_dead_letter_log (letter_id, action, actor, why) SELECT id, 'discarded', $10::text, $11::text FROM discarded
      """)
    static let body = PostgresStatement(
      name: "letter_body", "SELECT substr(body, $2::int4 + 1, $3::int4) FROM journey_dead_letters WHERE id = $1::uuid")
    static let log = PostgresStatement(
      name: "log_letters",
      """
      INSERT INTO journey_dead_letter_log (letter_id, action, actor, why, result)
      SELECT id, $2::text, $3::text, $4::text, $5::text FROM unnest($1::uuid[]) AS i(id)
      """)

    private static func groups(_ name: String, by expression: String) -> PostgresStatement {
      PostgresStatement(
        name: name,
        """
        SELECT \(expression), count(*), min(d.failed_at), max(d.failed_at)
        FROM journey_dead_letters d WHERE \(DeadLetterSQL.filter)
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50
        """)
    }
  }
}

extension DeadLetterRepository {
  /// How many dead letters of each of these replays were published and came back. Of an edited one, its new message did.
  public func failedAgain(_ replays: [Int]) async throws -> [Int: Int] {
    try await worker.perform { connection in
      let result = try connection.execute(failedAgainStatement, [.int4s(replays.map { Int32(clamping: $0) })])
      return try (0..<result.rowCount).reduce(into: [:]) { counts, row in
        counts[Int(try result.int32(row, 0))] = Int(try result.int64(row, 1))
      }
    }
  }
}

private let failedAgainStatement = PostgresStatement(
  name: "failed_again",
  """
  SELECT l.replay_id, count(DISTINCT l.letter_id) FROM journey_dead_letter_log l
  WHERE l.replay_id = ANY($1::int4[]) AND (l.action = 'failed_again' OR l.action = 'edited' AND EXISTS (
    SELECT FROM journey_dead_letters d WHERE d.caused_by = l.letter_id AND l.result = 'confirmed as ' || d.message_id))
  GROUP BY l.replay_id
  """)
