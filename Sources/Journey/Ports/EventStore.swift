public import FoundationEssentials

/// The journeys, as a place where events are taken in at most once and what follows from them is kept. An adapter over
/// a database.
public protocol EventStore: Sendable {
  /// Where a lane that commits one batch after the other runs best: on the thread of its connection, if the ledger has
  /// such threads.
  /// - Parameter lane: from 0.
  func executor(ofWorker worker: Int) -> (any TaskExecutor)?
  /// Takes a batch in, in one transaction: stores what is new, evaluates the clients concerned, and keeps the resulting
  /// actions until they are published. A receipt is returned only after the transaction is known to be committed.
  /// - Throws: `StoreError`. After `.transient` it is unknown whether the batch was committed: commit it again.
  func commit(_ batch: EventBatch) async throws(StoreError) -> CommitResult
  /// Evaluates clients for whom the time has come, in one transaction: a risk of theirs begins or ends although nothing
  /// happened, or the host application has changed their history. Those that were due longest come first; what somebody
  /// else holds is passed over.
  /// - Parameters:
  ///   - limit: how many clients are looked at.
  ///   - passedOver: who is left out.
  /// - Throws: `StoreError`, with the client where only one was looked at.
  func evaluateDue(limit: Int, passingOver passedOver: PassedOver) async throws(StoreError) -> DueResult
  /// Leaves a client alone for an hour: it cannot be evaluated, and is in the way of others.
  func postponeDue(_ client: UUID) async throws(StoreError)
  /// Tries whether batches could be committed, as far as that shows without one: whether the database is there, takes
  /// writes, and knows all that a commit means.
  func check() async throws(StoreError)
  /// Notes that the broker has confirmed all actions of these outbox batches.
  func markPublished(_ batches: [UUID]) async throws(StoreError)
  /// Gives actions back that could not be published, to be claimed again later (after a pause that grows with the
  /// attempts). The other actions of their batch are published.
  /// - Parameter reason: why, for a person.
  func release(_ actions: [UUID], of batch: UUID, because reason: String) async throws(StoreError)
  /// Which of these actions are not noted as published, by whomever.
  func unpublished(of actions: [UUID]) async throws(StoreError) -> Set<UUID>
  /// Takes over unpublished batches that no live instance holds, the oldest first, until they hold `limit` actions.
  func claimAbandoned(limit: Int) async throws(StoreError) -> [OutboxBatch]
  /// Deletes outbox batches, `limit` at most, that were noted as published days ago.
  /// - Returns: how many.
  func forgetPublished(limit: Int) async throws(StoreError) -> Int
}

/// A unit of work for the ledger.
public struct EventBatch: Sendable {
  public var events: [IncomingEvent]
  /// Outbox batches confirmed since, to be noted in the same transaction.
  public var published: [UUID]

  public init(events: [IncomingEvent], published: [UUID] = []) {
    self.events = events
    self.published = published
  }
}

/// What a commit did.
public struct CommitResult: Sendable {
  public enum Result: Sendable {
    case stored
    /// The event had been stored before.
    case duplicate
    case rejected(Rejection)
    /// Somebody else holds the client's rows, mostly another commit: commit the event again, a little later.
    case locked
    /// The event's client was met for the first time, and can be worked on now: commit the event again.
    case stateCreated

    public var isStored: Bool { if case .stored = self { true } else { false } }
  }

  /// One result an event, in the batch's order.
  public var results: [Result]
  /// What is to be published now, a client's actions in the order in which they were decided; nil where there is
  /// nothing to do.
  public var outbox: OutboxBatch?

  public init(results: [Result], outbox: OutboxBatch?) {
    self.results = results
    self.outbox = outbox
  }
}

/// Who is left out where due clients are evaluated, since somebody else holds their rows.
public struct PassedOver: Hashable, Sendable {
  public var organizations: Set<UUID>
  public var clients: Set<UUID>

  public init(organizations: Set<UUID> = [], clients: Set<UUID> = []) {
    self.organizations = organizations
    self.clients = clients
  }
}

/// What an evaluation of due clients did.
public struct DueResult: Sendable {
  public struct Client: Hashable, Sendable {
    public var id: UUID
    public var orgID: UUID

    public init(id: UUID, orgID: UUID) {
      self.id = id
      self.orgID = orgID
    }
  }

  /// How many clients were looked at: as many as the limit where there may be more.
  public var looked: Int
  public var evaluated: [Client]
  /// Organisations that somebody else holds: their clients were left as they are.
  public var held: [UUID]
  /// What is to be published now; nil where there is nothing to do.
  public var outbox: OutboxBatch?

  public init(looked: Int = 0, evaluated: [Client] = [], held: [UUID] = [], outbox: OutboxBatch? = nil) {
    self.looked = looked
    self.evaluated = evaluated
    self.held = held
    self.outbox = outbox
  }
}

/// The actions of one transaction. They are published together and noted as published together, so the record costs a
/// row a batch, not a row an action.
public struct OutboxBatch: Sendable {
  public var id: UUID
  /// Not empty.
  public var actions: [ActionMessage]

  public init(id: UUID, actions: [ActionMessage]) {
    self.id = id
    self.actions = actions
  }
}

/// A failed ledger operation, classified once, by the adapter.
public struct StoreError: Error, CustomStringConvertible {
  public enum Kind: Sendable {
    /// Passes by itself: the database is away, restarting, overloaded, or two transactions met.
    case transient
    /// The batch had to wait too long for somebody else's locks, on rows of some of its clients. Without them it
    /// passes.
    case contended
    /// Something in the batch is refused; without it the batch would pass.
    case poison
    /// Needs a person: wrong schema, missing permission. It may be one event's fault all the same: what a host does
    /// with its row.
    case permanent
  }

  public var kind: Kind
  /// For logs: without data of the batch.
  public var description: String
  /// For the person who reads a dead letter: also what a host's trigger says of the row, whatever that is.
  public var detail: String
  /// In words of our own, for a probe that anybody may read: a host's triggers say what they like in the description.
  public var reason: String
  /// The client that the work was about, where it was about one alone and that is known.
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
