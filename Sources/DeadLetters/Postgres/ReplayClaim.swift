import JourneyPostgres
public import FoundationEssentials
public import Journey
import PostgresClient
import Synchronization

/// The dead letters that one replay has claimed.
public final class ReplayClaim: ReplayStore {
  private let worker: PostgresWorker
  private let id: Int32
  private let actor: String
  private let why: String?
  /// The session that holds the replay's lock. A new session has to acquire it again.
  private let holder = Mutex<Int32?>(nil)

  init(worker: PostgresWorker, id: Int32, actor: String, why: String?) {
    self.worker = worker
    self.id = id
    self.actor = actor
    self.why = why
  }

  public func claimed(after deadLetter: UUID?, limit: Int) async throws(StoreError) -> [ReplayItem] {
    try await perform { [self] connection in
      try hold(connection)
      let result = try connection.execute(Statements.claimed, [.int4(id), .uuid(deadLetter), .int4(limit)])
      if result.rowCount > 0 {
        let last = try result.uuid(result.rowCount - 1, 0)
        // Before they are published, so that a later give-back knows that they may have been published.
        try connection.execute(Statements.mark, [.int4(id), .uuid(last)])
      }
      return try (0..<result.rowCount).map { row in
        let deadLetter = try DeadLetterSQL.deadLetter(result, row, body: DeadLetterSQL.columnCount)
        return ReplayItem(
          deadLetterID: deadLetter.id, message: deadLetter.deadLetter.message,
          replayCount: deadLetter.deadLetter.replayCount,
          editedID: try result.uuidIfPresent(row, DeadLetterSQL.columnCount + 1),
          causedBy: deadLetter.deadLetter.causedBy)
      }
    }
  }

  public func record(_ outcomes: [(UUID, ReplayOutcome)]) async throws(StoreError) {
    var confirmed: [UUID] = []
    var failed: [(id: UUID, why: String)] = []
    for (id, outcome) in outcomes {
      switch outcome {
      case .confirmed: confirmed.append(id)
      case .failed(let why): failed.append((id, why))
      case .unknown: break
      }
    }
    guard !confirmed.isEmpty || !failed.isEmpty else { return }
    try await perform { [confirmed, failed, id, actor, why] connection in
      _ = try connection.pipeline([
        (.begin, []),
        (Statements.lock, [.uuids(confirmed + failed.map(\.id))]),
        (Statements.confirmed, [.uuids(confirmed), .int4(id), .text(actor), .text(why)]),
        (
          Statements.failed,
          [.uuids(failed.map(\.id)), .int4(id), .texts(failed.map(\.why)), .text(actor), .text(why)]
        ),
        (.commit, []),
      ])
    }
  }

  private func perform<Value: Sendable>(
    _ body: @escaping @Sendable (PostgresConnection) throws -> Value
  ) async throws(StoreError) -> Value {
    try await withStoreErrors { try await worker.perform(body) }
  }

  /// Makes sure that this session holds the replay's lock.
  private func hold(_ connection: PostgresConnection) throws {
    let session = connection.backendPID
    if holder.withLock({ $0 == session }) { return }
    guard try ReplayRepository.lock(id, on: connection) else {
      throw StoreError(.permanent, "\(ReplayBusy(id: Int(id)))")
    }
    holder.withLock { $0 = session }
  }

  private enum Statements {
    static let claimed = PostgresStatement(
      name: "taken_letters",
      """
      SELECT \(DeadLetterSQL.columns), d.body, d.edited_id FROM journey_dead_letters d JOIN (
        SELECT id, sum(body_size) OVER (ORDER BY id) - body_size AS bytes_before FROM (
          SELECT id, body_size FROM journey_dead_letters
          WHERE state = 'replaying' AND replay_id = $1::int4 AND id > COALESCE($2::uuid, '00000000-0000-0000-0000-000000000000')
          ORDER BY id LIMIT $3::int4
        ) next
      ) page ON page.id = d.id
      WHERE page.bytes_before < \(DeadLetterSQL.pageBytes)
      ORDER BY d.id
      """)
    static let mark = PostgresStatement(
      name: "mark_published",
      """
      UPDATE journey_dead_letter_replays SET published_to = $2::uuid
      WHERE id = $1::int4 AND (published_to IS NULL OR published_to < $2::uuid)
      """)
    /// By id, the order in which the archive locks dead letters that come back while this replay runs.
    static let lock = PostgresStatement(
      name: "lock_letters", "SELECT FROM journey_dead_letters WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE")
    /// Of the locked dead letters $1, those that the replay $2 has claimed. `OFFSET 0` makes the planner look them up by
    /// id: its statistics are older than the claim and say that none is `replaying`.
    private static let mine = """
      SELECT id FROM (SELECT id, replay_id, state FROM journey_dead_letters WHERE id = ANY($1::uuid[]) OFFSET 0) AS d
      WHERE replay_id = $2::int4 AND state = 'replaying'
      """
    /// Logs each dead letter once, also when the outcome is recorded again after a lost answer. A dead letter that has
    /// failed again in the meantime stays open; the archive has logged that.
    static let confirmed = PostgresStatement(
      name: "letters_confirmed",
      """
      WITH mine AS MATERIALIZED (\(mine)), done AS (
        UPDATE journey_dead_letters d SET state = 'replayed', settled_at = now() FROM mine WHERE d.id = mine.id
      )
      INSERT INTO journey_dead_letter_log (letter_id, replay_id, action, actor, why, result)
      SELECT d.id, $2::int4, CASE WHEN d.edited_id IS NULL THEN 'replayed' ELSE 'edited' END, $3::text, $4::text,
        'confirmed' || COALESCE(' as ' || d.edited_id::text, '')
      FROM journey_dead_letters d
      WHERE d.id = ANY($1::uuid[]) AND NOT EXISTS (
        SELECT FROM journey_dead_letter_log l WHERE l.letter_id = d.id AND l.replay_id = $2::int4 AND l.action IN ('replayed', 'edited'))
      """)
    static let failed = PostgresStatement(
      name: "letters_failed",
      """
      WITH mine AS MATERIALIZED (\(mine)), done AS (
        UPDATE journey_dead_letters d SET state = 'new', edited_id = NULL FROM mine WHERE d.id = mine.id
      )
      INSERT INTO journey_dead_letter_log (letter_id, replay_id, action, actor, why, result)
      SELECT i.id, $2::int4, 'replay_failed', $4::text, $5::text, i.result FROM unnest($1::uuid[], $3::text[]) AS i(id, result)
      WHERE NOT EXISTS (
        SELECT FROM journey_dead_letter_log l WHERE l.letter_id = i.id AND l.replay_id = $2::int4 AND l.action = 'replay_failed')
      """)
  }
}
