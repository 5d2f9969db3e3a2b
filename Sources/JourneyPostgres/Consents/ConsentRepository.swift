public import FoundationEssentials
public import Journey
public import PostgresClient

/// What a client allows now, and how it came about.
public struct ClientConsents: Sendable {
  /// A row, for people.
  public struct Entry: Sendable {
    public var record: ConsentRecord
    public var source: String
    public var reason: String?
    public var actor: String
    public var recordedAt: Timestamp
  }

  public var clientID: UUID
  /// By channel.
  public var blocks: [ActionHistory.Block]
  /// By channel, then by purpose.
  public var consents: [ActionHistory.Consent]
  /// Newest first.
  public var records: [Entry]
}

/// Records what clients allow. It is not part of event processing.
public struct ConsentRepository: Sendable {
  public enum Result: Hashable, Sendable {
    case recorded
    /// Recorded, and without effect: it was so before, or a later record says otherwise.
    case known
    /// The client's consent to `ActionHistory.maxConsents` purposes is recorded already.
    case tooMany
    /// The client is unknown.
    case unknown
    /// Another transaction is merging the client; try again.
    case merging
  }

  private let worker: PostgresWorker

  /// - Parameter worker: works as the adapter's role.
  public init(worker: PostgresWorker) { self.worker = worker }

  /// - Returns: nil: the client is unknown.
  public func consents(of client: UUID, limit: Int = 100) async throws -> ClientConsents? {
    try await worker.perform { connection in
      let answers = try connection.pipeline([
        (ConsentStatements.state, PostgresParameters { $0.uuid(client) }),
        (
          ConsentStatements.list,
          PostgresParameters {
            $0.uuid(client)
            $0.int4(Int32(limit))
          }
        ),
      ])
      guard answers[0].rowCount == 1 else { return nil }
      let history = ActionHistory(encoded: try answers[0].bytes(0, 1)) ?? ActionHistory()
      return ClientConsents(
        clientID: try answers[0].uuid(0, 0), blocks: history.blocks, consents: history.consents,
        records: try (0..<answers[1].rowCount).compactMap { try ClientConsents.Entry(answers[1], $0) })
    }
  }

  /// Records a change, takes back what is no longer allowed and was not run, and has the client evaluated again.
  /// - Parameters:
  ///   - at: when the client said so; nil: now, by the database's clock.
  ///   - rules: the decision's.
  ///   - dryRun: whether to write nothing.
  public func record(
    _ record: ConsentRecord, of client: UUID, source: String, reason: String?, actor: String, at: Timestamp?,
    rules: ActionRules, dryRun: Bool = false
  ) async throws -> Result {
    try await worker.perform { connection in
      try Recording(
        record: record, client: client, source: source, reason: reason, actor: actor, at: at, rules: rules,
        isDryRun: dryRun
      ).run(on: connection)
    }
  }
}

/// One change, in a transaction of its own.
private struct Recording {
  var record: ConsentRecord
  let client: UUID
  let source: String
  let reason: String?
  let actor: String
  let at: Timestamp?
  let rules: ActionRules
  let isDryRun: Bool

  func run(on connection: PostgresConnection) throws(PostgresError) -> ConsentRepository.Result {
    let key = PostgresParameters { $0.uuid(client) }
    // In the order in which commits and merges lock.
    let answers = try connection.pipeline([
      (.begin, PostgresParameters()), (ConsentStatements.lockContact, key), (ConsentStatements.addState, key),
      (ConsentStatements.lock, key), (ConsentStatements.owner, key),
    ])
    func end(_ result: ConsentRepository.Result) throws(PostgresError) -> ConsentRepository.Result {
      try connection.rollback()
      return result
    }
    guard answers[1].rowCount == 1 else { return try end(.unknown) }
    let locked = answers[3]
    guard locked.rowCount == 1 else { return try end(.merging) }
    let owner = try locked.uuid(0, 0)
    // It was split off, or merged, while its lock was waited for.
    guard try answers[4].uuid(0, 0) == owner else { return try end(.merging) }
    let now = Timestamp(microseconds: try locked.timestamp(0, 3))
    var record = record, history = ActionHistory(encoded: try locked.bytes(0, 1)) ?? ActionHistory()
    record.at = at ?? now
    let effect = history.apply(record)
    if effect == .tooMany { return try end(.tooMany) }
    let result: ConsentRepository.Result = effect == .changed ? .recorded : .known
    if isDryRun { return try end(result) }
    var changes: [ActionChange] = [], taken = ActionChangeColumns()
    rules.revokeProhibited(&history, at: now, &changes)
    taken.add(changes, of: owner, in: try locked.uuid(0, 2))
    let row = try row(record, locked)
    let state = PostgresParameters {
      $0.uuid(owner)
      $0.bytea(history.encoded())
    }
    var commands = [(ConsentStatements.add, row), (ConsentStatements.writeState, state)]
    if !taken.isEmpty { commands.append((ActionStatements.close, taken.parameters)) }
    _ = try connection.pipeline(commands + [(.commit, PostgresParameters())])
    return result
  }

  private func row(_ record: ConsentRecord, _ locked: PostgresResult) throws(PostgresError) -> PostgresParameters {
    let orgID = try locked.uuid(0, 2)
    return PostgresParameters {
      $0.uuid(record.id)
      $0.uuid(client)
      $0.uuid(orgID)
      $0.text(record.change.rawValue)
      $0.text(record.channel.rawValue)
      $0.text(record.purpose)
      $0.timestamptz(record.at.microseconds)
      $0.timestamptz(record.expiresAt?.microseconds)
      $0.text(source)
      $0.text(reason)
      $0.text(actor)
    }
  }
}

extension ClientConsents.Entry {
  /// nil: a later version has written it.
  fileprivate init?(_ found: PostgresResult, _ row: Int) throws(PostgresError) {
    guard let change = ConsentRecord.Change(rawValue: try found.text(row, 1)) else { return nil }
    record = ConsentRecord(
      id: try found.uuid(row, 0), change: change, channel: Channel(rawValue: try found.text(row, 2)),
      purpose: try found.textIfPresent(row, 3), at: Timestamp(microseconds: try found.timestamp(row, 4)),
      expiresAt: try found.timestampIfPresent(row, 5).map { Timestamp(microseconds: $0) })
    source = try found.text(row, 6)
    reason = try found.textIfPresent(row, 7)
    actor = try found.text(row, 8)
    recordedAt = Timestamp(microseconds: try found.timestamp(row, 9))
  }
}

private enum ConsentStatements {
  /// A client that has no state yet gets one.
  static let addState = PostgresStatement(
    name: "add_state_for_consent",
    """
    INSERT INTO journey_client_state (client_id, org_id) SELECT id, org_id FROM contacts WHERE id = $1::uuid
    ON CONFLICT (client_id) DO NOTHING
    """)

  /// A host that deletes a contact holds it first, too.
  static let lockContact = PostgresStatement(
    name: "lock_contact_for_consent", "SELECT id FROM contacts WHERE id = $1::uuid FOR KEY SHARE")

  /// The client that it has become, as of now: read again under the lock.
  static let owner = PostgresStatement(
    name: "consent_owner",
    "SELECT COALESCE(merged_into, client_id) FROM journey_client_state WHERE client_id = $1::uuid")

  /// Locks the client that it has become.
  static let lock = PostgresStatement(
    name: "lock_for_consent",
    """
    SELECT s.client_id, s.outreach, s.org_id, clock_timestamp() FROM journey_client_state s
    WHERE s.client_id = COALESCE((SELECT merged_into FROM journey_client_state WHERE client_id = $1::uuid), $1::uuid)
      AND s.merged_into IS NULL
    FOR UPDATE OF s
    """)

  /// What holds now of the client that it has become.
  static let state = PostgresStatement(
    name: "consent_state",
    """
    SELECT COALESCE(s.merged_into, c.id), COALESCE(r.outreach, s.outreach, '') FROM contacts c
    LEFT JOIN journey_client_state s ON s.client_id = c.id
    LEFT JOIN journey_client_state r ON r.client_id = s.merged_into
    WHERE c.id = $1::uuid
    """)

  /// The records of the client and of those that were merged with it.
  static let list = PostgresStatement(
    name: "list_consents",
    """
    SELECT n.id, n.change, n.channel, n.purpose, n.at, n.expires_at, n.source, n.reason, n.actor, n.recorded_at
    FROM journey_consents n
    WHERE n.client_id = ANY (ARRAY(
      SELECT $1::uuid UNION SELECT m.merged_into FROM journey_client_state m
        WHERE m.client_id = $1::uuid AND m.merged_into IS NOT NULL
      UNION SELECT o.client_id FROM journey_client_state o WHERE o.merged_into = COALESCE(
        (SELECT m.merged_into FROM journey_client_state m WHERE m.client_id = $1::uuid), $1::uuid)))
    ORDER BY n.recorded_at DESC, n.id DESC LIMIT $2::int4
    """)

  static let add = PostgresStatement(
    name: "add_consent",
    """
    INSERT INTO journey_consents
      (id, client_id, org_id, change, channel, purpose, at, expires_at, source, reason, actor)
    VALUES ($1::uuid, $2::uuid, $3::uuid, $4::text, $5::text, $6::text, $7::timestamptz, $8::timestamptz, $9::text,
      $10::text, $11::text)
    """)

  /// A client that was never evaluated stays so.
  static let writeState = PostgresStatement(
    name: "write_consent_state",
    """
    UPDATE journey_client_state
    SET outreach = $2::bytea, updated_at = now(), redecide = redecide OR scored_at IS NOT NULL,
      check_at = CASE WHEN scored_at IS NULL THEN check_at ELSE now() END
    WHERE client_id = $1::uuid
    """)
}
