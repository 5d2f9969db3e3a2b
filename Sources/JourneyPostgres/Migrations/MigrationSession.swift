import PostgresClient

/// The applied migrations, as the database records them.
enum MigrationHistory {
  private static let exists = PostgresStatement(
    name: "migrations_exist", "SELECT to_regclass('journey_migrations') IS NOT NULL")
  private static let select = PostgresStatement(
    name: "migrations_read",
    "SELECT version, name, checksum, applied_at, applied_by, duration_ms FROM journey_migrations ORDER BY version")

  /// Empty if no migration was ever applied.
  static func read(_ connection: PostgresConnection) throws(PostgresError) -> [AppliedMigration] {
    guard try connection.execute(exists).bool(0, 0) else { return [] }
    let result = try connection.execute(select)
    var applied: [AppliedMigration] = []
    for row in 0..<result.rowCount {
      try applied.append(
        AppliedMigration(
          version: result.int32(row, 0), name: result.text(row, 1), checksum: result.text(row, 2),
          appliedAt: result.timestamp(row, 3),
          appliedBy: result.text(row, 4), durationMilliseconds: result.int32(row, 5)))
    }
    return applied
  }
}

/// A connection for applying migrations: it holds the migration lock, and has no deadline.
struct MigrationSession {
  private let connection: PostgresConnection

  /// An arbitrary key that only migrations use.
  private static let lockKey: Int64 = 0x6A6F_7572_6E65_7901

  init(_ connection: PostgresConnection) { self.connection = connection }

  /// Runs the body with the lock held and without the usual time limits. Restores both afterwards.
  func run<Value>(_ body: (MigrationSession) throws -> Value) throws -> Value {
    let deadline = connection.deadline
    defer { connection.deadline = deadline }
    connection.deadline = nil
    // Set for the session: waiting for the lock means waiting for all migrations of another process.
    let limits = try saveLimits()
    defer { if connection.isUsable { _ = try? connection.execute(limits.restoring) } }
    try connection.execute(
      "SET statement_timeout = 0; SET lock_timeout = '10min'; SET idle_in_transaction_session_timeout = 0")
    try waitForOthers()
    try connection.execute("SET lock_timeout = 0")
    defer { if connection.isUsable { _ = try? connection.execute("SELECT pg_advisory_unlock(\(Self.lockKey))") } }
    return try body(self)
  }

  /// Any login may hold the lock, for any length of time.
  private func waitForOthers() throws(PostgresError) {
    do throws(PostgresError) {
      try connection.execute("SELECT pg_advisory_lock(\(Self.lockKey))")
    } catch {
      guard error.sqlState == "55P03" else { throw error }
      throw PostgresError(
        .transient, sqlState: error.sqlState, operation: error.operation,
        "another session has held the migration lock for 10 minutes; find it in pg_locks (locktype advisory), and end it if it is not a migration"
      )
    }
  }

  private struct Limits {
    var restoring: String
  }

  private func saveLimits() throws(PostgresError) -> Limits {
    let names = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    let columns = names.map { "current_setting('\($0)')" }.joined(separator: ", ")
    let result = try connection.execute(PostgresStatement(name: "migrations_limits", "SELECT \(columns)"))
    var restoring: [String] = []
    for (column, name) in names.enumerated() { try restoring.append("SET \(name) = '\(result.text(0, column))'") }
    return Limits(restoring: restoring.joined(separator: "; "))
  }

  func createHistory() throws(PostgresError) {
    try connection.execute(
      """
      CREATE TABLE IF NOT EXISTS journey_migrations (
        version int PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now(),
        applied_by text NOT NULL DEFAULT current_user,
        duration_ms int NOT NULL
      );
      COMMENT ON TABLE journey_migrations IS 'Which migrations were applied; checksum is the SHA-256 of the file.';
      ALTER TABLE journey_migrations ENABLE ROW LEVEL SECURITY;
      """)
  }

  private static let record = PostgresStatement(
    name: "migrations_record",
    "INSERT INTO journey_migrations (version, name, checksum, duration_ms) VALUES ($1, $2, $3, $4)")

  /// Must run in a transaction of the caller.
  func apply(_ migration: Migration) throws {
    let started = ContinuousClock.now
    do throws(PostgresError) {
      // Every later query queues behind a migration that waits for a lock. Failing is better: the migration can be run
      // again.
      try connection.execute("SET LOCAL lock_timeout = '30s'")
      try connection.execute(migration.sql)
    } catch {
      let line = error.position.map { position in
        1 + migration.sql.unicodeScalars.prefix(position - 1).count { $0 == "\n" }
      }
      throw MigrationError.failed(
        fileName: migration.fileName, line: line, reason: error.description, isRetriable: error.isRetriable)
    }
    guard connection.isInTransaction else {
      throw MigrationError.failed(
        fileName: migration.fileName, line: nil,
        reason: "the file ends its own transaction; remove its COMMIT or ROLLBACK",
        isRetriable: false)
    }
    let milliseconds = Int32((ContinuousClock.now - started) / .milliseconds(1))
    try connection.execute(
      Self.record,
      PostgresParameters {
        $0.int4(migration.version)
        $0.text(migration.name)
        $0.text(migration.checksum)
        $0.int4(milliseconds)
      })
  }
}
