public import FoundationEssentials
public import Journey
public import PostgresClient

/// An action in a list.
public struct ListedAction: Sendable, Encodable {
  private enum CodingKeys: String, CodingKey {
    case id, orgID = "orgId", clientID = "clientId", clientName, action, channel, priority, state, reason, decidedAt,
      expiresAt, changedAt, snoozedUntil
  }

  public var id: UUID
  public var orgID: UUID
  public var clientID: UUID
  public var clientName: String?
  public var action: String
  public var channel: String
  public var priority: String
  public var state: String
  public var reason: String
  public var decidedAt: Timestamp
  public var expiresAt: Timestamp?
  /// When its state changed last; nil: it did not since it was published.
  public var changedAt: Timestamp?
  public var snoozedUntil: Timestamp?
}

/// Reads actions for people and tools, and takes them back. It is not part of event processing.
public struct ActionRepository: ActionRevoker {
  private let worker: PostgresWorker

  /// - Parameter worker: works as the adapter's role.
  public init(worker: PostgresWorker) { self.worker = worker }

  /// Actions, latest first.
  /// - Parameter after: the last action of the page before.
  public func list(_ filter: ActionFilter, after: UUID?, limit: Int) async throws -> [ListedAction] {
    var parameters = PostgresParameters()
    var conditions = ["TRUE"]
    func add(_ condition: (Int) -> String, _ value: (inout PostgresParameters) -> Void) {
      conditions.append(condition(parameters.count + 1))
      value(&parameters)
    }
    if let id = filter.orgID { add({ "a.org_id = $\($0)::uuid" }) { $0.uuid(id) } }
    if let id = filter.clientID { add({ "a.client_id = $\($0)::uuid" }) { $0.uuid(id) } }
    if let channel = filter.channel { add({ "a.channel = $\($0)::text" }) { $0.text(channel.rawValue) } }
    if let state = filter.state { add({ "a.state = $\($0)::text" }) { $0.text(state.rawValue) } }
    if filter.isOpen { conditions.append(ReadSQL.isOpen) }
    if let after {
      add({ "(a.decided_at, a.id) < (SELECT generated_at, id FROM client_journey_scores WHERE id = $\($0)::uuid)" }) {
        $0.uuid(after)
      }
    }
    let sql = """
      SELECT a.id, a.org_id, a.client_id, c.name::text, a.action, a.channel, a.priority, a.state, a.reason,
        \(HostValues.moment("a.decided_at")), a.expires_at, a.changed_at, a.snoozed_until
      FROM journey_actions a LEFT JOIN contacts c ON c.id = a.client_id
      WHERE \(conditions.joined(separator: " AND ")) ORDER BY a.decided_at DESC, a.id DESC LIMIT \(limit)
      """
    return try await worker.perform { [parameters] connection in
      let found = try connection.execute(PostgresStatement(selecting: "list_actions", sql), parameters)
      return try (0..<found.rowCount).map { row throws(PostgresError) in
        func time(_ column: Int) throws(PostgresError) -> Timestamp? {
          try found.timestampIfPresent(row, column).map(Timestamp.init(microseconds:))
        }
        return ListedAction(
          id: try found.uuid(row, 0), orgID: try found.uuid(row, 1), clientID: try found.uuid(row, 2),
          clientName: try found.textIfPresent(row, 3), action: try found.text(row, 4), channel: try found.text(row, 5),
          priority: try found.text(row, 6), state: try found.text(row, 7), reason: try found.text(row, 8),
          decidedAt: Timestamp(microseconds: try found.timestamp(row, 9)), expiresAt: try time(10),
          changedAt: try time(11), snoozedUntil: try time(12))
      }
    }
  }

  /// One action with its life and explanation, as the API shows it.
  public func document(of action: UUID) async throws -> [UInt8]? {
    try await worker.perform { connection in
      let found = try connection.execute(ClientSQL.action, PostgresParameters { $0.uuid(action) })
      return found.rowCount == 0 ? nil : try found.jsonIfPresent(0, 0)
    }
  }

  public func standing(of action: UUID) async throws -> StandingAction? {
    try await worker.perform { connection in
      try StandingAction(connection.execute(ClientSQL.standingAction, PostgresParameters { $0.uuid(action) }))
    }
  }

  public func revoke(
    _ action: UUID, because reason: String, by actor: String
  ) async throws(StoreError) -> RevocationResult {
    try await withStoreErrors { try await revoke(action, because: reason, by: actor, dryRun: false) }
  }

  /// - Parameter dryRun: whether to change nothing.
  public func revoke(
    _ action: UUID, because reason: String, by actor: String, dryRun: Bool
  ) async throws -> RevocationResult {
    try await worker.perform { try Self.revoke(action, because: reason, by: actor, dryRun: dryRun, on: $0) }
  }

  private static func revoke(
    _ id: UUID, because reason: String, by actor: String, dryRun: Bool, on connection: PostgresConnection
  ) throws(PostgresError) -> RevocationResult {
    let key = PostgresParameters { $0.uuid(id) }
    // Read after the lock: what is seen then, nobody changes before the end of the transaction.
    let locked = try connection.pipeline([
      (.begin, PostgresParameters()), (RevokeStatements.lock, key), (ClientSQL.standingAction, key),
    ])
    guard var found = try StandingAction(locked[2]) else { return try end(.unknown, on: connection) }
    guard locked[1].rowCount > 0 else {
      return try end(.refused(found, "its client is being merged; try again"), on: connection)
    }
    let now = Timestamp(microseconds: try locked[1].timestamp(0, 2))
    if found.state.isOpen, !found.life.isRun, found.isExpired {
      return try end(.refused(found, "it has expired"), on: connection)
    }
    let change = ActionChange(actionID: id, state: .revoked, at: now, by: actor, detail: reason)
    switch found.life.close(change) {
    case .repeated: return try end(.repeated(found), on: connection)
    case .refused(let why): return try end(.refused(found, why), on: connection)
    case .changed: found.state = .revoked
    }
    guard !dryRun else { return try end(.revoked(found), on: connection) }
    var commands = [
      (
        RevokeStatements.write,
        PostgresParameters {
          $0.uuid(id)
          $0.uuid(found.orgID)
          $0.timestamptz(now.microseconds)
          $0.jsonb(found.life.json(recordedAt: now))
        }
      )
    ]
    // Without a trigger, decisions do not follow the action's life.
    if var history = ActionHistory(encoded: try locked[1].bytes(0, 1)),
      history.entries.contains(where: { $0.actionID == id && $0.trigger != nil })
    {
      history.end(id, .revoked, at: now)
      commands.append(
        (
          RevokeStatements.writeHistory,
          PostgresParameters {
            $0.uuid(found.clientID)
            $0.bytea(history.encoded())
          }
        ))
    }
    _ = try connection.pipeline(commands + [(.commit, PostgresParameters())])
    return .revoked(found)
  }

  private static func end(
    _ result: RevocationResult, on connection: PostgresConnection
  ) throws(PostgresError) -> RevocationResult {
    _ = try connection.pipeline([(.commit, PostgresParameters())])
    return result
  }
}

private enum RevokeStatements {
  /// Locks the state of the action's client, as all writers of its life do.
  static let lock = PostgresStatement(
    name: "lock_action",
    """
    SELECT s.client_id, s.outreach, clock_timestamp()
    FROM client_journey_scores a JOIN journey_client_state s ON s.client_id = a.client_id
    WHERE a.id = $1::uuid AND s.merged_into IS NULL FOR UPDATE OF s
    """)

  static let write = PostgresStatement(
    name: "revoke_action",
    """
    INSERT INTO journey_action_states AS l (action_id, org_id, state, changed_at, history, revocation)
    VALUES ($1::uuid, $2::uuid, 'revoked', $3::timestamptz, $4::jsonb, 'pending')
    ON CONFLICT (action_id) DO UPDATE
    SET state = EXCLUDED.state, changed_at = EXCLUDED.changed_at, history = EXCLUDED.history, revocation = EXCLUDED.revocation
    """)

  static let writeHistory = PostgresStatement(
    name: "write_action_history",
    "UPDATE journey_client_state SET outreach = $2::bytea, updated_at = now() WHERE client_id = $1::uuid")
}
