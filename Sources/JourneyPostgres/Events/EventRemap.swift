public import FoundationEssentials
public import Journey
import PostgresClient

/// Maps kept messages again and makes the stored events what the current rules make of them, while the adapter keeps
/// running: one batch of raw bodies at a time, some messages per transaction.
///
/// Running it again changes nothing more, so an interrupted run is simply repeated. Clients that another transaction
/// has locked are retried; each transaction is followed by a pause as long as it took.
public struct EventRemap: Sendable {
  public struct Progress: Sendable {
    public var counts = RemapCounts()
    /// The first differences, for the display.
    public var differences: [RemapDifference] = []
    /// Messages with clients that are still locked.
    public var held = 0
    /// Messages that the database refuses, with the reasons.
    public var failed: [String] = []
    /// Records that this version does not read.
    public var unreadable = 0
    /// All batches up to this one are finished.
    public var after: UUID?
    public var isComplete = false
  }

  /// The database refuses the work or is unreachable.
  public struct Stopped: Error {
    public var error: StoreError
    public var progress: Progress
  }

  public var source: String
  public var since: Timestamp?
  public var until: Timestamp?
  public var orgID: UUID?
  public var clientID: UUID?
  public var after: UUID?
  public var publishes = false
  public var isRehearsal = false
  public var author: EventChangeAuthor
  /// Messages per transaction.
  public var limit = 200
  public var maxDifferences = 20
  /// How many times locked clients are retried, with `pause` before each time.
  public var rounds = 10
  public var pause = Duration.seconds(1)

  public init(source: String, author: EventChangeAuthor) {
    self.source = source
    self.author = author
  }

  /// - Parameter report: called after each transaction.
  /// - Returns: the progress, also if the task was cancelled.
  /// - Throws: `Stopped`.
  public func run(
    on store: PostgresEventStore, mapper: any RawMessageMapper, report: (Progress) -> Void = { _ in }
  ) async throws(Stopped) -> Progress {
    var progress = Progress()
    progress.after = after
    do throws(StoreError) {
      while !Task.isCancelled {
        guard let batch = try await store.rawBatch(after: progress.after, of: self) else {
          progress.isComplete = progress.held == 0
          return progress
        }
        let items = items(of: batch, mapper, &progress)
        var isStopped = false
        for part in parts(of: items) {
          guard !Task.isCancelled else {
            isStopped = true
            break
          }
          let begin = ContinuousClock.now
          try await finish(part, of: batch.id, store, &progress)
          report(progress)
          try? await Task.sleep(for: ContinuousClock.now - begin)
        }
        guard !isStopped else { break }
        progress.after = batch.id
      }
      return progress
    } catch {
      if error.isInterruption { return progress }
      throw Stopped(error: error, progress: progress)
    }
  }

  /// The messages of each transaction: limited in number, and in the events that are concerned.
  private func parts(of items: [RemapItem]) -> [[RemapItem]] {
    var parts: [[RemapItem]] = []
    var events = 0
    for item in items {
      if let last = parts.last, last.count < limit, events < 500 {
        parts[parts.count - 1].append(item)
      } else {
        parts.append([item])
        events = 0
      }
      events += max(item.events.count, item.owned.count)
    }
    return parts
  }

  /// Applies some messages, and retries those that were held.
  private func finish(
    _ items: [RemapItem], of batch: UUID, _ store: PostgresEventStore, _ progress: inout Progress
  ) async throws(StoreError) {
    var rest = try await apply(items, of: batch, store, &progress)
    for round in 0..<rounds where !rest.isEmpty && !Task.isCancelled {
      // The first time only the states of new clients may have been missing.
      if round > 0 || isRehearsal { try? await Task.sleep(for: pause) }
      rest = try await apply(rest, of: batch, store, &progress)
    }
    progress.held += rest.count
  }

  private func apply(
    _ items: [RemapItem], of batch: UUID, _ store: PostgresEventStore, _ progress: inout Progress
  ) async throws(StoreError) -> [RemapItem] {
    try await HeldWork(limit: limit, rounds: rounds, pause: pause).apply(items) { item, error in
      let id = item.events.first?.event.sourceEventID ?? "a message without events"
      progress.failed.append("\(id): \(error)")
      return progress.failed.count
    } _: { items throws(StoreError) in
      let result = try await store.remap(items, of: batch, self)
      progress.counts.add(result.counts)
      let space = max(0, maxDifferences - progress.differences.count)
      progress.differences += result.differences.prefix(space)
      return result.held
    }
  }

  private func items(
    of batch: RawBatchRow, _ mapper: any RawMessageMapper, _ progress: inout Progress
  ) -> [RemapItem] {
    var items: [RemapItem] = []
    for (position, record) in batch.messages.enumerated() {
      guard let message = mapper.map(record) else {
        progress.unreadable += 1
        continue
      }
      let time = message.origin.receivedAt
      guard since.map({ time >= $0 }) ?? true, until.map({ time < $0 }) ?? true,
        message.origin.source == source || message.events.contains(where: { $0.event.source == source })
      else { continue }
      if message.readsRedacted {
        progress.counts.redacted += 1
        continue
      }
      let events = message.events.filter { orgID == nil || $0.event.orgID == orgID }
      items.append(
        RemapItem(
          position: Int32(position), events: events, owned: batch.events[Int32(position)] ?? [],
          isUndecided: !message.rejections.isEmpty || events.count < message.events.count,
          rejections: message.rejections.map(\.code)))
    }
    return items
  }
}

/// A row of `journey_raw_batches`.
struct RawBatchRow: Sendable {
  var id: UUID
  var messages: [ArraySlice<UInt8>]
  /// The rows that were made of each message, by its number.
  var events: [Int32: Set<UUID>] = [:]

  init(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    id = try result.uuid(row, 0)
    let records = try result.bytes(row, 1)
    messages = []
    var start = 0
    while records.count - start >= 4 {
      let length = (0..<4).reduce(0) { $0 | Int(records[start + $1]) << (8 * $1) }
      guard records.count - start - 4 >= length else { break }
      messages.append(records[(start + 4)..<(start + 4 + length)])
      start += 4 + length
    }
    for case (let id?, let message?) in zip(try result.uuids(row, 2), try result.int4s(row, 3)) {
      events[message, default: []].insert(id)
    }
  }
}

extension PostgresEventStore {
  func rawBatch(after: UUID?, of remap: EventRemap) async throws(StoreError) -> RawBatchRow? {
    let parameters = PostgresParameters {
      $0.uuid(after ?? UUID.zero)
      $0.text(remap.source)
      $0.timestamptz(remap.since?.microseconds)
      $0.timestamptz(remap.until?.microseconds)
      $0.uuid(remap.orgID)
    }
    return try await withStoreErrors {
      try await commits.perform { connection in
        let result = try connection.execute(EventChangeStatements.nextBatch, parameters)
        return result.rowCount == 0 ? nil : try RawBatchRow(result, 0)
      }
    }
  }

  func remap(_ items: [RemapItem], of batch: UUID, _ remap: EventRemap) async throws(StoreError) -> RemapResult {
    try await withStoreErrors {
      try await commits.perform { [self] connection in
        // Where a client was split meanwhile, its events are looked up again.
        try contending(on: ["55P03", "40001"]) { () throws(PostgresError) in
          let commit = abandonedCommit(on: connection)
          let (resolved, unresolved) = try commit.resolvingReferences(items)
          // Clients are created for all of the messages, so first those that matter are selected.
          let selected =
            try remap.clientID.map { id throws(PostgresError) in
              try commit.items(resolved, ofClient: id, orgID: remap.orgID)
            } ?? resolved
          var result = try commit.remap(
            selected, of: batch, source: remap.source, orgID: remap.orgID, clientID: remap.clientID, by: remap.author,
            publishes: remap.publishes, isRehearsal: remap.isRehearsal)
          result.counts.unresolved += unresolved
          return result
        }
      }
    }
  }
}
