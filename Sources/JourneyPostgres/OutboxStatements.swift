import FoundationEssentials
import Journey
import PostgresClient

/// The statements that claim, release and delete outbox batches.
package enum OutboxStatements {
  /// A condition: the login of a session may be the adapter's. Any login can take any advisory lock, so without this
  /// check any login could make a dead process look alive.
  package static func isAdapters(_ login: String) -> String {
    "(pg_has_role(\(login), current_user, 'MEMBER') OR has_table_privilege(\(login), 'journey_outbox', 'UPDATE'))"
  }

  /// A query: the numbers of the processes that are alive. `keyClass` is the parameter of their locks' class.
  static func liveInstances(_ keyClass: String) -> String {
    """
    SELECT l.objid::int8 AS instance FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE l.locktype = 'advisory' AND l.classid = \(keyClass)::int4::oid AND l.objsubid = 2 AND l.granted
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND \(isAdapters("a.usesysid"))
    """
  }

  /// Marks a batch as published, except for the actions $2 and $6. The actions $2 move to a batch $4 of their own, with
  /// the reason $5, which any instance may claim after a pause; $9 says whether they may have been sent. Each of the
  /// actions $6 moves to the batch $7 at its position, which waits for the end of the hold $8. It does nothing if this
  /// instance ($3) no longer owns the batch.
  static let release = PostgresStatement(
    name: "release_actions",
    """
    WITH closed AS (
      UPDATE journey_outbox SET confirmed_at = now() WHERE id = $1::uuid AND instance = $3::int4 AND confirmed_at IS NULL
      RETURNING attempts, maybe_sent
    ), moved AS (
      SELECT unnest($2::uuid[]) AS id, $4::uuid AS batch, NULL::int8 AS hold
      UNION ALL SELECT unnest($6::uuid[]), unnest($7::uuid[]), unnest($8::int8[])
    ), rest AS (
      INSERT INTO journey_outbox (id, actions, failure, attempts, next_attempt_at, hold_id, maybe_sent)
      SELECT m.batch, count(*), CASE WHEN m.hold IS NULL THEN $5::text END, attempts + CASE WHEN m.hold IS NULL THEN 1 ELSE 0 END,
        CASE WHEN m.hold IS NULL THEN now() + LEAST(interval '1 second' * 2 ^ LEAST(attempts, 10), interval '5 minutes') ELSE 'infinity' END,
        m.hold, m.hold IS NULL AND $9::bool OR attempts > 0 AND maybe_sent
      FROM closed, moved m GROUP BY m.batch, m.hold, attempts, maybe_sent
      RETURNING id
    ), changes AS (
      UPDATE journey_client_changes c SET outbox_id = $4::uuid FROM closed WHERE c.id = ANY($2::uuid[]) AND c.outbox_id = $1::uuid
    )
    UPDATE client_journey_scores s SET outbox_id = m.batch FROM moved m
    WHERE s.id = m.id AND s.outbox_id = $1::uuid AND EXISTS (SELECT FROM closed)
    """)

  /// Claims batches until they contain $3 actions. Batches of this instance ($1) that are not among $4 are orphans, and
  /// are claimed too. What another process had may have been sent.
  static let claim = PostgresStatement(
    name: "claim_batches",
    """
    WITH live AS MATERIALIZED (
      \(liveInstances("$2"))
    ), abandoned AS (
      SELECT id, actions FROM journey_outbox
      WHERE confirmed_at IS NULL AND next_attempt_at <= now()
        AND (instance IS NULL OR CASE WHEN instance = $1::int4 THEN id <> ALL($4::uuid[]) ELSE instance NOT IN (SELECT instance FROM live) END)
      ORDER BY next_attempt_at, id LIMIT 500 FOR UPDATE SKIP LOCKED
    ), chosen AS (
      SELECT id FROM (SELECT id, sum(actions) OVER (ORDER BY id) - actions AS before FROM abandoned) AS summed WHERE before < $3::int4
    )
    UPDATE journey_outbox o
    SET instance = $1::int4, maybe_sent = o.maybe_sent OR o.instance IS NOT NULL,
      attempts = CASE WHEN o.instance IS NULL THEN o.attempts ELSE GREATEST(o.attempts, 1) END
    FROM chosen WHERE o.id = chosen.id RETURNING o.id
    """)

  /// The actions of batches, with the content of their messages, in the order of the decisions (UUIDv7). The decision
  /// is read from columns that members of an organisation cannot write. The last three columns are writable by members;
  /// they are used only for rows of an older version whose explanation lacks the values. `OFFSET 0` makes the planner
  /// look up each contact by its key even without statistics.
  static let actions = PostgresStatement(
    name: "outbox_actions",
    """
    SELECT s.outbox_id, s.id, s.client_id, s.org_id, c.name::text, c.email::text, c.phone::text, s.action, s.channel, s.priority, s.reason, s.explanation,
      s.traceparent, s.expires_at, clock_timestamp(), s.score::text, s.risk_level::text,
      \(HostValues.moment("s.generated_at")), COALESCE(l.revocation = 'pending' AND NOT o.maybe_sent, false)
    FROM client_journey_scores s
    JOIN journey_outbox o ON o.id = s.outbox_id
    CROSS JOIN LATERAL (SELECT name, email, phone FROM contacts WHERE id = s.client_id OFFSET 0) c
    LEFT JOIN journey_action_states l ON l.action_id = s.id
    WHERE s.outbox_id = ANY($1::uuid[])
    ORDER BY s.outbox_id, s.id
    """)

  static let unpublished = PostgresStatement(
    name: "unpublished_actions",
    """
    SELECT s.id FROM client_journey_scores s JOIN journey_outbox o ON o.id = s.outbox_id
    WHERE s.id = ANY($1::uuid[]) AND o.confirmed_at IS NULL AND o.next_attempt_at < 'infinity'
    UNION ALL
    SELECT c.id FROM journey_client_changes c JOIN journey_outbox o ON o.id = c.outbox_id
    WHERE c.id = ANY($1::uuid[]) AND o.confirmed_at IS NULL
    """)

  /// Batches without actions, because their clients were deleted.
  static let deleteEmpty = PostgresStatement(
    name: "delete_empty_batches", "DELETE FROM journey_outbox WHERE id = ANY($1::uuid[])")

  /// Deletes up to $1 batches that were confirmed more than seven days ago, oldest first. The ids are in order of time,
  /// so this needs no index on the confirmation time.
  static let forget = PostgresStatement(
    name: "forget_published",
    """
    WITH gone AS (DELETE FROM journey_outbox WHERE id = ANY (ARRAY(
      SELECT id FROM journey_outbox
      WHERE id < (lpad(to_hex((extract(epoch FROM now() - interval '7 days') * 1000)::int8), 12, '0') || repeat('0', 20))::uuid
        AND confirmed_at < now() - interval '7 days'
      ORDER BY id LIMIT $1::int4 FOR UPDATE SKIP LOCKED))
    RETURNING id), changes AS (DELETE FROM journey_client_changes c USING gone WHERE c.outbox_id = gone.id)
    SELECT id FROM gone
    """)

  /// Moves unpublishable actions ($1) into batches of their own ($2) with the reason ($3). They are retried with a
  /// growing pause, or never if $4 says so. The rest of their batches counts as published.
  static let setAside = PostgresStatement(
    name: "set_actions_aside",
    """
    WITH failed AS (
      SELECT unnest($1::uuid[]) AS id, unnest($2::uuid[]) AS batch, unnest($3::text[]) AS failure, unnest($4::bool[]) AS is_final
    ), batches AS (
      INSERT INTO journey_outbox (id, actions, attempts, failure, next_attempt_at)
      SELECT f.batch, 1, o.attempts + 1, f.failure,
        CASE WHEN f.is_final THEN 'infinity' ELSE now() + LEAST(interval '10 seconds' * 2 ^ LEAST(o.attempts, 10), interval '1 hour') END
      FROM failed f JOIN client_journey_scores s ON s.id = f.id JOIN journey_outbox o ON o.id = s.outbox_id
    ), unsent AS (
      UPDATE journey_action_states l SET revocation = 'unsent' FROM failed f
      WHERE f.is_final AND l.action_id = f.id AND l.revocation = 'pending'
    ), kept AS (
      UPDATE journey_outbox o SET actions = o.actions - moved.count
      FROM (SELECT s.outbox_id, count(*) FROM failed f JOIN client_journey_scores s ON s.id = f.id GROUP BY s.outbox_id) AS moved
      WHERE o.id = moved.outbox_id
    )
    UPDATE client_journey_scores s SET outbox_id = f.batch FROM failed f WHERE s.id = f.id
    """)
}
