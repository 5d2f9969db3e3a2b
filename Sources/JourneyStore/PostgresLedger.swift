public import FoundationEssentials
import Journey
public import JourneyPipeline
public import PostgresClient
import Synchronization

/// The ledger in PostgreSQL: one connection a commit that runs at the same time, one more for the outbox.
///
/// Each process that runs takes a number and holds an advisory lock of that number. An action's row bears the number of the process that is publishing
/// it; once the lock is gone, so is the process, and another one takes the action over. No clock is compared, no lease expires under a process that is
/// only slow.
public final class PostgresLedger: JourneyLedger {
  private let commits: PostgresPool
  private let control: PostgresWorker
  private let decider: Decider
  private let history: History
  private let clock: any WallClock
  private let lock: InstanceLock
  private let suspects = Suspects()

  /// Connects, and registers this process as an instance.
  /// - Parameter lanes: how many commits run at the same time.
  public static func open(_ settings: PostgresSettings, lanes: Int, decider: Decider, clock: any WallClock) async throws -> PostgresLedger {
    var settings = settings
    settings.plansByIndexes = true
    let control = PostgresWorker(settings, name: "pg-outbox")
    let lock = try await control.perform { try InstanceLock(on: $0) }
    return PostgresLedger(
      commits: PostgresPool(settings, size: lanes, name: "pg-commit"), control: control, decider: decider, clock: clock, lock: lock)
  }

  private init(commits: PostgresPool, control: PostgresWorker, decider: Decider, clock: any WallClock, lock: InstanceLock) {
    self.commits = commits
    self.control = control
    self.decider = decider
    history = History(signals: decider.rules.signals)
    self.clock = clock
    self.lock = lock
  }

  public func close() async {
    await commits.close()
    await control.close()
  }

  public func executor(ofLane lane: Int) -> (any TaskExecutor)? { commits.executors[lane] }

  public func commit(_ batch: EventBatch) async throws(LedgerError) -> CommitReceipt {
    try await classified { [decider, history, clock, lock, suspects] in
      try await commits.perform { connection in
        var commit = BatchCommit(connection: connection, decider: decider, history: history, clock: clock, instance: lock.instance)
        do throws(PostgresError) {
          return try commit.run(batch)
        } catch {
          if error.leavesCommitUnknown, let batch = commit.decided { suspects.add([batch], at: clock.now()) }
          throw error
        }
      }
    }
  }

  public func markPublished(_ batches: [UUID]) async throws(LedgerError) {
    try await onControl { connection in
      _ = try connection.execute(CommitStatements.markPublished, PostgresParameters { $0.uuids(batches) })
    }
  }

  public func release(_ actions: [UUID], of batch: UUID) async throws(LedgerError) {
    let (instance, clock) = (lock.instance, clock)
    try await onControl { connection in
      var random = IDRandom()
      _ = try connection.execute(
        OutboxStatements.release,
        PostgresParameters {
          $0.uuid(batch)
          $0.uuids(actions)
          $0.int4(instance)
          $0.uuid(UUID.v7(at: clock.now(), using: &random))
        })
    }
  }

  public func claimAbandoned(limit: Int) async throws(LedgerError) -> [OutboxBatch] {
    let (instance, suspects, clock, decider) = (lock.instance, suspects, clock, decider)
    return try await onControl { connection in
      let suspected = suspects.ids(at: clock.now())
      let parameters = PostgresParameters {
        $0.int4(instance)
        $0.int4(InstanceLock.keyClass)
        $0.int4(Int32(limit))
        $0.uuids(suspected)
      }
      let answer = try connection.pipeline([(.begin, PostgresParameters()), (OutboxStatements.claim, parameters)])[1]
      let claimed = try (0..<answer.rowCount).map { try answer.uuid($0, 0) }
      guard !claimed.isEmpty else {
        _ = try connection.pipeline([(.commit, PostgresParameters())])
        return []
      }
      // Before COMMIT: after a lost answer nobody else knows that the rows are this instance's.
      suspects.add(claimed, at: clock.now())
      let actions = try connection.pipeline([(OutboxStatements.actions, PostgresParameters { $0.uuids(claimed) }), (.commit, PostgresParameters())])[0]
      suspects.remove(claimed)
      return try OutboxStatements.batches(actions, decider.message)
    }
  }

  private func onControl<Value: Sendable>(
    _ body: @escaping @Sendable (PostgresConnection) throws -> Value
  ) async throws(LedgerError) -> Value {
    try await classified { [lock] in
      try await control.perform { connection in
        try lock.renew(on: connection)
        return try body(connection)
      }
    }
  }

  private func classified<Value>(_ body: () async throws -> Value) async throws(LedgerError) -> Value {
    do {
      return try await body()
    } catch let error as PostgresError {
      throw LedgerError(error)
    } catch {
      throw LedgerError(.transient, "interrupted: \(error)")
    }
  }
}

extension LedgerError {
  /// The one place where a database error becomes the pipeline's.
  init(_ error: PostgresError) {
    let kind: Kind =
      switch error.kind {
      case .poison: .poison
      case .permanent, .decoding: .permanent
      case .transient, .reconnect, .reprepare, .commitUnknown, .deadline, .closed: .transient
      }
    // Without the place in the adapter's source: this text also becomes the reason of a dead letter.
    self.init(kind, error.message + (error.sqlState.map { " (SQLSTATE \($0)\(error.constraint.map { ", constraint \($0)" } ?? ""))" } ?? ""))
  }
}
