public import FoundationEssentials
public import Journey

/// Where events come from: an adapter over a queue.
///
/// Every receipt that `receive` hands out is settled once, by `settle`, in any order. Safe to use from any task.
public protocol EventSource: Sendable {
  /// Takes from the queue and hands out what comes, mapped, in one call after the other, on the thread that received
  /// it: a hand-out must not block. Returns once the source was stopped and everything it had received was handed out.
  /// To be called once.
  func receive(_ onMessages: @escaping @Sendable ([InboundMessage]) -> Void) async
  /// Says what became of receipts. Never blocks; a receipt of a lost connection is dropped, the queue delivers it
  /// again.
  func settle(_ settlements: [Settlement])
  /// Whether the receipt can still be settled. Once its connection is lost it cannot, and the queue delivers the
  /// message again.
  func isOpen(_ token: AckToken) -> Bool
  /// Takes nothing from the queue until `resume`. What is under way is still handed out, and everything can be settled.
  func pause()
  /// Takes from the queue again, with at most `limit` unsettled messages at a time, or as many as the settings say.
  /// Both may be called at any time and again.
  func resume(limit: UInt16?)
  /// Takes no more from the queue. What was received already is still handed out.
  func stop()
  /// Returns when all settlements are with the broker, or the deadline has passed.
  func close(within deadline: Duration) async
  /// After `close`: how many messages that were settled the queue delivers again all the same, since their copies were
  /// not confirmed in time.
  var leftBehind: Int { get }
}

/// A delivery, opaque to all but the source that made it.
public struct AckToken: Hashable, Sendable {
  public var generation: UInt64
  public var tag: UInt64

  public init(generation: UInt64, tag: UInt64) {
    self.generation = generation
    self.tag = tag
  }
}

/// One message with what the mapping made of it: several events where its body is a list, none where all of it is
/// ignored.
public struct InboundMessage: Sendable {
  public var token: AckToken
  public var events: [IncomingEvent]
  public var rejections: [Rejection]

  public init(token: AckToken, events: [IncomingEvent], rejections: [Rejection]) {
    self.token = token
    self.events = events
    self.rejections = rejections
  }
}

/// What became of a receipt.
public struct Settlement: Sendable {
  public enum Outcome: Sendable {
    /// All its events are committed, or were before, or are ignored on purpose.
    case applied
    /// Some of it cannot be applied, for these reasons; all the rest of it is committed.
    case rejected([Rejection])
    /// Not decided: the queue shall deliver it again.
    case released
    /// Not decided, for a reason that passes: to be delivered again after some seconds, which does not count as an
    /// attempt.
    case postponed
  }

  public var token: AckToken
  public var outcome: Outcome

  public init(_ token: AckToken, _ outcome: Outcome) {
    self.token = token
    self.outcome = outcome
  }
}

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

    var isStored: Bool { if case .stored = self { true } else { false } }
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

/// An action on its way to a worker. The same id and body however often it is published.
public struct ActionMessage: Sendable {
  public var id: UUID
  public var routingKey: String
  public var priority: Priority
  /// How long the message may wait for a worker; nil: for ever.
  public var timeToLive: TimeSpan?
  public var decidedAt: Timestamp
  /// The id of the event that caused it, as its source names it.
  public var causeID: String
  public var traceparent: String?
  /// The message as the worker gets it.
  public var body: [UInt8]

  public init(
    id: UUID, routingKey: String, priority: Priority, timeToLive: TimeSpan?, decidedAt: Timestamp, causeID: String,
    traceparent: String?,
    body: [UInt8]
  ) {
    self.id = id
    self.routingKey = routingKey
    self.priority = priority
    self.timeToLive = timeToLive
    self.decidedAt = decidedAt
    self.causeID = causeID
    self.traceparent = traceparent
    self.body = body
  }
}

/// Where actions go: an adapter over an exchange.
public protocol ActionPublisher: Sendable {
  /// Publishes in order. `completion` is called once, when every action is confirmed or known not to be, with one
  /// result an action: nil means that the broker has confirmed it, anything else says why it counts as not published.
  func publish(_ actions: [ActionMessage], completion: @escaping @Sendable ([PublishFailure?]) -> Void)
}

/// Why an action counts as not published.
public struct PublishFailure: Error, Sendable, CustomStringConvertible {
  public var description: String
  /// The same in a few words that name no host and no user, for whoever may not see the whole.
  public var reason: String

  public init(_ description: String, reason: String? = nil) {
    self.description = description
    self.reason = reason ?? description
  }
}

/// The clock of the pipeline.
public protocol WallClock: Sendable {
  func now() -> Timestamp
}

/// The machine's clock.
public struct SystemClock: WallClock {
  public init() {}
  public func now() -> Timestamp {
    Timestamp(microseconds: Int64((Date().timeIntervalSince1970 * 1_000_000).rounded()))
  }
}
