import Journey
import PostgresClient

enum HoldStatements {
  /// A condition on a hold `h`.
  static let isOpen = "h.released_at IS NULL AND (h.until IS NULL OR h.until > now())"
  /// Whether a hold `h` matches the action of a score `s`.
  static let matches = """
    (h.channel IS NULL OR h.channel = s.channel) AND (h.action IS NULL OR h.action = s.action)
      AND (h.org_id IS NULL OR h.org_id = s.org_id)
    """

  private static let run = ActionState.allCases.filter(\.isRun).map { "'\($0.rawValue)'" }.joined(separator: ", ")

  /// What an instance needs of the open holds.
  static let open = PostgresStatement(
    name: "read_open_holds",
    "SELECT h.id, h.channel, h.action, h.org_id FROM journey_holds h WHERE \(isOpen) ORDER BY h.id")

  private static let columns = """
    h.id, h.channel, h.action, h.org_id, h.at, h.until, h.actor, h.why, \(isOpen),
      CASE WHEN h.until <= COALESCE(h.released_at, now()) THEN h.until ELSE h.released_at END, h.released_by, h.rate,
      (SELECT COALESCE(sum(o.actions), 0)::int8 FROM journey_outbox o WHERE o.hold_id = h.id)
    """
  /// $1: only this one; $2: also those that have ended, the newest $3.
  static let list = PostgresStatement(
    name: "list_holds",
    """
    SELECT \(columns) FROM journey_holds h
    WHERE ($1::int8 IS NULL OR h.id = $1) AND ($2::bool OR \(isOpen)
      OR EXISTS (SELECT FROM journey_outbox o WHERE o.hold_id = h.id))
    ORDER BY h.id DESC LIMIT $3::int4
    """)
  static let add = PostgresStatement(
    name: "add_hold",
    """
    WITH h AS (
      INSERT INTO journey_holds (channel, action, org_id, until, actor, why)
      VALUES ($1::text, $2::text, $3::uuid, $4::timestamptz, $5::text, $6::text) RETURNING *)
    SELECT \(columns), pg_notify('journey_pauses', '')::text FROM h
    """)
  static let release = PostgresStatement(
    name: "release_hold",
    """
    WITH h AS (
      UPDATE journey_holds h
      SET released_at = now(), released_by = $2::text, released_login = session_user, released_why = $3::text,
        rate = COALESCE($4::float8, rate), next_at = now()
      WHERE h.id = $1::int8 AND \(isOpen) RETURNING *)
    SELECT \(columns), pg_notify('journey_pauses', '')::text FROM h
    """)
  /// How many actions that are not published a hold of these would match, and of how many clients.
  static let preview = PostgresStatement(
    name: "preview_hold",
    """
    SELECT count(*), count(DISTINCT s.client_id)
    FROM journey_outbox o JOIN client_journey_scores s ON s.outbox_id = o.id,
      (SELECT $1::text AS channel, $2::text AS action, $3::uuid AS org_id) AS h
    WHERE o.confirmed_at IS NULL AND \(matches)
    """)
  /// The clients of the actions that a hold has held.
  static let clients = PostgresStatement(
    name: "count_held_clients",
    """
    SELECT count(DISTINCT s.client_id) FROM journey_outbox o JOIN client_journey_scores s ON s.outbox_id = o.id
    WHERE o.hold_id = $1::int8
    """)
  static let isOrganization = PostgresStatement(
    name: "is_organization", "SELECT EXISTS (SELECT FROM organizations WHERE id = $1::uuid)")

  // The release: under the lock of a hold that has ended, some clients at a time.

  /// A hold that has ended, with actions that wait, which no live instance carries out any more; its rate. Locked, so
  /// that the rate is that of all instances together.
  static let due = PostgresStatement(
    name: "lock_ended_hold",
    """
    SELECT h.id, COALESCE(h.rate, 100) FROM journey_holds h
    WHERE NOT (\(isOpen)) AND (h.next_at IS NULL OR h.next_at <= now())
      AND EXISTS (SELECT FROM journey_outbox o WHERE o.hold_id = h.id)
      AND NOT EXISTS (SELECT FROM journey_leases l WHERE h.id = ANY (l.holds) AND l.seen_at > now() - interval '5 seconds')
    ORDER BY h.id LIMIT 1 FOR UPDATE OF h SKIP LOCKED
    """)
  /// The outbox rows of a hold $1 that come next. One without actions belonged to clients that were deleted.
  static let rows = PostgresStatement(
    name: "next_held_batches", "SELECT id FROM journey_outbox WHERE hold_id = $1::int8 ORDER BY id LIMIT 50")
  /// Locks at most $2 clients with actions in the rows $1, except those that another transaction holds.
  static let lock = PostgresStatement(
    name: "lock_held_clients",
    """
    SELECT c.client_id, c.outreach FROM journey_client_state c
    WHERE c.client_id = ANY (ARRAY(
        SELECT s.client_id FROM client_journey_scores s WHERE s.outbox_id = ANY ($1::uuid[])))
      AND c.merged_into IS NULL
    ORDER BY c.client_id LIMIT $2::int4 FOR UPDATE SKIP LOCKED
    """)
  /// The actions of the clients $2 that the hold $1 has held, each with another hold that is open and matches, and
  /// whether a worker has run it: an attempt before the hold may have reached the broker.
  static let actions = PostgresStatement(
    name: "held_actions",
    """
    SELECT s.id, s.client_id, s.org_id, (
        SELECT h.id FROM journey_holds h WHERE \(isOpen) AND \(matches) ORDER BY h.id LIMIT 1),
      COALESCE((SELECT l.state IN (\(run)) FROM journey_action_states l WHERE l.action_id = s.id), false)
    FROM client_journey_scores s JOIN journey_outbox o ON o.id = s.outbox_id
    WHERE s.client_id = ANY ($2::uuid[]) AND s.outbox_id IS NOT NULL AND o.hold_id = $1::int8
    """)
  /// Moves the actions $1 to batches $2 of their own, which wait for the end of the holds $3.
  static let move = PostgresStatement(
    name: "move_to_hold",
    """
    WITH moved AS MATERIALIZED (
      SELECT i.id, i.batch, i.hold, s.outbox_id, o.attempts, o.maybe_sent
      FROM unnest($1::uuid[], $2::uuid[], $3::int8[]) AS i(id, batch, hold)
      CROSS JOIN LATERAL (SELECT s.outbox_id FROM client_journey_scores s WHERE s.id = i.id OFFSET 0) s
      CROSS JOIN LATERAL (SELECT o.attempts, o.maybe_sent FROM journey_outbox o WHERE o.id = s.outbox_id OFFSET 0) o
    ), added AS (
      INSERT INTO journey_outbox (id, actions, attempts, next_attempt_at, hold_id, maybe_sent)
      SELECT batch, count(*), max(attempts), 'infinity', hold, bool_or(maybe_sent) FROM moved GROUP BY batch, hold
    ), counted AS (
      UPDATE journey_outbox o SET actions = o.actions - c.count
      FROM (SELECT outbox_id, count(*)::int4 AS count FROM moved GROUP BY outbox_id) c WHERE o.id = c.outbox_id
    )
    UPDATE client_journey_scores s SET outbox_id = moved.batch FROM moved WHERE s.id = moved.id
    """)
  /// Deletes the rows of a hold $1 that no action belongs to any more; of $2, which belonged to deleted clients, too.
  static let clear = PostgresStatement(
    name: "clear_held_batches",
    """
    DELETE FROM journey_outbox o
    WHERE o.hold_id = $1::int8 AND (o.actions <= 0 OR o.id = ANY ($2::uuid[]))
      AND NOT EXISTS (SELECT FROM client_journey_scores s WHERE s.outbox_id = o.id)
    """)
  /// When the next clients of a hold $1 are decided again: $2 clients at its rate from now.
  static let pace = PostgresStatement(
    name: "pace_release",
    """
    UPDATE journey_holds SET next_at = clock_timestamp() + $2::float8 / COALESCE(rate, 100) * interval '1 second'
    WHERE id = $1::int8
    """)
}
