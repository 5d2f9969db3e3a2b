public import FoundationEssentials

/// Stores events at most once, together with the resulting state and actions; implemented by an adapter over a
/// database.
public protocol EventStore: Sendable {
  /// The preferred executor of a worker: the thread of its connection, if there is one.
  /// - Parameter worker: from 0.
  func executor(ofWorker worker: Int) -> (any TaskExecutor)?
  /// Commits a batch in one transaction: stores new events, evaluates their clients, and keeps the resulting actions
  /// until they are published. Returns only after the commit is known to have succeeded.
  /// - Throws: `StoreError`. After `.transient` the outcome is unknown: commit the batch again.
  func commit(_ batch: EventBatch) async throws(StoreError) -> CommitResult
  /// Evaluates due clients in one transaction: a risk begins or ends without an event, or the host application has
  /// changed their events. The longest due come first; locked clients are skipped.
  /// - Parameters:
  ///   - limit: the maximum number of clients.
  ///   - passedOver: clients and organisations to skip.
  /// - Throws: `StoreError`, with the client if only one was looked at.
  func evaluateDue(limit: Int, passingOver passedOver: PassedOver) async throws(StoreError) -> DueResult
  /// Postpones a due client by one hour, because it cannot be evaluated and blocks others.
  func postponeDue(_ client: UUID) async throws(StoreError)
  /// Checks, without a commit, whether batches could be committed: the database is reachable, writable and has the
  /// expected schema.
  func check() async throws(StoreError)
  /// Marks outbox batches as published: the broker has confirmed all their actions.
  func markPublished(_ batches: [UUID]) async throws(StoreError)
  /// Releases actions that were not published. The other actions of their batch are marked as published.
  func release(_ actions: ReleasedActions, of batch: UUID) async throws(StoreError)
  /// Those of the actions that no instance has marked as published.
  func unpublished(of actions: [UUID]) async throws(StoreError) -> Set<UUID>
  /// Claims unpublished batches that no live instance holds, oldest first, until they hold `limit` actions.
  func claimAbandoned(limit: Int) async throws(StoreError) -> [OutboxBatch]
  /// Claims revocations of published actions, oldest first. No instance gets them again for half a minute.
  func claimRevocations(limit: Int) async throws(StoreError) -> [ActionMessage]
  /// Records that the revocations of actions are published.
  func markRevoked(_ actions: [UUID]) async throws(StoreError)
  /// Deletes at most `limit` outbox batches that were published days ago.
  /// - Returns: the number of deleted batches.
  func forgetPublished(limit: Int) async throws(StoreError) -> Int
  /// Keeps the raw bodies of messages without events, because changed rules may find some in them.
  func keepIgnored(_ messages: [InboundMessage]) async throws(StoreError)
  /// Deletes batches of raw bodies that have been kept for long enough: at most `limit`, and of these at most `bytes`,
  /// but at least one.
  /// - Returns: the number of deleted batches.
  func forgetRawBodies(limit: Int, bytes: Int) async throws(StoreError) -> Int
}

/// A batch of events to commit.
public struct EventBatch: Sendable {
  public var events: [IncomingEvent]
  /// Confirmed outbox batches to mark as published in the same transaction.
  public var published: [UUID]
  /// The message of each event, whose raw body is kept; empty: none is.
  public var messages: [InboundMessage]

  public init(events: [IncomingEvent], published: [UUID] = [], messages: [InboundMessage] = []) {
    self.events = events
    self.published = published
    self.messages = messages
  }
}

/// The result of a commit.
public struct CommitResult: Sendable {
  public enum Result: Sendable {
    case stored
    /// The event was already stored.
    case duplicate
    case rejected(Rejection)
    /// The client's rows are locked, usually by another commit: commit the event again, a little later.
    case locked
    /// The state row of a new client was created: commit the event again.
    case stateCreated

    public var isStored: Bool { if case .stored = self { true } else { false } }
  }

  /// One result per event, in order.
  public var results: [Result]
  /// The actions to publish, each client's in the order of decision; nil if there are none.
  public var outbox: OutboxBatch?
  /// The kinds of the actions that reports concern, by the index of the report; unknown ones are left out.
  public var reportedKinds: [Int: ActionKind]

  public init(results: [Result], outbox: OutboxBatch?, reportedKinds: [Int: ActionKind] = [:]) {
    self.results = results
    self.outbox = outbox
    self.reportedKinds = reportedKinds
  }
}

/// Clients and organisations to skip when evaluating due clients, because their rows are locked.
public struct PassedOver: Hashable, Sendable {
  public var organizations: Set<UUID>
  public var clients: Set<UUID>

  public init(organizations: Set<UUID> = [], clients: Set<UUID> = []) {
    self.organizations = organizations
    self.clients = clients
  }
}

/// The result of evaluating due clients.
public struct DueResult: Sendable {
  public struct Client: Hashable, Sendable {
    public var id: UUID
    public var orgID: UUID

    public init(id: UUID, orgID: UUID) {
      self.id = id
      self.orgID = orgID
    }
  }

  /// The number of clients looked at. If it reaches the limit, there may be more.
  public var looked: Int
  public var evaluated: [Client]
  /// Organisations that were locked; their clients are unchanged.
  public var held: [UUID]
  /// The actions to publish; nil if there are none.
  public var outbox: OutboxBatch?

  public init(looked: Int = 0, evaluated: [Client] = [], held: [UUID] = [], outbox: OutboxBatch? = nil) {
    self.looked = looked
    self.evaluated = evaluated
    self.held = held
    self.outbox = outbox
  }
}

/// Actions of one batch that were not published.
public struct ReleasedActions: Sendable {
  /// They can be claimed again after a pause that grows with the attempts.
  public var failed: [UUID]
  /// Why they failed, human-readable; nil: none did.
  public var reason: String?
  /// Whether none of those that failed reached a queue.
  public var isCertain: Bool
  /// They wait for the end of a hold, each with the hold's id.
  public var held: [(id: UUID, hold: Int64)]

  public init(
    failed: [UUID] = [], because reason: String? = nil, isCertain: Bool = true, held: [(id: UUID, hold: Int64)] = []
  ) {
    self.failed = failed
    self.reason = reason
    self.isCertain = isCertain
    self.held = held
  }

  public var count: Int { failed.count + held.count }
}

/// The actions of one transaction. One outbox row per batch, not per action.
public struct OutboxBatch: Sendable {
  public var id: UUID
  /// Not empty.
  public var actions: [ActionMessage]

  public init(id: UUID, actions: [ActionMessage]) {
    self.id = id
    self.actions = actions
  }
}

/// A failed operation of the event store, classified by the adapter.
public struct StoreError: Error, CustomStringConvertible {
  public enum Kind: Sendable {
    /// Temporary: the database is down, restarting or overloaded, or two transactions conflicted.
    case transient
    /// The batch timed out waiting for locks on some clients' rows. Without these clients it would pass.
    case contended
    /// The database refuses the data of an event. Without it the batch would pass.
    case poison
    /// Needs an operator, such as a wrong schema or a missing permission. A host's trigger on a single event's row may
    /// also cause it.
    case permanent
  }

  public var kind: Kind
  /// For logs: without data of the batch.
  public var description: String
  /// For readers of a dead letter: includes any message of a host's trigger.
  public var detail: String
  /// For health checks, which may be public: without the text of a host's trigger, which the description may include.
  public var reason: String
  /// The client concerned, if it was the only one and is known.
  public var client: UUID?

  public init(
    _ kind: Kind, _ description: String, detail: String? = nil, reason: String = "the database refuses the work"
  ) {
    self.kind = kind
    self.description = description
    self.detail = detail ?? description
    self.reason = reason
  }
}
