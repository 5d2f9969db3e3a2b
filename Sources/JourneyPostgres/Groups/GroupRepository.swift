public import FoundationEssentials
public import Journey
public import PostgresClient

/// A company, account, household or mailbox that clients belong to.
public struct ClientGroup: Hashable, Sendable, Encodable {
  private enum CodingKeys: String, CodingKey {
    case source, groupID = "group", ownerID = "ownerId", ownerName, members, kept, createdAt = "since"
  }

  public var source: String
  public var groupID: String
  public var ownerID: UUID?
  public var ownerName: String?
  /// How many clients belong to it; merged ones count as one.
  public var members: Int
  /// How many events are kept for it.
  public var kept: Int
  public var createdAt: Timestamp
}

/// A member of a group.
public struct GroupMember: Hashable, Sendable, Encodable {
  private enum CodingKeys: String, CodingKey {
    case clientID = "clientId", mergedInto, name, email, since
  }

  public var clientID: UUID
  /// The client whose part it is.
  public var mergedInto: UUID?
  public var name: String?
  public var email: String?
  public var since: Timestamp
}

/// An event that is kept for a group.
public struct KeptEvent: Hashable, Sendable, Encodable {
  private enum CodingKeys: String, CodingKey {
    case id, type, stage, occurredAt, keptAt, failedAt
  }

  public var id: String
  public var type: String
  public var stage: String?
  public var occurredAt: Timestamp
  public var keptAt: Timestamp
  /// When the database last refused to store it for its client.
  public var failedAt: Timestamp?
}

/// The outcome of changing a group's owner.
public enum OwnerOutcome: Hashable, Sendable {
  /// With the owner before and after, and the number of events that are kept for the group.
  case changed(from: UUID?, to: UUID?, kept: Int)
  case same(UUID?, kept: Int)
  case unknownClient
  /// Several clients of the organisation share the address.
  case ambiguous(Int)
  case unknownGroup
  case unusable(what: String, fault: String)
}

/// The operations on groups that `journey identity group` offers.
public struct GroupRepository: Sendable {
  let worker: PostgresWorker
  let actor: String

  /// - Parameter actor: who makes the changes, for the identity log.
  public init(worker: PostgresWorker, actor: String) {
    self.worker = worker
    self.actor = actor
  }

  /// The groups of an organisation, ordered by source and id.
  /// - Parameters:
  ///   - source, group: restrict the answer.
  ///   - onlyKept: only groups for which events are kept.
  public func list(orgID: UUID, source: String?, group: String? = nil, onlyKept: Bool, limit: Int) async throws
    -> [ClientGroup]
  {
    try await worker.perform { connection in
      let result = try connection.execute(
        Statements.list,
        PostgresParameters {
          $0.uuid(orgID)
          $0.text(source)
          $0.text(group)
          $0.bool(onlyKept)
          $0.int8(Int64(limit))
        })
      return try (0..<result.rowCount).map { row in
        ClientGroup(
          source: try result.text(row, 0), groupID: try result.text(row, 1), ownerID: try result.uuidIfPresent(row, 2),
          ownerName: try result.textIfPresent(row, 3), members: Int(try result.int64(row, 4)),
          kept: Int(try result.int64(row, 5)), createdAt: Timestamp(microseconds: try result.timestamp(row, 6)))
      }
    }
  }

  public func members(of key: GroupKey, limit: Int) async throws -> [GroupMember] {
    try await worker.perform { connection in
      let result = try connection.execute(Statements.members, key.parameters { $0.int8(Int64(limit)) })
      return try (0..<result.rowCount).map { row in
        GroupMember(
          clientID: try result.uuid(row, 0), mergedInto: try result.uuidIfPresent(row, 1),
          name: try result.textIfPresent(row, 2), email: try result.textIfPresent(row, 3),
          since: Timestamp(microseconds: try result.timestamp(row, 4)))
      }
    }
  }

  /// The oldest events that are kept for a group.
  public func kept(of key: GroupKey, limit: Int) async throws -> [KeptEvent] {
    try await worker.perform { connection in
      let result = try connection.execute(Statements.kept, key.parameters { $0.int8(Int64(limit)) })
      return try (0..<result.rowCount).map { row in
        KeptEvent(
          id: try result.text(row, 0), type: try result.text(row, 1), stage: try result.textIfPresent(row, 2),
          occurredAt: Timestamp(microseconds: try result.timestamp(row, 3)),
          keptAt: Timestamp(microseconds: try result.timestamp(row, 4)),
          failedAt: try result.timestampIfPresent(row, 5).map(Timestamp.init(microseconds:)))
      }
    }
  }

  /// Sets or clears the owner of a group. A group that no event has named yet is added.
  /// - Parameters:
  ///   - client: the client's id or its verified e-mail address; nil: nobody.
  ///   - isRehearsal: rolls back.
  public func setOwner(of key: GroupKey, to client: String?, why: String, isRehearsal: Bool) async throws
    -> OwnerOutcome
  {
    let limits = EventLimits(now: .startOf2000)
    for (what, text) in [("group", key.groupID), ("source", key.source)] {
      if let fault = limits.fault(of: text) { return .unusable(what: what, fault: fault) }
    }
    return try await worker.perform { [actor] connection in
      try connection.begin()
      do {
        let outcome = try change(key, to: client, actor, why, on: connection)
        if case .changed = outcome, !isRehearsal { try connection.commit() } else { try connection.rollback() }
        return outcome
      } catch {
        if connection.isUsable { try? connection.rollback() }
        throw error
      }
    }
  }

  private func change(
    _ key: GroupKey, to client: String?, _ actor: String, _ why: String, on connection: PostgresConnection
  ) throws -> OwnerOutcome {
    var owner: UUID?
    if let client {
      let found = try connection.execute(
        Statements.find,
        PostgresParameters {
          $0.uuid(key.orgID)
          $0.uuid(UUID(uuidString: client))
          $0.text(client)
        })
      guard found.rowCount > 0 else { return .unknownClient }
      guard found.rowCount == 1 else { return .ambiguous(found.rowCount) }
      owner = try found.uuid(0, 0)
      _ = try connection.execute(Statements.add, key.parameters())
    }
    let group = try connection.execute(Statements.lock, key.parameters())
    guard group.rowCount == 1 else { return .unknownGroup }
    let before = try group.uuidIfPresent(0, 0), kept = Int(try group.int64(0, 1))
    if before == owner { return .same(owner, kept: kept) }
    _ = try connection.execute(
      Statements.setOwner,
      key.parameters {
        $0.uuid(owner)
        $0.uuid(before)
        $0.text(actor)
        $0.text(why)
      })
    return .changed(from: before, to: owner, kept: kept)
  }

  private enum Statements {
    static let list = PostgresStatement(
      name: "list_groups",
      """
      SELECT g.source, g.group_id, g.owner_id, c.name::text, m.count, k.count, g.created_at
      FROM journey_groups g LEFT JOIN contacts c ON c.id = g.owner_id AND c.org_id = g.org_id
      CROSS JOIN LATERAL (
        SELECT count(DISTINCT COALESCE(s.merged_into, m.client_id))
        FROM journey_group_members m LEFT JOIN journey_client_state s ON s.client_id = m.client_id
        WHERE m.org_id = g.org_id AND m.source = g.source AND m.group_id = g.group_id) m
      CROSS JOIN LATERAL (
        SELECT count(*) FROM journey_group_events k
        WHERE k.org_id = g.org_id AND k.source = g.source AND k.group_id = g.group_id) k
      WHERE g.org_id = $1 AND ($2::text IS NULL OR g.source = $2) AND ($3::text IS NULL OR g.group_id = $3)
        AND (NOT $4::bool OR k.count > 0)
      ORDER BY g.source, g.group_id LIMIT $5
      """)
    static let members = PostgresStatement(
      name: "list_group_members",
      """
      SELECT m.client_id, s.merged_into, c.name::text, c.email::text, m.since
      FROM journey_group_members m JOIN contacts c ON c.id = m.client_id LEFT JOIN journey_client_state s ON s.client_id = m.client_id
      WHERE m.org_id = $1 AND m.source = $2 AND m.group_id = $3 ORDER BY m.since, m.client_id LIMIT $4
      """)
    static let kept = PostgresStatement(
      name: "list_kept_events",
      """
      SELECT source_event_id, event_type, stage, occurred_at, kept_at, failed_at FROM journey_group_events
      WHERE org_id = $1 AND source = $2 AND group_id = $3 ORDER BY occurred_at, source_event_id LIMIT $4
      """)
    /// A merged client stays the owner under its own id, so that the group is its own again after a split.
    static let find = PostgresStatement(
      name: "find_group_owner",
      """
      SELECT (array_agg(c.id ORDER BY s.merged_into IS NOT NULL, c.id))[1]
      FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
      WHERE c.org_id = $1 AND (c.id = $2 OR $2 IS NULL AND lower(c.email) = lower($3::text) AND \(VerifiedEmail.condition))
      GROUP BY COALESCE(s.merged_into, c.id)
      """)
    static let add = PostgresStatement(
      name: "add_group",
      """
      INSERT INTO journey_groups (org_id, source, group_id) VALUES ($1, $2, $3)
      ON CONFLICT (org_id, source, group_id) DO NOTHING
      """)
    static let lock = PostgresStatement(
      name: "lock_group_to_own",
      """
      SELECT g.owner_id, (
        SELECT count(*) FROM journey_group_events k WHERE k.org_id = g.org_id AND k.source = g.source AND k.group_id = g.group_id)
      FROM journey_groups g WHERE g.org_id = $1 AND g.source = $2 AND g.group_id = $3 FOR UPDATE
      """)
    static let setOwner = PostgresStatement(
      name: "set_group_owner",
      """
      WITH g AS (
        UPDATE journey_groups SET owner_id = $4::uuid, due_at = now() WHERE org_id = $1 AND source = $2 AND group_id = $3
      )
      INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, other_client_id, actor, why)
      VALUES ($1, CASE WHEN $4::uuid IS NULL THEN 'owner_cleared' ELSE 'owner_set' END, $2, $3, COALESCE($4::uuid, $5::uuid),
        CASE WHEN $4::uuid IS NOT NULL THEN $5::uuid END, $6::text, $7::text)
      """)
  }
}
