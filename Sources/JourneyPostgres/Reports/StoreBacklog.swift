public import PostgresClient

/// What waits in the database, of all instances, for `journey doctor` and metrics.
public struct StoreBacklog: Hashable, Sendable {
  /// The number of `journey serve` that run.
  public var instances: Int
  /// Without expired and held actions; of `maxBatches` batches at most, as the next two.
  public var unpublishedActions: Int
  /// For how long the oldest unpublished action has waited, in seconds, since its last attempt that failed; nil if there
  /// is none.
  public var oldestUnpublished: Int?
  /// Unpublished actions whose last attempt failed.
  public var failingActions: Int
  /// Actions that wait for the end of a hold; of `maxBatches` batches at most.
  public var heldActions: Int
  /// Clients to be evaluated without an event; at most `maxDue`.
  public var dueClients: Int
  /// For how long the first of them has been due, in seconds; nil if none is.
  public var oldestDue: Int?
  /// Connections to the server, of all its users.
  public var connections: Int
  /// Connections that the server admits, without those reserved for superusers.
  public var connectionLimit: Int

  public static let maxDue = 10_000
  public static let maxBatches = 10_000

  /// - Parameter evaluatesOverTime: whether the rules evaluate clients as time passes, and not only when something is
  ///   to be decided again.
  /// - Throws: `PostgresError`, also if the tables do not exist yet.
  public static func read(on connection: PostgresConnection, evaluatesOverTime: Bool = true) throws -> StoreBacklog {
    let answers = try connection.pipeline([
      (Statements.instances, PostgresParameters { $0.int4(InstanceLock.keyClass) }),
      (Statements.outbox, PostgresParameters { $0.int4(Int32(maxBatches)) }),
      (evaluatesOverTime ? Statements.due : Statements.dueMarked, PostgresParameters { $0.int4(Int32(maxDue)) }),
      (Statements.connections, PostgresParameters()),
    ])
    let (instances, outbox, due, connections) = (answers[0], answers[1], answers[2], answers[3])
    return StoreBacklog(
      instances: Int(try instances.int64(0, 0)), unpublishedActions: Int(try outbox.int64(0, 0)),
      oldestUnpublished: try outbox.int64IfPresent(0, 1).map { max(0, Int($0)) },
      failingActions: Int(try outbox.int64(0, 2)), heldActions: Int(try outbox.int64(0, 3)),
      dueClients: Int(try due.int64(0, 0)), oldestDue: try due.int64IfPresent(0, 1).map { Int($0) },
      connections: Int(try connections.int64(0, 0)), connectionLimit: Int(try connections.int64(0, 1)))
  }

  private enum Statements {
    /// $1: the class of the instances' locks.
    static let instances = PostgresStatement(
      name: "backlog_instances", "SELECT count(*) FROM (\(OutboxStatements.liveInstances("$1"))) AS live")
    /// An outbox row's id is a UUIDv7: it begins with the milliseconds of its creation. What is held or has expired is
    /// never tried again. Bounded, because it is read often. $1: the most rows of each kind.
    static let outbox = PostgresStatement(
      name: "backlog_outbox",
      """
      SELECT COALESCE(sum(o.actions), 0)::int8,
        (extract(epoch FROM now()) - min(('x' || left(replace(o.id::text, '-', ''), 12))::bit(48)::int8) / 1000)::int8,
        COALESCE(sum(o.actions) FILTER (WHERE o.failure IS NOT NULL), 0)::int8,
        (SELECT COALESCE(sum(h.actions), 0)::int8 FROM (
          SELECT actions FROM journey_outbox WHERE hold_id IS NOT NULL AND confirmed_at IS NULL LIMIT $1::int4) AS h)
      FROM (
        SELECT id, actions, failure FROM journey_outbox WHERE confirmed_at IS NULL AND next_attempt_at < 'infinity'
        ORDER BY next_attempt_at, id LIMIT $1::int4) AS o
      """)
    static let due = due("backlog_due")
    /// Where nothing is evaluated as time passes, the time of very many clients may have come.
    static let dueMarked = due("backlog_due_marked", "s.redecide AND ")

    /// Bounded, because it is read often. $1: the most to be counted.
    private static func due(_ name: String, _ condition: String = "") -> PostgresStatement {
      PostgresStatement(
        name: name,
        """
        SELECT count(*), extract(epoch FROM now() - min(d.check_at))::int8
        FROM (
          SELECT s.check_at FROM journey_client_state s
          WHERE \(condition)s.check_at <= now() AND s.merged_into IS NULL ORDER BY s.check_at LIMIT $1::int4
        ) AS d
        """)
    }
    static let connections = PostgresStatement(
      name: "backlog_connections",
      """
      SELECT COALESCE(sum(numbackends), 0)::int8,
        current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
      FROM pg_stat_database WHERE datname IS NOT NULL
      """)
  }
}
