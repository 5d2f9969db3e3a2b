public import FoundationEssentials
public import Journey
public import PostgresClient

/// An id by which a source knows a client.
public struct Identity: Hashable, Sendable, Encodable {
  private enum CodingKeys: String, CodingKey {
    case source, externalID = "id", clientID = "clientId", name, email, createdAt = "since", via, eventID = "eventId"
  }

  public var source: String
  public var externalID: String
  public var clientID: UUID
  public var name: String?
  public var email: String?
  public var createdAt: Timestamp
  /// How the id was linked: `created`, `email`, `thing`, `merge` or `operator`; nil for rows older than this column.
  public var via: String?
  /// The source's id of the event that linked it.
  public var eventID: String?
}

/// The result of linking an id by hand.
public enum LinkOutcome: Hashable, Sendable {
  case added
  /// The id is already linked to this client.
  case known
  /// The id is linked to another client.
  case taken(by: UUID)
  /// The organisation has no such client.
  case unknownClient
  /// Several clients of the organisation share the address.
  case ambiguous(Int)
  /// The id or the source (`what`) is not valid in an event.
  case unusable(what: String, fault: String)
}

/// The operations on identities that `journey identity` offers.
public struct IdentityRepository: Sendable {
  let worker: PostgresWorker
  let actor: String

  /// - Parameter actor: who makes the changes, for the identity log.
  public init(worker: PostgresWorker, actor: String) {
    self.worker = worker
    self.actor = actor
  }

  /// The identities of an organisation, ordered by source and id.
  /// - Parameters:
  ///   - source: restricts the answer to this source.
  ///   - client: restricts the answer to this client.
  public func list(orgID: UUID, source: String?, client: UUID?, limit: Int) async throws -> [Identity] {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.list,
        PostgresParameters {
          $0.uuid(orgID)
          $0.text(source)
          $0.uuid(client)
          $0.int8(Int64(limit))
        })
      return try (0..<result.rowCount).map { row in
        Identity(
          source: try result.text(row, 0), externalID: try result.text(row, 1), clientID: try result.uuid(row, 2),
          name: try result.textIfPresent(row, 3), email: try result.textIfPresent(row, 4),
          createdAt: Timestamp(microseconds: try result.timestamp(row, 5)), via: try result.textIfPresent(row, 6),
          eventID: try result.textIfPresent(row, 7))
      }
    }
  }

  /// Links a source's id to a client. An id that is linked to another client is left unchanged.
  /// - Parameters:
  ///   - client: the client's id or its verified e-mail address.
  ///   - why: for the identity log.
  public func link(orgID: UUID, source: String, externalID: String, client: String, why: String?) async throws
    -> LinkOutcome
  {
    let limits = EventLimits(now: .startOf2000)
    for (what, text) in [("id", externalID), ("source", source)] {
      if let fault = limits.fault(of: text) { return .unusable(what: what, fault: fault) }
    }
    return try await worker.perform { [actor] connection in
      let found = try connection.execute(
        Statements.find,
        PostgresParameters {
          $0.uuid(orgID)
          $0.uuid(UUID(uuidString: client))
          $0.text(client)
        })
      guard found.rowCount > 0 else { return .unknownClient }
      guard found.rowCount == 1 else { return .ambiguous(found.rowCount) }
      let id = try found.uuid(0, 0), origin = try found.uuidIfPresent(0, 1)
      let added = try connection.execute(
        Statements.link,
        PostgresParameters {
          $0.uuid(orgID)
          $0.text(source)
          $0.text(externalID)
          $0.uuid(id)
          $0.text(actor)
          $0.text(why)
          $0.uuid(origin)
        })
      if added.rowCount == 1 { return .added }
      let holder = try connection.execute(
        Statements.holder,
        PostgresParameters {
          $0.uuid(orgID)
          $0.text(source)
          $0.text(externalID)
        })
      guard holder.rowCount == 1 else { return .unknownClient }
      let other = try holder.uuid(0, 0)
      return other == id ? .known : .taken(by: other)
    }
  }

  /// Merges client `from` into client `into`.
  /// - Returns: the client that remains, and whether the two had been merged before.
  /// - Throws: `PostgresError` with SQLSTATE 23503 if one of them is not a client of the organisation.
  public func merge(orgID: UUID, from: UUID, into: UUID, why: String?) async throws -> (remaining: UUID, wasOne: Bool) {
    try await worker.perform { [actor] connection in
      let before = try connection.execute(
        Statements.final,
        PostgresParameters {
          $0.uuid(from)
          $0.uuid(into)
        })
      let wasOne = try before.bool(0, 0)
      let result = try connection.execute(
        Statements.merge,
        PostgresParameters {
          $0.uuid(orgID)
          $0.uuid(from)
          $0.uuid(into)
          $0.text(actor)
          $0.text(why)
        })
      return (try result.uuid(0, 0), wasOne)
    }
  }

  private enum Statements {
    /// A client with all that became part of it, and all that it is part of.
    private static func tree(_ parameter: String) -> String {
      let root =
        "COALESCE((SELECT merged_into FROM journey_client_state WHERE client_id = \(parameter)), \(parameter)::uuid)"
      return "SELECT \(root) AS id UNION ALL SELECT client_id FROM journey_client_state WHERE merged_into = \(root)"
    }

    static let list = PostgresStatement(
      name: "list_identities",
      """
      SELECT d.source, d.external_id, d.client_id, c.name::text, c.email::text, d.created_at, d.via, d.event_id
      FROM journey_identities d JOIN contacts c ON c.id = d.client_id
      WHERE d.org_id = $1 AND ($2::text IS NULL OR d.source = $2) AND ($3::uuid IS NULL OR d.client_id = $3)
      ORDER BY d.source, d.external_id LIMIT $4
      """)
    static let find = PostgresStatement(
      name: "find_client",
      """
      SELECT COALESCE(s.merged_into, c.id),
        CASE WHEN bool_and(s.merged_into IS NOT NULL) THEN (array_agg(c.id ORDER BY c.id))[1] END
      FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
      WHERE c.org_id = $1 AND (c.id = $2 OR $2 IS NULL AND lower(c.email) = lower($3::text) AND \(VerifiedEmail.condition))
      GROUP BY 1
      """)
    static let link = PostgresStatement(
      name: "link_identity",
      """
      WITH new AS (
        INSERT INTO journey_identities (org_id, source, external_id, client_id, via, origin_id)
          VALUES ($1, $2, $3, $4, 'operator', $7)
        ON CONFLICT (org_id, source, external_id) DO NOTHING RETURNING org_id, source, external_id, client_id
      ), logged AS (
        INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, actor, why)
        SELECT org_id, 'linked', source, external_id, client_id, $5::text, $6::text FROM new
      )
      SELECT client_id FROM new
      """)
    static let holder = PostgresStatement(
      name: "identity_holder",
      "SELECT client_id FROM journey_identities WHERE org_id = $1 AND source = $2 AND external_id = $3")
    static let final = PostgresStatement(
      name: "final_clients",
      """
      SELECT COALESCE((SELECT merged_into FROM journey_client_state WHERE client_id = $1), $1::uuid)
        = COALESCE((SELECT merged_into FROM journey_client_state WHERE client_id = $2), $2::uuid)
      """)
    static let merge = PostgresStatement(
      name: "merge_clients",
      """
      WITH first AS MATERIALIZED (\(tree("$2"))), second AS MATERIALIZED (\(tree("$3"))), apart AS (
        DELETE FROM journey_kept_apart k USING first f, second s
        WHERE k.client_id = f.id AND k.other_id = s.id OR k.client_id = s.id AND k.other_id = f.id
      ), merged AS MATERIALIZED (SELECT journey_merge_clients($1, $2, $3) AS id), logged AS (
        INSERT INTO journey_identity_log (org_id, action, client_id, other_client_id, actor, why)
        SELECT $1::uuid, 'merged', id, $2::uuid, $4::text, $5::text FROM merged WHERE id <> $2::uuid
      )
      SELECT id FROM merged
      """)
  }
}
