import FoundationEssentials
public import Journey
import PostgresClient

/// Voids or restores stored events, some per transaction, and recomputes their clients.
///
/// Running it again changes nothing more. Clients that another transaction has locked are retried.
public struct EventVoiding: Sendable {
  public struct Progress: Sendable {
    public var events = 0
    /// Clients with another outcome now.
    public var clients = 0
    public var actions = 0
    /// Events of clients that are still locked.
    public var held = 0
    /// Events that the database refuses to change, with the reasons.
    public var failed: [String] = []
    public var isComplete = false
  }

  public var selection: EventSelection
  /// Whether events are restored instead.
  public var restores: Bool
  public var author: EventChangeAuthor
  public var publishes = false
  /// Events per transaction.
  public var limit = 500
  public var rounds = 10
  public var pause = Duration.seconds(1)

  public init(_ selection: EventSelection, restores: Bool = false, author: EventChangeAuthor) {
    self.selection = selection
    self.restores = restores
    self.author = author
    self.selection.isVoided = restores
  }

  /// - Returns: the progress, also if the task was cancelled.
  public func run(
    on store: PostgresEventStore, report: (Progress) -> Void = { _ in }
  ) async throws(StoreError) -> Progress {
    var progress = Progress()
    var after: UUID?
    var held: [EventToChange] = []
    do throws(StoreError) {
      while !Task.isCancelled {
        let page = try await store.events(selection, after: after, limit: limit)
        guard let last = page.last else {
          try await comeBack(to: held, store, &progress, report)
          return progress
        }
        let begin = ContinuousClock.now
        held += try await apply(page, store, &progress)
        progress.held = held.count
        after = last.id
        report(progress)
        try? await Task.sleep(for: ContinuousClock.now - begin)
      }
    } catch {
      guard error.isInterruption else { throw error }
    }
    return progress
  }

  private func comeBack(
    to held: [EventToChange], _ store: PostgresEventStore, _ progress: inout Progress, _ report: (Progress) -> Void
  ) async throws(StoreError) {
    let rest = try await work.tryAgain(held) { events throws(StoreError) in
      try await apply(events, store, &progress)
    } report: {
      progress.held = $0
      report(progress)
    }
    progress.isComplete = rest.isEmpty
  }

  private var work: HeldWork { HeldWork(limit: limit, rounds: rounds, pause: pause) }

  private func apply(
    _ events: [EventToChange], _ store: PostgresEventStore, _ progress: inout Progress
  ) async throws(StoreError) -> [EventToChange] {
    try await work.apply(events) { event, error in
      progress.failed.append("\(event.id): \(error)")
      return progress.failed.count
    } _: { events throws(StoreError) in
      let result = try await store.change(events, self)
      progress.events += result.events
      progress.clients += result.outcome.changed
      progress.actions += result.outcome.actions
      return result.held
    }
  }
}

struct EventToChange: Sendable {
  var id: UUID
  var clientID: UUID
  var orgID: UUID
  var occurredAt: Timestamp
}

extension BatchCommit {
  /// Voids or restores events in one transaction.
  func change(
    _ events: [EventToChange], restores: Bool, source: String?, by author: EventChangeAuthor, publishes: Bool
  ) throws(PostgresError) -> (events: Int, outcome: RecomputeResult, held: [EventToChange]) {
    _ = try connection.pipeline([(.begin, PostgresParameters())])
    let locked = try lockForChange(
      Dictionary(events.map { ($0.clientID, $0.orgID) }, uniquingKeysWith: { first, _ in first }))
    let free = events.filter { locked.contains($0.clientID) }
    let held = events.filter { !locked.contains($0.clientID) }
    var outcome = RecomputeResult()
    guard !free.isEmpty else {
      try connection.rollback()
      return (0, outcome, held)
    }
    let action: EventChangeAction = restores ? .restore : .void
    let change = try record(
      action, of: source, free.map(\.id), counts: [restores ? "restored" : "voided": free.count], by: author)
    let statement =
      restores
      ? (EventChangeStatements.restore, PostgresParameters { $0.uuids(free) { $0.id } })
      : (
        EventChangeStatements.void,
        PostgresParameters {
          $0.int8(change)
          $0.uuids(free) { $0.id }
        }
      )
    _ = try connection.pipeline([statement])
    let times = Dictionary(free.map { ($0.clientID, $0.occurredAt) }, uniquingKeysWith: min)
    let writes = try statesAfterChange(of: times, publishes: publishes, &outcome)
    try end(writes, isRehearsal: false)
    return (free.count, outcome, held)
  }
}

extension PostgresEventStore {
  func events(
    _ selection: EventSelection, after: UUID?, limit: Int
  ) async throws(StoreError) -> [EventToChange] {
    var parameters = PostgresParameters()
    var conditions = selection.conditions(&parameters)
    if let after {
      conditions += " AND e.id > $\(parameters.count + 1)::uuid"
      parameters.uuid(after)
    }
    let sql = """
      SELECT e.id, e.client_id, e.org_id, e.occurred_at FROM client_journey_events e
      WHERE \(conditions) ORDER BY e.id LIMIT \(limit)
      """
    return try await withStoreErrors { [parameters] in
      try await commits.perform { connection in
        let found = try connection.execute(
          PostgresStatement(selecting: "events_to_change", sql), parameters)
        return try (0..<found.rowCount).map { row in
          EventToChange(
            id: try found.uuid(row, 0), clientID: try found.uuid(row, 1), orgID: try found.uuid(row, 2),
            occurredAt: Timestamp(microseconds: try found.timestamp(row, 3)))
        }
      }
    }
  }

  func change(
    _ events: [EventToChange], _ voiding: EventVoiding
  ) async throws(StoreError) -> (events: Int, outcome: RecomputeResult, held: [EventToChange]) {
    try await withStoreErrors {
      try await commits.perform { [self] connection in
        try contending { () throws(PostgresError) in
          try abandonedCommit(on: connection).change(
            events, restores: voiding.restores, source: voiding.selection.source, by: voiding.author,
            publishes: voiding.publishes)
        }
      }
    }
  }
}
