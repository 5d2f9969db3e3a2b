public import FoundationEssentials
public import Journey
import PostgresClient

/// What a split moves, or would move, back to the client.
public struct SplitResult: Hashable, Sendable, Encodable {
  /// The client that is separate again.
  public var clientID: UUID
  /// The client whose part it was.
  public var remainingID: UUID
  /// The client into which it was merged, if that is another one: it has become part of `remainingID` since.
  public var mergedInto: UUID
  public var mergedAt: Timestamp
  public var events: Int
  public var scores: Int
  public var identities: Int
  public var invoices: Int
}

/// The outcome of undoing a merge.
public enum SplitOutcome: Hashable, Sendable {
  case split(SplitResult)
  /// The client is part of no other, and these clients were merged into it.
  case separate(parts: [UUID])
  /// The merge is older than the record of what moves with one: nothing says whose the earlier events are.
  case unrecorded(into: UUID, since: Timestamp)
  /// The organisation has no such client.
  case unknownClient
}

extension IdentityRepository {
  /// Undoes the merge of a client: what belonged to it, and what arrived under its ids since, is its own again.
  /// - Parameters:
  ///   - keepsApart: whether events may not merge the two again.
  ///   - allowsPart: whether to split a merge of which only the ids and later events are known.
  ///   - isRehearsal: rolls back.
  public func split(
    orgID: UUID, client: UUID, keepsApart: Bool, allowsPart: Bool, why: String, isRehearsal: Bool
  ) async throws -> SplitOutcome {
    try await worker.perform { [actor] connection in
      let named = PostgresParameters {
        $0.uuid(orgID)
        $0.uuid(client)
      }
      try connection.begin()
      do {
        let found = try connection.execute(SplitStatements.look, named)
        guard found.rowCount == 1 else {
          try connection.rollback()
          return .unknownClient
        }
        guard let into = try found.uuidIfPresent(0, 0), let mergedAt = try found.timestampIfPresent(0, 1) else {
          try connection.rollback()
          return .separate(parts: try found.uuids(0, 3).compactMap(\.self))
        }
        let since = Timestamp(microseconds: mergedAt)
        guard try found.boolIfPresent(0, 2) != false || allowsPart else {
          try connection.rollback()
          return .unrecorded(into: into, since: since)
        }
        let split = try connection.execute(
          SplitStatements.split,
          PostgresParameters {
            $0.uuid(orgID)
            $0.uuid(client)
            $0.bool(keepsApart)
            $0.text(actor)
            $0.text(why)
          })
        guard split.rowCount == 1 else {
          try connection.rollback()
          return .separate(parts: [])
        }
        let result = SplitResult(
          clientID: client, remainingID: try split.uuid(0, 0), mergedInto: try split.uuid(0, 1), mergedAt: since,
          events: Int(try split.int64(0, 2)), scores: Int(try split.int64(0, 3)),
          identities: Int(try split.int64(0, 4)), invoices: Int(try split.int64(0, 5)))
        if isRehearsal { try connection.rollback() } else { try connection.commit() }
        return .split(result)
      } catch {
        if connection.isUsable { try? connection.rollback() }
        throw error
      }
    }
  }
}

private enum SplitStatements {
  /// Into whom the client was merged, when, whether it is recorded what moved, and who was merged into it.
  static let look = PostgresStatement(
    name: "look_at_merge",
    """
    SELECT s.merged_into, CASE WHEN s.merged_into IS NOT NULL THEN COALESCE(m.merged_at, s.updated_at) END, m.is_recorded,
      ARRAY(SELECT p.client_id FROM journey_client_state p WHERE p.merged_into = c.id ORDER BY 1)
    FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id LEFT JOIN journey_merges m ON m.client_id = c.id
    WHERE c.org_id = $1 AND c.id = $2
    """)

  static let split = PostgresStatement(
    name: "split_client",
    """
    WITH split AS MATERIALIZED (SELECT * FROM journey_split_client($1, $2, $3)), logged AS (
      INSERT INTO journey_identity_log (org_id, action, client_id, other_client_id, actor, why)
      SELECT $1::uuid, 'split', was_in, $2::uuid, $4::text, $5::text FROM split
    )
    SELECT was_in, into_id, events, scores, identities, invoices FROM split
    """)
}
