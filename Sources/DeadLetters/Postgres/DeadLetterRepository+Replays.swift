import PostgresClient

extension DeadLetterRepository {
  /// How many dead letters of each of these replays were published and came back. Of an edited one, its new message did.
  public func failedAgain(_ replays: [Int]) async throws -> [Int: Int] {
    try await worker.perform { connection in
      let result = try connection.execute(
        failedAgainStatement, [.int4s(replays.map { Int32(clamping: $0) })])
      var counts: [Int: Int] = [:]
      for row in 0..<result.rowCount { counts[Int(try result.int32(row, 0))] = Int(try result.int64(row, 1)) }
      return counts
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
