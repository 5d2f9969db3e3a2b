public import FoundationEssentials
public import Journey
public import PostgresClient
import Synchronization

/// The event store in PostgreSQL: one connection per concurrent commit, and one for the outbox.
///
/// Each process takes a number and holds an advisory lock on it. An outbox batch carries the number of the process that
/// publishes it. If no session holds that lock, the process is dead and another instance claims the batch. No lease can
/// expire while a slow process is still publishing.
public final class PostgresEventStore: EventStore {
  let commits: PostgresPool
  private let control: PostgresWorker
  /// For evaluations as time passes, and of clients that are to be decided again.
  private let overTime: PostgresWorker
  private let clockOffsetMicroseconds: Atomic<Int64>
  let decider: Decider
  let groupEvents: GroupEvents
  private let history: SummaryRebuild
  let clock: any WallClock
  private let lock: InstanceLock
  private let raw: RawBodies?
  private let claims = OutboxClaims()
  let sweep = GroupSweep()
  /// Which sources were heard, and which organisations are frozen because one fell silent.
  public let feeds = FeedActivity()

  /// Connects, and registers this process as an instance.
  /// - Parameters:
  ///   - workers: how many commits run concurrently.
  ///   - groupEvents: what happens to events that name only a group.
  ///   - raw: how raw bodies are kept; nil: this store neither keeps nor deletes any.
  ///   - clockOffset: added to the database's clock for evaluations; for tests and simulations.
  public static func open(
    _ settings: PostgresSettings, workers: Int, decider: Decider, groupEvents: GroupEvents = .owner,
    clock: any WallClock, raw: RawBodies? = nil,
    clockOffset: TimeSpan = .seconds(0)
  ) async throws -> PostgresEventStore {
    var settings = settings
    settings.plansByIndexes = true
    let control = PostgresWorker(settings, name: "pg-outbox")
    let lock = try await control.perform { try InstanceLock(on: $0) }
    // Locked rows are skipped. Even so the server waits for the lock if a row has a newer version. The wait is short,
    // because the other clients' events wait too.
    settings.lockTimeout = .milliseconds(200)
    let store = PostgresEventStore(
      commits: PostgresPool(settings, size: workers, name: "pg-commit"), control: control,
      overTime: PostgresWorker(settings, name: "pg-time"),
      clockOffset: clockOffset, decider: decider, groupEvents: groupEvents, clock: clock, lock: lock, raw: raw)
    do {
      try await store.readFeeds()
    } catch {
      await store.close()
      throw error
    }
    return store
  }

  private init(
    commits: PostgresPool, control: PostgresWorker, overTime: PostgresWorker, clockOffset: TimeSpan, decider: Decider,
    groupEvents: GroupEvents, clock: any WallClock, lock: InstanceLock, raw: RawBodies?
  ) {
    self.commits = commits
    self.control = control
    self.overTime = overTime
    clockOffsetMicroseconds = Atomic(clockOffset.microseconds)
    self.decider = decider
    self.groupEvents = groupEvents
    history = SummaryRebuild(decider.rules)
    self.clock = clock
    self.lock = lock
    self.raw = raw
  }

  var clockOffset: TimeSpan { TimeSpan(microseconds: clockOffsetMicroseconds.load(ordering: .relaxed)) }

  /// Evaluates at another time from now on; for simulations.
  package func setClock(to offset: TimeSpan) {
    clockOffsetMicroseconds.store(offset.microseconds, ordering: .relaxed)
  }

  public func close() async {
    await commits.close()
    await control.close()
    await overTime.close()
  }

  public func executor(ofWorker worker: Int) -> (any TaskExecutor)? { commits.executors[worker] }

  public func commit(_ batch: EventBatch) async throws(StoreError) -> CommitResult {
    if decider.rules.feedOutage != nil { feeds.hear(batch.events) }
    return try await withStoreErrors { [claims] in
      try await commits.perform { [self] connection in
        try contending { () throws(PostgresError) in
          let result = try commit(on: connection).run(batch)
          claims.remove(batch.published)
          return result
        }
      }
    }
  }

  public func evaluateDue(limit: Int, passingOver passedOver: PassedOver) async throws(StoreError) -> DueResult {
    try await withStoreErrors {
      try await overTime.perform { [self] connection in
        let work = commit(on: connection)
        var first: UUID?
        do {
          return try contending { () throws(PostgresError) in
            try work.evaluateDue(limit: limit, passingOver: passedOver, first: &first)
          }
        } catch {
          guard limit == 1 else { throw error }
          var failure = StoreError(wrapping: error)
          // After a lock timeout no client has been read yet.
          if first == nil, failure.kind == .contended { first = try work.firstDue(passingOver: passedOver) }
          failure.client = first
          throw failure
        }
      }
    }
  }

  public func postponeDue(_ client: UUID) async throws(StoreError) {
    try await withStoreErrors { [clockOffset] in
      try await overTime.perform { connection in
        _ = try connection.execute(DueStatements.postpone, DueStatements.postponement(of: client, at: clockOffset))
      }
    }
  }

  func commit(on connection: PostgresConnection) -> BatchCommit {
    BatchCommit(
      connection: connection, decider: decider, history: history, clock: clock, clockOffset: clockOffset,
      instance: lock.instance, claims: claims, groupEvents: groupEvents, frozen: feeds.frozen, raw: raw)
  }

  // Any instance may publish the batches of this commit.
  func abandonedCommit(on connection: PostgresConnection) -> BatchCommit {
    BatchCommit(
      connection: connection, decider: decider, history: history, clock: clock, clockOffset: clockOffset,
      instance: InstanceLock.nobody,
      claims: OutboxClaims(), groupEvents: groupEvents, frozen: feeds.frozen)
  }

  /// - Parameter states: the errors after which the work is retried.
  func contending<Value>(
    on states: Set<String> = ["55P03"], _ body: () throws(PostgresError) -> Value
  ) throws -> Value {
    do throws(PostgresError) {
      return try body()
    } catch {
      guard let state = error.sqlState, states.contains(state) else { throw error }
      let refusal = StoreError(error)
      throw StoreError(.contended, refusal.description, detail: refusal.detail)
    }
  }

  public func check() async throws(StoreError) {
    try await onControl { [history, raw] connection in
      try CommitCheck.run(on: connection, history, keepsRawBodies: raw?.writer != nil)
    }
  }

  public func markPublished(_ batches: [UUID]) async throws(StoreError) {
    try await onControl { connection in
      _ = try connection.execute(CommitStatements.markPublished, PostgresParameters { $0.uuids(batches) })
    }
    claims.remove(batches)
  }

  public func release(_ actions: ReleasedActions, of batch: UUID) async throws(StoreError) {
    let (instance, clock) = (lock.instance, clock)
    try await onControl { connection in
      var random = IDRandom()
      let next = UUID.v7(at: clock.now(), using: &random)
      var batches: [Int64: UUID] = [:]
      for (_, hold) in actions.held where batches[hold] == nil {
        batches[hold] = UUID.v7(at: clock.now(), using: &random)
      }
      _ = try connection.execute(
        OutboxStatements.release,
        PostgresParameters {
          $0.uuid(batch)
          $0.uuids(actions.failed)
          $0.int4(instance)
          $0.uuid(next)
          $0.text(actions.reason)
          $0.uuids(actions.held) { $0.id }
          $0.uuids(actions.held) { batches[$0.hold] }
          $0.int8s(actions.held) { $0.hold }
          $0.bool(!actions.isCertain)
        })
    }
    claims.remove([batch])
  }

  public func unpublished(of actions: [UUID]) async throws(StoreError) -> Set<UUID> {
    try await onControl { connection in
      let found = try connection.execute(OutboxStatements.unpublished, PostgresParameters { $0.uuids(actions) })
      return Set(try (0..<found.rowCount).map { try found.uuid($0, 0) })
    }
  }

  public func forgetPublished(limit: Int) async throws(StoreError) -> Int {
    try await onControl { connection in
      try connection.execute(OutboxStatements.forget, PostgresParameters { $0.int4(Int32(limit)) }).rowCount
    }
  }

  public func keepIgnored(_ messages: [InboundMessage]) async throws(StoreError) {
    guard let writer = raw?.writer else { return }
    let now = clock.now()
    try await onControl { connection in
      let commands = RawBatch.commands(messages.map { RawBatch.Kept(message: $0) }, writer, at: now)
      _ = try connection.pipeline([(.begin, PostgresParameters())] + commands + [(.commit, PostgresParameters())])
    }
  }

  public func forgetRawBodies(limit: Int, bytes: Int) async throws(StoreError) -> Int {
    guard let raw else { return 0 }
    return try await onControl { connection in
      let parameters = PostgresParameters {
        $0.int4(Int32(limit))
        $0.int4(raw.writer == nil ? 0 : Int32(raw.retentionDays))
        $0.int8(Int64(bytes))
      }
      return try connection.execute(RawStatements.forget, parameters).rowCount
    }
  }

  public func claimAbandoned(limit: Int) async throws(StoreError) -> [OutboxBatch] {
    // The actions that follow are claimed with the others.
    await deliverDueGroups()
    await fireDueExpectations()
    let (instance, claims, clock, decider) = (lock.instance, claims, clock, decider)
    return try await onControl { connection in
      let parameters = PostgresParameters {
        $0.int4(instance)
        $0.int4(InstanceLock.keyClass)
        $0.int4(Int32(limit))
        $0.uuids(claims.ids)
      }
      let answer = try connection.pipeline([(.begin, PostgresParameters()), (OutboxStatements.claim, parameters)])[1]
      let claimed = try (0..<answer.rowCount).map { try answer.uuid($0, 0) }
      guard !claimed.isEmpty else {
        _ = try connection.pipeline([(.commit, PostgresParameters())])
        return []
      }
      // If this COMMIT's outcome is unknown, the next claim finds the batches.
      claims.insert(claimed)
      do {
        let found = try connection.execute(OutboxStatements.actions, PostgresParameters { $0.uuids(claimed) })
        let actions = try (0..<found.rowCount).map { try StoredAction(found, $0) }
        var batches = Self.batches(of: actions, decider.message)
        let changes = try connection.execute(
          ClientChangeStatements.ofBatches, PostgresParameters { $0.uuids(claimed) })
        try Self.add(changes, to: &batches, decider.change)
        let rest = Set(claimed).subtracting(batches.map(\.id))
        _ = try connection.pipeline(
          Self.settingAside(actions, at: clock.now()) + Self.leavingOut(actions, at: clock.now())
            + (rest.isEmpty ? [] : [(OutboxStatements.deleteEmpty, PostgresParameters { $0.uuids(Array(rest)) })]) + [
              (.commit, PostgresParameters())
            ])
        claims.remove(Array(rest))
        return batches
      } catch {
        claims.remove(claimed)
        throw error
      }
    }
  }

  private static func batches(of actions: [StoredAction], _ message: (RecommendedAction) -> ActionMessage)
    -> [OutboxBatch]
  {
    var batches: [OutboxBatch] = []
    for action in actions {
      guard !action.isTakenBack, case .success(let content) = action.content else { continue }
      if batches.last?.id != action.batch { batches.append(OutboxBatch(id: action.batch, actions: [])) }
      batches[batches.count - 1].actions.append(message(content))
    }
    return batches
  }

  /// Changes of clients that an instance with the feed has left behind are published even where it is off now.
  private static func add(
    _ changes: PostgresResult, to batches: inout [OutboxBatch], _ message: ((ClientChange) -> ActionMessage)?
  ) throws(PostgresError) {
    for row in 0..<changes.rowCount {
      guard let message = try ClientChange(changes, row).flatMap({ message?($0) }) else { continue }
      let batch = try changes.uuid(row, 8)
      if let index = batches.firstIndex(where: { $0.id == batch }) {
        batches[index].actions.append(message)
      } else {
        batches.append(OutboxBatch(id: batch, actions: [message]))
      }
    }
  }

  private static func settingAside(_ actions: [StoredAction], at now: Timestamp) -> [(
    PostgresStatement, PostgresParameters
  )] {
    var random = IDRandom()
    let failed = actions.compactMap { action -> (id: UUID, batch: UUID, error: UnreadableAction)? in
      guard !action.isTakenBack, case .failure(let error) = action.content else { return nil }
      return (action.id, UUID.v7(at: now, using: &random), error)
    }
    guard !failed.isEmpty else { return [] }
    let parameters = PostgresParameters {
      $0.uuids(failed) { $0.id }
      $0.uuids(failed) { $0.batch }
      $0.texts(failed) { $0.error.reason }
      $0.bools(failed) { $0.error.isFinal }
    }
    return [(OutboxStatements.setAside, parameters)]
  }

  func onControl<Value: Sendable>(
    _ body: @escaping @Sendable (PostgresConnection) throws -> Value
  ) async throws(StoreError) -> Value {
    try await withStoreErrors { [lock] in
      try await control.perform { connection in
        try lock.renew(on: connection)
        return try body(connection)
      }
    }
  }
}
