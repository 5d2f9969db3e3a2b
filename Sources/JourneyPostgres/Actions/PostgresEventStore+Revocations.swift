public import FoundationEssentials
public import Journey
import PostgresClient

extension PostgresEventStore {
  public func claimRevocations(limit: Int) async throws(StoreError) -> [ActionMessage] {
    guard let message = decider.revocation else { return [] }
    return try await onControl { connection in
      let found = try connection.execute(
        RevocationStatements.claim, PostgresParameters { $0.int4(Int32(clamping: limit)) })
      return try (0..<found.rowCount).compactMap { row in try RevokedAction(found, row).map(message) }
    }
  }

  public func markRevoked(_ actions: [UUID]) async throws(StoreError) {
    guard !actions.isEmpty else { return }
    try await onControl { connection in
      _ = try connection.execute(RevocationStatements.mark, PostgresParameters { $0.uuids(actions) })
    }
  }

  /// The statement that leaves what was taken back out of claimed batches: it is not published any more.
  static func leavingOut(_ actions: [StoredAction], at now: Timestamp) -> [(PostgresStatement, PostgresParameters)] {
    let takenBack = actions.filter(\.isTakenBack)
    guard !takenBack.isEmpty else { return [] }
    var random = IDRandom()
    let parameters = PostgresParameters {
      $0.uuids(takenBack) { $0.id }
      $0.uuids(takenBack) { _ in UUID.v7(at: now, using: &random) }
    }
    return [(RevocationStatements.leaveOut, parameters)]
  }
}

extension RevokedAction {
  /// - Returns: nil if the row has a value that this version does not know.
  fileprivate init?(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    guard let action = ActionKind(rawValue: try result.text(row, 3)),
      let priority = Priority(rawValue: try result.text(row, 5)),
      let state = ActionState(rawValue: try result.text(row, 6))
    else { return nil }
    self.init(
      id: try result.uuid(row, 0), orgID: try result.uuid(row, 1), clientID: try result.uuid(row, 2), action: action,
      channel: Channel(rawValue: try result.text(row, 4)), priority: priority, state: state,
      reason: try result.textIfPresent(row, 7), at: Timestamp(microseconds: try result.timestamp(row, 8)),
      traceparent: try result.textIfPresent(row, 9), timeToLive: try Self.timeToLive(result, row))
  }
}

extension RevokedAction {
  /// Until the action expires: nobody needs its revocation after that.
  private static func timeToLive(_ result: PostgresResult, _ row: Int) throws(PostgresError) -> TimeSpan? {
    guard let expiresAt = try result.timestampIfPresent(row, 10) else { return nil }
    return TimeSpan(microseconds: expiresAt - (try result.timestamp(row, 11)))
  }
}

enum RevocationStatements {
  /// Claims revocations of actions that the broker has confirmed, for half a minute: a process that dies meanwhile
  /// leaves them to the next. Those that have to wait for their action are looked at again after two seconds, so that
  /// many of them cost little; those of held actions only after minutes. Of an action that has expired none is sent,
  /// because workers drop it; it counts as sent.
  static let claim = PostgresStatement(
    name: "claim_revocations",
    """
    WITH due AS MATERIALIZED (
      SELECT l.action_id, l.snoozed_until FROM journey_action_states l
      WHERE l.revocation = 'pending' AND (l.claimed_until IS NULL OR l.claimed_until < now())
      ORDER BY l.claimed_until NULLS FIRST, l.changed_at LIMIT $1::int4 FOR UPDATE OF l SKIP LOCKED
    ), looked AS MATERIALIZED (
      SELECT s.id, s.client_id, s.action, s.channel, s.priority, s.traceparent, e.ends_at,
        COALESCE(e.ends_at <= now(), false) AS is_over, COALESCE(o.is_waiting, false) AS is_waiting,
        COALESCE(o.is_held, false) AS is_held
      -- `OFFSET 0` makes the planner look up each action by its key, even without statistics.
      FROM due CROSS JOIN LATERAL (SELECT * FROM client_journey_scores s WHERE s.id = due.action_id OFFSET 0) s
      CROSS JOIN LATERAL (
        SELECT GREATEST(s.expires_at, due.snoozed_until + (s.expires_at - s.generated_at)) AS ends_at) e
      LEFT JOIN LATERAL (
        SELECT o.confirmed_at IS NULL AS is_waiting, o.hold_id IS NOT NULL AS is_held
        FROM journey_outbox o WHERE o.id = s.outbox_id OFFSET 0) o ON true
    ), claimed AS (
      UPDATE journey_action_states l
      SET revocation = CASE WHEN k.is_over AND NOT k.is_waiting THEN 'sent' ELSE l.revocation END,
        claimed_until = now() + CASE WHEN k.is_held THEN interval '5 minutes' WHEN k.is_waiting THEN interval '2 seconds'
          ELSE interval '30 seconds' END
      FROM looked k WHERE l.action_id = k.id
      RETURNING l.action_id, l.org_id, l.history
    )
    SELECT l.action_id, l.org_id, k.client_id, k.action, k.channel, k.priority, e.entry ->> 'state', e.entry ->> 'detail',
      (e.entry ->> 'at')::timestamptz, k.traceparent, k.ends_at, now()
    FROM claimed l JOIN looked k ON k.id = l.action_id
    -- The entry that took the action back. Reports may have followed it.
    CROSS JOIN LATERAL (
      SELECT h.entry FROM jsonb_array_elements(l.history) WITH ORDINALITY h (entry, n)
      WHERE h.entry ->> 'state' IN ('revoked', 'superseded') ORDER BY n DESC LIMIT 1) e
    WHERE NOT k.is_waiting AND NOT k.is_over
    """)

  static let mark = PostgresStatement(
    name: "mark_revoked",
    "UPDATE journey_action_states SET revocation = 'sent', claimed_until = NULL WHERE action_id = ANY($1::uuid[])")

  /// Leaves actions out of their batches. Nothing is sent of those that certainly never reached the broker; the others
  /// count as published, and their revocation follows. $2 are batches without a row, which count as published.
  static let leaveOut = PostgresStatement(
    name: "leave_out_revoked",
    """
    WITH gone AS MATERIALIZED (
      SELECT i.id, i.batch, s.outbox_id, o.maybe_sent
      FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::uuid[]) AS batch) i
      CROSS JOIN LATERAL (SELECT s.outbox_id FROM client_journey_scores s WHERE s.id = i.id OFFSET 0) s
      CROSS JOIN LATERAL (SELECT o.maybe_sent FROM journey_outbox o WHERE o.id = s.outbox_id OFFSET 0) o
    ), unsent AS (
      UPDATE journey_action_states l SET revocation = CASE WHEN gone.maybe_sent THEN l.revocation ELSE 'unsent' END,
        claimed_until = NULL
      FROM gone WHERE l.action_id = gone.id AND l.revocation = 'pending'
    ), counted AS (
      UPDATE journey_outbox o SET actions = o.actions - c.count
      FROM (SELECT outbox_id, count(*)::int4 AS count FROM gone GROUP BY outbox_id) c WHERE o.id = c.outbox_id
    )
    UPDATE client_journey_scores s SET outbox_id = gone.batch FROM gone WHERE s.id = gone.id
    """)
}
