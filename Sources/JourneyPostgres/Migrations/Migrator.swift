public import PostgresClient

/// Brings a database's schema up to date, and records what was applied in the table `journey_migrations`.
///
/// Each file is applied in a transaction together with its row in that table. A session lock makes concurrent runs
/// queue, so several processes may start at the same time.
public struct Migrator: Sendable {
  private let worker: PostgresWorker
  private let files: [Migration]

  /// - Parameters:
  ///   - worker: logged in as the owner of the tables, without `role`.
  ///   - files: from `Migration.load`, ordered by version.
  public init(_ worker: PostgresWorker, files: [Migration]) {
    self.worker = worker
    self.files = files
  }

  /// Compares the files with the database, without changing anything. The adapter's own role may call it, too.
  ///
  /// - Throws: `MigrationError.inconsistent`, `PostgresError`.
  public func plan() async throws -> MigrationPlan {
    let files = files
    return try await worker.perform { try MigrationPlan(files: files, applied: MigrationHistory.read($0)) }
  }

  /// The files that are not applied yet, in order. Throws as `plan` does.
  public func pending() async throws -> [Migration] { try await plan().pending }

  /// Applies the pending files in order, and revokes privileges beyond `AccessList`, also if no file is pending.
  ///
  /// - Parameters:
  ///   - progress: called on the worker's thread before each file.
  ///   - revoked: called with each revoked privilege, as text for the operator.
  /// - Returns: the files that this call applied.
  /// - Throws: `MigrationError.inconsistent`, `.columns` and `.data` before anything is applied; `.failed` for the
  ///   first file that fails, while the files before it stay applied; `.access` after all files are applied;
  ///   `PostgresError`.
  @discardableResult
  public func apply(
    progress: (@Sendable (Migration) -> Void)? = nil, revoked: (@Sendable (String) -> Void)? = nil
  ) async throws -> [AppliedMigration] {
    let files = files
    return try await worker.perform { connection in
      try MigrationSession(connection).run { session in
        let plan = try MigrationPlan(files: files, applied: MigrationHistory.read(connection))
        try Self.requireColumns(connection, after: nil)
        try Self.requireData(connection, before: plan.pending)
        // In the same transaction, so that the host's default privileges on a new object never take effect.
        func closed(_ body: () throws -> Void) throws {
          let found = try connection.transaction {
            try body()
            return try AccessRepair.run(connection)
          }
          for text in found { revoked?(text) }
        }
        if !plan.pending.isEmpty { try closed { try session.createHistory() } }
        for migration in plan.pending {
          progress?(migration)
          try closed { try session.apply(migration) }
        }
        try closed {}
        try Self.requireColumns(connection, after: files.last?.version)
        try Self.requireAccess(connection)
        let versions = Set(plan.pending.map(\.version))
        return try MigrationHistory.read(connection).filter { versions.contains($0.version) }
      }
    }
  }

  /// Applies the pending files in one transaction and rolls it back. This shows whether `apply` would succeed with this
  /// database's contents and this role's privileges. Takes the same locks as `apply`.
  ///
  /// - Returns: the files that `apply` would apply.
  /// - Throws: as `apply`.
  public func rehearse() async throws -> [Migration] {
    let files = files
    return try await worker.perform { connection in
      try MigrationSession(connection).run { session in
        let plan = try MigrationPlan(files: files, applied: MigrationHistory.read(connection))
        try connection.begin()
        do {
          try Self.requireColumns(connection, after: nil)
          try Self.requireData(connection, before: plan.pending)
          try session.createHistory()
          for migration in plan.pending { try session.apply(migration) }
          _ = try AccessRepair.run(connection)
          try Self.requireColumns(connection, after: files.last?.version)
          try Self.requireAccess(connection)
        } catch {
          if connection.isUsable { try connection.rollback() }
          throw error
        }
        try connection.rollback()
        return plan.pending
      }
    }
  }

  private static func requireColumns(_ connection: PostgresConnection, after version: Int32?) throws {
    let problems = try HostColumns.problems(connection, after: version)
    guard problems.isEmpty else { throw MigrationError.columns(problems) }
  }

  private static func requireData(_ connection: PostgresConnection, before pending: [Migration]) throws {
    let problems = try HostData.problems(connection, before: pending)
    guard problems.isEmpty else { throw MigrationError.data(problems) }
  }

  private static func requireAccess(_ connection: PostgresConnection) throws {
    let problems = try AccessCheck.read(connection).problems
    guard problems.isEmpty else { throw MigrationError.access(problems) }
  }
}
