public import FoundationEssentials
public import Journey
import PostgresClient

/// Recomputes clients from their stored events under the current rules: a page at a time, ordered by id, while the
/// adapter keeps running.
///
/// Clients that another transaction has locked are skipped and retried at the end. After each transaction it sleeps for
/// as long as the transaction took.
public struct Recompute: Sendable {
  public struct Progress: Sendable {
    public var looked = 0
    /// How many have a different outcome now: stage, score, level or risks.
    public var changed = 0
    /// How many have the same outcome, but had an outdated state.
    public var refreshed = 0
    public var actions = 0
    /// How many are still locked by other transactions.
    public var held = 0
    /// Clients whose recompute the database refuses, with the reasons.
    public var failed: [(id: UUID, reason: String)] = []
    /// All clients up to this id are finished; nil: start with the first one.
    public var after: UUID?
    public var isComplete = false
  }

  public var orgID: UUID?
  /// Restricts the run to this client.
  public var clientID: UUID?
  public var after: UUID?
  /// Whether actions are written to the outbox. Any instance of `journey serve` publishes them.
  public var publishes = false
  /// Whether every transaction is rolled back.
  public var isRehearsal = false
  /// Clients per transaction.
  public var limit = 200
  /// How many times locked clients are retried, with `pause` before each time.
  public var rounds = 10
  public var pause = Duration.seconds(1)

  public init() {}

  /// - Parameter report: called after each transaction.
  /// - Returns: the progress, also if the task was cancelled.
  /// - Throws: `Stopped`.
  public func run(on store: PostgresEventStore, report: (Progress) -> Void = { _ in }) async throws(Stopped) -> Progress
  {
    var progress = Progress()
    progress.after = after
    do throws(StoreError) {
      let held = try await goThrough(store, &progress, report)
      try await comeBack(to: held, store, &progress, report)
      return progress
    } catch {
      if error.isInterruption { return progress }
      throw Stopped(error: error, progress: progress)
    }
  }

  /// The database refuses the work or is unreachable.
  public struct Stopped: Error {
    public var error: StoreError
    public var progress: Progress
  }

  /// - Returns: the clients that were locked.
  private func goThrough(
    _ store: PostgresEventStore, _ progress: inout Progress, _ report: (Progress) -> Void
  ) async throws(StoreError) -> [RecomputeClient] {
    var held: [RecomputeClient] = []
    var last = after
    while !Task.isCancelled {
      let page = try await store.clients(after: last, orgID: orgID, clientID: clientID, limit: limit)
      guard let end = page.last else {
        progress.isComplete = held.isEmpty
        return held
      }
      let begin = ContinuousClock.now
      held += try await apply(page, store, &progress)
      progress.looked += page.count
      progress.held = held.count
      last = end.id
      // An interrupted run resumes with the first page that contained a locked client.
      if held.isEmpty { progress.after = last }
      report(progress)
      if clientID != nil {
        progress.isComplete = held.isEmpty
        return held
      }
      try? await Task.sleep(for: ContinuousClock.now - begin)
    }
    return held
  }

  private func comeBack(
    to held: [RecomputeClient], _ store: PostgresEventStore, _ progress: inout Progress, _ report: (Progress) -> Void
  ) async throws(StoreError) {
    guard !held.isEmpty else { return }
    let rest = try await work.tryAgain(held) { clients throws(StoreError) in
      try await apply(clients, store, &progress)
    } report: {
      progress.held = $0
      report(progress)
    }
    progress.isComplete = rest.isEmpty && !Task.isCancelled
  }

  private var work: HeldWork { HeldWork(limit: limit, rounds: rounds, pause: pause) }

  private func apply(
    _ clients: [RecomputeClient], _ store: PostgresEventStore, _ progress: inout Progress
  ) async throws(StoreError) -> [RecomputeClient] {
    try await work.apply(clients) { client, error in
      progress.failed.append((client.id, error.description))
      return progress.failed.count
    } _: { clients throws(StoreError) in
      let result = try await store.recompute(clients, publishes: publishes, isRehearsal: isRehearsal)
      progress.changed += result.changed
      progress.refreshed += result.refreshed
      progress.actions += result.actions
      return result.held
    }
  }
}

extension PostgresEventStore {
  func clients(after: UUID?, orgID: UUID?, clientID: UUID?, limit: Int) async throws(StoreError) -> [RecomputeClient] {
    let parameters = PostgresParameters {
      $0.uuid(clientID ?? after ?? UUID.zero)
      $0.uuids(orgID.map { [$0] } ?? [])
      $0.int4(Int32(clientID == nil ? limit : 1))
      $0.uuids(clientID == nil ? after.map { [$0] } ?? [] : [])
    }
    return try await withStoreErrors {
      try await commits.perform { connection in
        let result = try connection.execute(RecomputeStatements.page, parameters)
        let clients = try (0..<result.rowCount).map { row in
          RecomputeClient(
            id: try result.uuid(row, 0), orgID: try result.uuid(row, 1), hasState: try result.bool(row, 2))
        }
        return clientID.map { id in clients.filter { $0.id == id } } ?? clients
      }
    }
  }

  func recompute(_ clients: [RecomputeClient], publishes: Bool, isRehearsal: Bool) async throws(StoreError)
    -> RecomputeResult
  {
    try await withStoreErrors {
      try await commits.perform { [self] connection in
        try contending { () throws(PostgresError) in
          try abandonedCommit(on: connection).recompute(clients, publishes: publishes, isRehearsal: isRehearsal)
        }
      }
    }
  }
}
