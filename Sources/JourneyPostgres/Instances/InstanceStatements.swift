import PostgresClient

enum InstanceStatements {
  /// Two names with one hash are taken for one: then the second instance has a number behind its name.
  static let lock = PostgresStatement(
    name: "lock_instance_name", "SELECT pg_try_advisory_lock(\(0x4a4f_5553)::int4, hashtext($1::text))")

  /// Also forgets instances that have been gone for a week.
  static let begin = PostgresStatement(
    name: "begin_lease",
    """
    WITH forgotten AS (
      DELETE FROM journey_leases WHERE seen_at < now() - interval '7 days' AND instance <> $1::text)
    INSERT INTO journey_leases (instance, process, host, version) VALUES ($1::text, $2::uuid, $3::text, $4::text)
    ON CONFLICT (instance) DO UPDATE SET process = excluded.process, host = excluded.host, version = excluded.version,
      started_at = now(), seen_at = now(), state = 'starting', in_hand = 0, obeyed = 0, holds = '{}'
    """)
  static let renew = PostgresStatement(
    name: "renew_lease",
    """
    UPDATE journey_leases SET seen_at = now(), state = $3::text, in_hand = $4::int4, obeyed = $5::int8, holds = $6::int8[]
    WHERE instance = $1::text AND process = $2::uuid
    """)
  static let end = PostgresStatement(
    name: "end_lease", "DELETE FROM journey_leases WHERE instance = $1::text AND process = $2::uuid")

  private static let orderColumns = """
    id, action = 'pause', instance, at, actor, why
    """
  static let order = PostgresStatement(
    name: "read_pause_order",
    """
    SELECT \(orderColumns) FROM journey_pauses WHERE instance IS NULL OR instance = $1::text ORDER BY id DESC LIMIT 1
    """)
  static let give = PostgresStatement(
    name: "give_pause_order",
    """
    WITH given AS (
      INSERT INTO journey_pauses (action, instance, actor, why) VALUES ($1::text, $2::text, $3::text, $4::text)
      RETURNING *)
    SELECT \(orderColumns), pg_notify('journey_pauses', '')::text FROM given
    """)
  static let list = PostgresStatement(
    name: "list_leases",
    """
    SELECT l.instance, l.host, l.version, l.started_at, l.seen_at, l.state, l.in_hand, l.obeyed,
      l.seen_at > now() - interval '5 seconds', p.id, p.action = 'pause', p.instance, p.at, p.actor, p.why, l.holds
    FROM journey_leases l LEFT JOIN LATERAL (
      SELECT o.id, o.action, o.instance, o.at, o.actor, o.why FROM journey_pauses o
      WHERE o.instance IS NULL OR o.instance = l.instance ORDER BY o.id DESC LIMIT 1) p ON true
    ORDER BY l.instance
    """)
  /// $1: the class of the instances' locks. Counts also those of earlier versions, which have no lease.
  static let count = PostgresStatement(
    name: "count_instances", "SELECT count(*) FROM (\(OutboxStatements.liveInstances("$1"))) AS live")
}
