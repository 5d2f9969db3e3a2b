import JourneyPostgres
import Crypto
import FoundationEssentials
public import Journey
public import PostgresClient

/// The archive of dead letters in PostgreSQL.
public struct PostgresDeadLetterArchive: DeadLetterArchive {
  private let worker: PostgresWorker
  private let clock: any WallClock

  public init(worker: PostgresWorker, clock: any WallClock) {
    self.worker = worker
    self.clock = clock
  }

  public func store(_ deadLetters: [DeadLetter]) async throws(StoreError) -> StoredDeadLetters {
    let now = clock.now()
    return try await withStoreErrors {
      try await worker.perform { connection in
        let rows = DeadLetterRows.distinct(
          deadLetters, at: now, archivedAs: try Self.fingerprints(of: deadLetters, on: connection))
        var stored = try Self.store(rows, on: connection)
        stored.known += deadLetters.count - rows.count
        return stored
      }
    }
  }

  /// The fingerprints of replayed dead letters in the archive. A message that comes back may have another: the archive
  /// may have kept less of it than was first published (`deadLetters.redactHeaders`).
  private static func fingerprints(
    of deadLetters: [DeadLetter], on connection: PostgresConnection
  ) throws(PostgresError) -> [UUID: [UInt8]] {
    let ids = deadLetters.compactMap(\.replayOf)
    guard !ids.isEmpty else { return [:] }
    let result = try connection.execute(archived, [.uuids(ids)])
    var found: [UUID: [UInt8]] = [:]
    for row in 0..<result.rowCount { found[try result.uuid(row, 0)] = try result.bytes(row, 1) }
    return found
  }

  private static func store(_ rows: [DeadLetterRow], on connection: PostgresConnection) throws(PostgresError)
    -> StoredDeadLetters
  {
    guard !rows.isEmpty else { return StoredDeadLetters() }
    let answers = try connection.pipeline([
      (.begin, []), (insert, DeadLetterRow.parameters(rows)),
      (lock, lockParameters(rows)), (reopen, reopenParameters(rows)),
      (.commit, []),
    ])
    let new = answers[1].rowCount, reopened = answers[3].rowCount
    return StoredDeadLetters(new: new, reopened: reopened, known: rows.count - new - reopened)
  }

  private static func lockParameters(_ rows: [DeadLetterRow]) -> PostgresParameters {
    PostgresParameters {
      $0.byteas(rows) { $0.fingerprint }
      $0.uuids(rows.compactMap(\.deadLetter.causedBy))
    }
  }

  private static func reopenParameters(_ rows: [DeadLetterRow]) -> PostgresParameters {
    PostgresParameters {
      $0.byteas(rows) { $0.fingerprint }
      $0.texts(rows) { $0.deadLetter.code }
      $0.texts(rows) { $0.deadLetter.reason }
      $0.texts(rows) { $0.deadLetter.field }
      $0.texts(rows) { $0.deadLetter.value }
      $0.int4s(rows) { Int32(clamping: $0.deadLetter.attempts) }
      $0.timestamptzs(rows) { $0.deadLetter.failedAt.microseconds }
      $0.int4s(rows) { Int32(clamping: $0.deadLetter.replayCount) }
      $0.uuids(rows) { $0.deadLetter.causedBy }
      $0.texts(rows) { $0.deadLetter.message.messageID }
      $0.text(DeadLetterSQL.serve)
    }
  }

  private static let archived = PostgresStatement(
    name: "archived_letters", "SELECT id, fingerprint FROM journey_dead_letters WHERE id = ANY($1::uuid[])")

  static let insert = PostgresStatement(
    name: "archive_letters",
    """
    INSERT INTO journey_dead_letters
      (id, fingerprint, org_id, source, type, code, reason, field, value, exchange, routing_key, message_id, content_type, properties,
       headers, body, body_size, attempts, first_failed_at, failed_at, replay_count, caused_by, state, same_failures, settled_at, body_sha256, redacted_headers)
    SELECT * FROM unnest(
      $1::uuid[], $2::bytea[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
      $12::text[], $13::text[], $14::jsonb[], $15::jsonb[], $16::bytea[], $17::int8[], $18::int4[], $19::timestamptz[], $20::timestamptz[],
      $21::int4[], $22::uuid[], $23::text[], $24::int4[], $25::timestamptz[], $26::bytea[], $27::jsonb[])
    ON CONFLICT DO NOTHING
    RETURNING id
    """)

  /// By id, the order in which a running replay locks the same dead letters to record outcomes.
  private static let lock = PostgresStatement(
    name: "lock_letters_met",
    "SELECT FROM journey_dead_letters WHERE fingerprint = ANY($1::bytea[]) OR id = ANY($2::uuid[]) ORDER BY id FOR UPDATE"
  )

  /// A dead letter whose message came back is open again; another copy of the same failure changes nothing.
  ///
  /// The message came back if it carries the count of the replay that claimed the dead letter. Its time does not matter:
  /// the clocks of hosts differ, and the broker's has whole seconds. Or if it failed after the dead letter was settled:
  /// the source has sent it again.
  ///
  /// A message that came back was published, even if its replay has not recorded that: it was killed, or has not yet got
  /// to it. The log entry of the replay is added here then (`went`), and the replay adds none.
  private static let reopen = PostgresStatement(
    name: "reopen_letters",
    """
    WITH i AS (
      SELECT * FROM unnest(
          $1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int4[], $7::timestamptz[], $8::int4[], $9::uuid[], $10::text[])
        AS i(fingerprint, code, reason, field, value, attempts, failed_at, replay_count, caused_by, message_id)
    ), published AS (
      SELECT d.id, d.replay_id, d.replay_count, i.replay_count AS count, 'replayed' AS action, 'confirmed' AS result
      FROM i JOIN journey_dead_letters d ON d.fingerprint = i.fingerprint
      WHERE i.replay_count BETWEEN 1 AND d.replay_count
      UNION ALL
      SELECT d.id, d.replay_id, d.replay_count, i.replay_count, 'edited', 'confirmed as ' || i.message_id
      FROM i JOIN journey_dead_letters d ON d.id = i.caused_by AND d.edited_id::text = i.message_id
      WHERE i.replay_count BETWEEN 1 AND d.replay_count
    ), went AS (
      SELECT DISTINCT p.id, r.id AS replay_id, p.action, r.actor, r.why, p.result
      FROM published p
      -- The replay that a count stands for: each replay that has claimed the dead letter, except the last, has a row.
      CROSS JOIN LATERAL (
        SELECT n.replay_id FROM (
          SELECT l.replay_id FROM journey_dead_letter_log l WHERE l.letter_id = p.id AND l.replay_id IS NOT NULL
          UNION SELECT p.replay_id WHERE p.replay_id IS NOT NULL
        ) n ORDER BY n.replay_id DESC OFFSET p.replay_count - p.count LIMIT 1
      ) n
      JOIN journey_dead_letter_replays r ON r.id = n.replay_id
      WHERE NOT EXISTS (
        SELECT FROM journey_dead_letter_log l
        WHERE l.letter_id = p.id AND l.replay_id = r.id AND l.action IN ('replayed', 'edited', 'failed_again'))
    ), reopened AS (
      UPDATE journey_dead_letters d SET
        state = 'new', settled_at = NULL, edited_id = NULL, code = i.code, reason = i.reason, field = i.field, value = i.value,
        attempts = i.attempts, failed_at = i.failed_at,
        same_failures = CASE WHEN d.code = i.code AND d.field IS NOT DISTINCT FROM i.field THEN d.same_failures + 1 ELSE 1 END
      FROM i
      WHERE d.fingerprint = i.fingerprint
        AND (d.state IN ('replaying', 'replayed') AND d.replay_count > 0 AND i.replay_count = d.replay_count
          OR d.state IN ('replayed', 'discarded') AND i.failed_at > d.failed_at
          -- A replay that an instance of 0.2.0 runs: its count is not reliable, so the time decides.
          OR d.state = 'replaying' AND i.replay_count = 0
            AND i.failed_at > (SELECT r.started_at FROM journey_dead_letter_replays r WHERE r.id = d.replay_id)
          -- Given back although it was published.
          OR d.state = 'new' AND i.replay_count = d.replay_count
            AND EXISTS (SELECT FROM went w WHERE w.id = d.id AND w.replay_id = d.replay_id AND w.action = 'replayed'))
      RETURNING d.id, d.replay_id, d.code
    ), logged AS (
      INSERT INTO journey_dead_letter_log (letter_id, replay_id, action, actor, why, result)
      SELECT id, replay_id, action, actor, why, result FROM (
        SELECT id, replay_id, action, actor, why, result, 1 AS turn FROM went
        UNION ALL SELECT id, replay_id, 'failed_again', $11::text, NULL, code, 2 FROM reopened
      ) rows ORDER BY id, turn
    )
    SELECT id FROM reopened
    """)
}

/// A dead letter as a row to insert.
struct DeadLetterRow: Sendable {
  var id: UUID
  var fingerprint: [UInt8]
  var deadLetter: DeadLetter
  var state = DeadLetterState.new
  var sameFailures = 1
  var settledAt: Timestamp?

  static func parameters(_ rows: [DeadLetterRow]) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(rows) { $0.id }
      $0.byteas(rows) { $0.fingerprint }
      $0.uuids(rows) { $0.deadLetter.orgID }
      $0.texts(rows) { $0.deadLetter.source }
      $0.texts(rows) { $0.deadLetter.type }
      $0.texts(rows) { $0.deadLetter.code }
      $0.texts(rows) { $0.deadLetter.reason }
      $0.texts(rows) { $0.deadLetter.field }
      $0.texts(rows) { $0.deadLetter.value }
      $0.texts(rows) { $0.deadLetter.message.exchange }
      $0.texts(rows) { $0.deadLetter.message.routingKey }
      $0.texts(rows) { $0.deadLetter.message.messageID }
      $0.texts(rows) { $0.deadLetter.message.contentType }
      $0.jsonbs(rows) { $0.deadLetter.message.properties }
      $0.jsonbs(rows) { $0.deadLetter.message.headers }
      $0.byteas(rows) { $0.deadLetter.message.body }
      $0.int8s(rows) { Int64($0.deadLetter.message.bodySize) }
      $0.int4s(rows) { Int32(clamping: $0.deadLetter.attempts) }
      $0.timestamptzs(rows) { $0.deadLetter.firstFailedAt.microseconds }
      $0.timestamptzs(rows) { $0.deadLetter.failedAt.microseconds }
      $0.int4s(rows) { Int32(clamping: $0.deadLetter.replayCount) }
      $0.uuids(rows) { $0.deadLetter.causedBy }
      $0.texts(rows) { $0.state.rawValue }
      $0.int4s(rows) { Int32(clamping: $0.sameFailures) }
      $0.timestamptzs(rows) { $0.settledAt?.microseconds }
      $0.byteas(rows) { $0.deadLetter.message.bodyDigest }
      $0.jsonbs(rows) { DeadLetterSQL.json($0.deadLetter.message.redactedHeaders) }
    }
  }
}

enum DeadLetterRows {
  /// One row per message, in an order that all instances share, so that two instances with the same dead letters do not
  /// deadlock. Of several copies, the failure after the latest replay counts, then the latest failure.
  ///
  /// - Parameter archivedAs: the fingerprints of archived dead letters, for messages that name theirs.
  static func distinct(_ deadLetters: [DeadLetter], at now: Timestamp, archivedAs known: [UUID: [UInt8]] = [:])
    -> [DeadLetterRow]
  {
    var random = IDRandom()
    var rows: [[UInt8]: DeadLetterRow] = [:]
    for deadLetter in deadLetters {
      let print = deadLetter.replayOf.flatMap { known[$0] } ?? fingerprint(deadLetter.message)
      if let known = rows[print]?.deadLetter,
        (known.replayCount, known.failedAt) >= (deadLetter.replayCount, deadLetter.failedAt)
      {
        continue
      }
      rows[print] = DeadLetterRow(
        id: rows[print]?.id ?? UUID.v7(at: now, using: &random), fingerprint: print, deadLetter: deadLetter)
    }
    return rows.values.sorted { $0.fingerprint.lexicographicallyPrecedes($1.fingerprint) }
  }

  /// Identifies a message by everything that its publisher gave it, except credentials: a webhook that is sent again may
  /// have another signature, and a replayed message has none.
  static func fingerprint(_ message: OriginalMessage) -> [UInt8] {
    var hash = SHA256()
    let parts = [
      Array(message.exchange.utf8), Array(message.routingKey.utf8), message.properties, message.headers, message.body,
    ]
    for part in parts + (message.bodyDigest.map { [$0] } ?? []) {
      // With lengths, ("ab", "c") differs from ("a", "bc").
      withUnsafeBytes(of: UInt64(part.count).bigEndian) { hash.update(bufferPointer: $0) }
      hash.update(data: part)
    }
    return Array(hash.finalize())
  }
}
