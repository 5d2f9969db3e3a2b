import FoundationEssentials
import Journey
import PostgresClient

/// The remaining pages of lists, kept for one hour for readers who page through them.
///
/// Only ids are kept, for the user who asked. The clients themselves are read again for each page, as the caller.
struct KeptLists: Sendable {
  /// Works as the adapter's role.
  let worker: PostgresWorker

  func keep(_ clients: [UUID], as id: UUID, for user: UUID) async throws {
    try await worker.perform { connection in
      let owner = PostgresParameters { $0.uuid(user) }
      let list = PostgresParameters {
        $0.uuid(id)
        $0.uuid(user)
        $0.uuids(clients)
      }
      let none = PostgresParameters()
      _ = try connection.pipeline([
        (.begin, none), (Self.insert, list), (Self.forgetOwn, owner), (Self.forgetOld, none), (.commit, none),
      ])
    }
  }

  /// - Returns: the requested part and the length of the list; nil if the list is not kept or belongs to another user.
  func part(of id: UUID, for user: UUID, offset: Int, limit: Int) async throws -> (clients: [UUID], count: Int)? {
    try await worker.perform { connection in
      let result = try connection.execute(
        Self.part,
        PostgresParameters {
          $0.uuid(id)
          $0.uuid(user)
          $0.int4(Int32(clamping: offset))
          $0.int4(Int32(clamping: limit))
        })
      guard result.rowCount > 0 else { return nil }
      return (try result.uuids(0, 0).compactMap(\.self), Int(try result.int32(0, 1)))
    }
  }

  private static let insert = PostgresStatement(
    name: "keep_list", "INSERT INTO journey_lists (id, user_id, client_ids) VALUES ($1::uuid, $2::uuid, $3::uuid[])")
  private static let forgetOwn = PostgresStatement(
    name: "forget_own_lists",
    """
    DELETE FROM journey_lists WHERE id IN (SELECT id FROM journey_lists WHERE user_id = $1::uuid ORDER BY made_at DESC, id DESC OFFSET 8)
    """)
  private static let forgetOld = PostgresStatement(
    name: "forget_old_lists",
    """
    DELETE FROM journey_lists WHERE id IN (
      SELECT id FROM journey_lists WHERE made_at < now() - interval '1 hour' ORDER BY made_at LIMIT 20 FOR UPDATE SKIP LOCKED)
    """)
  private static let part = PostgresStatement(
    name: "read_kept_list",
    """
    SELECT client_ids[$3::int4 + 1 : $3::int4 + $4::int4], cardinality(client_ids) FROM journey_lists
    WHERE id = $1::uuid AND user_id = $2::uuid AND made_at > now() - interval '1 hour'
    """)
}
