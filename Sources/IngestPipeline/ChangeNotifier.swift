public import FoundationEssentials
public import Journey
public import ServiceLifecycle
import Synchronization

/// Collects the clients that commits have changed, and publishes them at intervals.
///
/// It runs after the commit, not as a trigger within it: `NOTIFY` serializes the commits of all transactions that use
/// it.
public final class ChangeNotifier: Service {
  private static let maxClients = 50
  private let feed: any ChangeFeed
  private let interval: Duration
  private let pending = Mutex<[UUID: Set<UUID>]>([:])

  /// - Parameter interval: how long changes are collected.
  public init(feed: any ChangeFeed, interval: Duration = .milliseconds(300)) {
    self.feed = feed
    self.interval = interval
  }

  func record(_ events: [IncomingEvent]) {
    pending.withLock { pending in
      // In place: copying the set for every event is measurable. The organisation is recorded even if the client's id
      // is unknown.
      for incoming in events { Self.add(incoming.event.client.id, to: &pending[incoming.event.orgID, default: []]) }
    }
  }

  func record(_ clients: [DueResult.Client]) {
    pending.withLock { pending in
      for client in clients { Self.add(client.id, to: &pending[client.orgID, default: []]) }
    }
  }

  private static func add(_ client: UUID?, to clients: inout Set<UUID>) {
    if let client, clients.count < maxClients { clients.insert(client) }
  }

  public func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      while (try? await Task.sleep(for: interval)) != nil {
        let changes = pending.withLock { pending in
          defer { pending = [:] }
          return pending.map { JourneyChange(orgID: $0, clients: $1.count < Self.maxClients ? $1 : []) }
        }
        // A lost notification only delays a view: readers also poll.
        if !changes.isEmpty { try? await feed.notify(changes) }
      }
    }
  }
}

/// An event store that publishes the changes of its commits.
public struct NotifyingStore: EventStore {
  private let store: any EventStore
  private let notifier: ChangeNotifier

  public init(_ store: any EventStore, notifier: ChangeNotifier) {
    self.store = store
    self.notifier = notifier
  }

  public func executor(ofWorker worker: Int) -> (any TaskExecutor)? { store.executor(ofWorker: worker) }

  public func commit(_ batch: EventBatch) async throws(StoreError) -> CommitResult {
    let result = try await store.commit(batch)
    notifier.record(batch.events)
    return result
  }
  public func evaluateDue(limit: Int, passingOver passedOver: PassedOver) async throws(StoreError) -> DueResult {
    let result = try await store.evaluateDue(limit: limit, passingOver: passedOver)
    notifier.record(result.evaluated)
    return result
  }
  public func postponeDue(_ client: UUID) async throws(StoreError) { try await store.postponeDue(client) }
  public func check() async throws(StoreError) { try await store.check() }
  public func markPublished(_ batches: [UUID]) async throws(StoreError) { try await store.markPublished(batches) }
  public func release(_ actions: ReleasedActions, of batch: UUID) async throws(StoreError) {
    try await store.release(actions, of: batch)
  }
  public func claimRevocations(limit: Int) async throws(StoreError) -> [ActionMessage] {
    try await store.claimRevocations(limit: limit)
  }
  public func markRevoked(_ actions: [UUID]) async throws(StoreError) { try await store.markRevoked(actions) }
  public func unpublished(of actions: [UUID]) async throws(StoreError) -> Set<UUID> {
    try await store.unpublished(of: actions)
  }
  public func claimAbandoned(limit: Int) async throws(StoreError) -> [OutboxBatch] {
    try await store.claimAbandoned(limit: limit)
  }
  public func forgetPublished(limit: Int) async throws(StoreError) -> Int {
    try await store.forgetPublished(limit: limit)
  }

  public func keepIgnored(_ messages: [InboundMessage]) async throws(StoreError) {
    try await store.keepIgnored(messages)
  }

  public func forgetRawBodies(limit: Int, bytes: Int) async throws(StoreError) -> Int {
    try await store.forgetRawBodies(limit: limit, bytes: bytes)
  }
}
