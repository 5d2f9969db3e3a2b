public import FoundationEssentials
public import Journey
import PostgresClient

/// An entry of the identity log.
public struct IdentityLogEntry: Hashable, Sendable, Encodable {
  private enum CodingKeys: String, CodingKey {
    case at, action, source, externalID = "id", clientID = "clientId", otherClientID = "otherClientId"
    case eventID = "eventId", actor, why
  }

  public var at: Timestamp
  /// `linked`, `unlinked`, `merged`, `split`, `owner_set`, `owner_cleared` or `discarded`.
  public var action: String
  public var source: String?
  public var externalID: String?
  /// nil if an event that was kept for a group was discarded.
  public var clientID: UUID?
  /// For a merge: the client that was merged into `clientID`. For a split: the client that is separate again. For an
  /// owner of a group: the owner before.
  public var otherClientID: UUID?
  /// The source's id of the event that caused the change.
  public var eventID: String?
  public var actor: String
  public var why: String?
}

extension IdentityRepository {
  /// Removes an id from its client, and logs the removal with how the id had been linked. Events that arrived under the
  /// id stay with the client.
  /// - Parameter isRehearsal: changes nothing.
  /// - Returns: the identity that was removed, or would be; nil if the id is not linked to a client.
  public func unlink(orgID: UUID, source: String, externalID: String, why: String, isRehearsal: Bool) async throws
    -> Identity?
  {
    try await worker.perform { [actor] connection in
      let found = try connection.execute(
        isRehearsal ? Statements.look : Statements.unlink,
        PostgresParameters {
          $0.uuid(orgID)
          $0.text(source)
          $0.text(externalID)
          if !isRehearsal {
            $0.text(actor)
            $0.text(why)
          }
        })
      guard found.rowCount == 1 else { return nil }
      return Identity(
        source: source, externalID: externalID, clientID: try found.uuid(0, 0), name: try found.textIfPresent(0, 1),
        email: try found.textIfPresent(0, 2),
        createdAt: Timestamp(microseconds: try found.timestamp(0, 3)), via: try found.textIfPresent(0, 4),
        eventID: try found.textIfPresent(0, 5))
    }
  }

  /// The identity log of an organisation, newest entry first.
  /// - Parameter client: restricts the answer to this client.
  public func history(orgID: UUID, client: UUID?, limit: Int) async throws -> [IdentityLogEntry] {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.history,
        PostgresParameters {
          $0.uuid(orgID)
          $0.uuid(client)
          $0.int8(Int64(limit))
        })
      return try (0..<result.rowCount).map { row in
        IdentityLogEntry(
          at: Timestamp(microseconds: try result.timestamp(row, 0)), action: try result.text(row, 1),
          source: try result.textIfPresent(row, 2),
          externalID: try result.textIfPresent(row, 3), clientID: try result.uuidIfPresent(row, 4),
          otherClientID: try result.uuidIfPresent(row, 5),
          eventID: try result.textIfPresent(row, 6), actor: try result.text(row, 7),
          why: try result.textIfPresent(row, 8))
      }
    }
  }

  private enum Statements {
    private static let columns = "d.client_id, c.name::text, c.email::text, d.created_at, d.via, d.event_id"

    static let look = PostgresStatement(
      name: "look_at_identity",
      """
      SELECT \(columns) FROM journey_identities d LEFT JOIN contacts c ON c.id = d.client_id
      WHERE d.org_id = $1 AND d.source = $2 AND d.external_id = $3
      """)
    static let unlink = PostgresStatement(
      name: "unlink_identity",
      """
      WITH d AS (
        DELETE FROM journey_identities WHERE org_id = $1 AND source = $2 AND external_id = $3 RETURNING *
      ), logged AS (
        INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, event_id, actor, why)
        SELECT org_id, 'unlinked', source, external_id, client_id, event_id, $4::text, $5::text FROM d
      )
      SELECT \(columns) FROM d LEFT JOIN contacts c ON c.id = d.client_id
      """)
    static let history = PostgresStatement(
      name: "identity_history",
      """
      SELECT at, action, source, external_id, client_id, other_client_id, event_id, actor, why FROM journey_identity_log
      WHERE org_id = $1 AND ($2::uuid IS NULL OR client_id = $2 OR other_client_id = $2) ORDER BY id DESC LIMIT $3
      """)
  }
}
