public import PostgresClient

/// Brings a database's schema up to date, and remembers what was done in its table `journey_migrations`.
///
/// Each file is a transaction of its own together with its line in that table. A lock of the session makes runners
/// queue, so that several processes may start at once.
public struct Migrator: Sendable {
  private let worker: PostgresWorker
  private let files: [Migration]

  /// - Parameters:
  ///   - worker: logged in as the role that is to own the tables, without `role`.
  ///   - files: from `Migration.load`, in ascending order of versions.
  public init(_ worker: PostgresWorker, files: [Migration]) {
    self.worker = worker
    self.files = files
  }

  /// What is applied and what is not; changes nothing. The adapter's own role may ask, too.
  ///
  /// - Throws: `MigrationError.inconsistent`, `PostgresError`.
  public func plan() async throws -> MigrationPlan {
    let files = files
    return try await worker.perform { try MigrationPlan(files: files, applied: MigrationHistory.read($0)) }
  }

  /// The files that are not applied yet, in order. Throws as `plan` does.
  public func pending() async throws -> [Migration] { try await plan().pending }

  /// Applies what is pending, in order, and takes away what roles hold beyond `AccessList`, also where nothing is
  /// pending.
  ///
  /// - Parameters:
  ///   - progress: called on the worker's thread before each file.
  ///   - revoked: called with what was taken away, for a person.
  /// - Returns: what was applied by this call.
  /// - Throws: `MigrationError.inconsistent`, `.columns` and `.data` before anything is applied; `.failed` for the
  ///   first file that fails, with the ones before it applied; `.access` once all are applied; `PostgresError`.
  @discardableResult
  public func apply(
    progress: (@Sendable (Migration) -> Void)? = nil, revoked: (@Sendable (String) -> Void)? = nil
  ) async throws -> [AppliedMigration] {
    let files = files
    return try await worker.perform { connection in
      try MigrationSession(connection).run { session in
        let plan = try MigrationPlan(files: files, applied: MigrationHistory.read(connection))
        try Self.requireColumns(connection, areAllThere: false)
        try Self.requireData(connection, before: plan.pending)
        // In one transaction: what the host's default privileges hand out of a new object, nobody holds for a moment.
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
        try Self.requireColumns(connection, areAllThere: true)
        try Self.requireAccess(connection)
        let versions = Set(plan.pending.map(\.version))
        return try MigrationHistory.read(connection).filter { versions.contains($0.version) }
      }
    }
  }

  /// Applies what is pending in one transaction and takes it all back: tells whether `apply` would succeed with this
  /// database's contents and this role's privileges. Takes the same locks as `apply` meanwhile.
  ///
  /// - Returns: what `apply` would apply.
  /// - Throws: as `apply`.
  public func rehearse() async throws -> [Migration] {
    let files = files
    return try await worker.perform { connection in
      try MigrationSession(connection).run { session in
        let plan = try MigrationPlan(files: files, applied: MigrationHistory.read(connection))
        try connection.begin()
        do {
          try Self.requireColumns(connection, areAllThere: false)
          try Self.requireData(connection, before: plan.pending)
          try session.createHistory()
          for migration in plan.pending { try session.apply(migration) }
          _ = try AccessRepair.run(connection)
          try Self.requireColumns(connection, areAllThere: true)
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

  private static func requireColumns(_ connection: PostgresConnection, areAllThere: Bool) throws {
    let problems = try HostColumns.problems(connection, areAllThere: areAllThere)
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
