public import FoundationEssentials
import Journey
public import ServiceLifecycle
import Synchronization

/// That something has changed in an organisation, and with which clients where that is known.
public struct JourneyChange: Hashable, Sendable {
  public var orgID: UUID
  /// Empty: nobody knows which.
  public var clients: Set<UUID>

  public init(orgID: UUID, clients: Set<UUID> = []) {
    self.orgID = orgID
    self.clients = clients
  }
}

/// Tells all instances of changes. A message may be lost: it says that it is worth looking, not what is there.
public protocol ChangeFeed: Sendable {
  func announce(_ changes: [JourneyChange]) async throws
  /// Calls back with each message until the task is cancelled or the connection lost.
  func listen(_ receive: @escaping @Sendable (JourneyChange) -> Void) async throws
}

/// Gathers what commits have changed, and announces it now and then.
///
/// It is told after the commit and not by a trigger within it: NOTIFY in a transaction makes all transactions that do
/// so commit one after the other.
public final class ChangeAnnouncer: Service {
  private static let mostClients = 50
  private let feed: any ChangeFeed
  private let interval: Duration
  private let pending = Mutex<[UUID: Set<UUID>]>([:])

  /// - Parameter interval: how long changes are gathered.
  public init(feed: any ChangeFeed, interval: Duration = .milliseconds(300)) {
    self.feed = feed
    self.interval = interval
  }

  func note(_ events: [StagedEvent]) {
    pending.withLock { pending in
      // In place: a copy of the set an event would show on the hot path. An organisation is noted even where the
      // client's id is not known.
      for staged in events { Self.add(staged.event.client.id, to: &pending[staged.event.orgID, default: []]) }
    }
  }

  func note(_ clients: [DueReceipt.Client]) {
    pending.withLock { pending in
      for client in clients { Self.add(client.id, to: &pending[client.orgID, default: []]) }
    }
  }

  private static func add(_ client: UUID?, to clients: inout Set<UUID>) {
    if let client, clients.count < mostClients { clients.insert(client) }
  }

  public func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      while (try? await Task.sleep(for: interval)) != nil {
        let changes = pending.withLock { pending in
          defer { pending = [:] }
          return pending.map { JourneyChange(orgID: $0, clients: $1.count < Self.mostClients ? $1 : []) }
        }
        // Whoever looks asks again anyway; a lost message makes a view late, not wrong.
        if !changes.isEmpty { try? await feed.announce(changes) }
      }
    }
  }
}

/// A ledger whose commits are announced.
public struct AnnouncingLedger: JourneyLedger {
  private let ledger: any JourneyLedger
  private let announcer: ChangeAnnouncer

  public init(_ ledger: any JourneyLedger, announcer: ChangeAnnouncer) {
    self.ledger = ledger
    self.announcer = announcer
  }

  public func executor(ofLane lane: Int) -> (any TaskExecutor)? { ledger.executor(ofLane: lane) }

  public func commit(_ batch: EventBatch) async throws(LedgerError) -> CommitReceipt {
    let receipt = try await ledger.commit(batch)
    announcer.note(batch.events)
    return receipt
  }
  public func evaluateDue(limit: Int, passingOver passedOver: PassedOver) async throws(LedgerError) -> DueReceipt {
    let receipt = try await ledger.evaluateDue(limit: limit, passingOver: passedOver)
    announcer.note(receipt.evaluated)
    return receipt
  }
  public func postponeDue(_ client: UUID) async throws(LedgerError) { try await ledger.postponeDue(client) }
  public func check() async throws(LedgerError) { try await ledger.check() }
  public func markPublished(_ batches: [UUID]) async throws(LedgerError) { try await ledger.markPublished(batches) }
  public func release(_ actions: [UUID], of batch: UUID, because reason: String) async throws(LedgerError) {
    try await ledger.release(actions, of: batch, because: reason)
  }
  public func unpublished(of actions: [UUID]) async throws(LedgerError) -> Set<UUID> {
    try await ledger.unpublished(of: actions)
  }
  public func claimAbandoned(limit: Int) async throws(LedgerError) -> [OutboxBatch] {
    try await ledger.claimAbandoned(limit: limit)
  }
  public func forgetPublished(limit: Int) async throws(LedgerError) -> Int {
    try await ledger.forgetPublished(limit: limit)
  }
}
