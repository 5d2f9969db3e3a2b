import TestSupport
import FoundationEssentials
import Journey

/// An event store in memory, whose failures a test writes.
final class FakeEventStore: EventStore {
  struct State: Sendable {
    var attempts = 0
    /// The ids of the events, whatever their organisation and source.
    var stored: Set<String> = []
    var keys: Set<[String]> = []
    /// The ids of each batch that was committed.
    var commits: [[String]] = []
    /// The actions of each outbox batch.
    var batches: [UUID: [UUID]] = [:]
    /// The actions that are recorded as published.
    var published: [UUID] = []
    /// Of `published`, those that were recorded by a commit.
    var publishedWithCommits: [UUID] = []
    var released: [UUID] = []
    var held: [UUID] = []
    var abandoned: [OutboxBatch] = []
    var actions: [UUID] = []
    var claims = 0
    /// How many batches were published long ago, and the limits of the calls that deleted some.
    var oldBatches = 0
    var forgets: [Int] = []
    /// How many batches of raw bodies are old.
    var oldRawBatches = 0
    /// How many messages without events were kept.
    var ignored = 0
    var checks = 0
    /// What the next calls of `evaluateDue` do; after them nothing is due.
    var due: [Result<DueResult, StoreError>] = []
    var dueLimits: [Int] = []
    var passedOver: [PassedOver] = []
    var postponed: [UUID] = []
  }
  /// What a commit does before (`isStored` false) and after it has stored its batch: an error is thrown.
  typealias Plan = @Sendable (_ batch: EventBatch, _ attempt: Int, _ isStored: Bool) async -> StoreError?

  let state = Watched(State())
  private let plan: Plan
  private let reject: @Sendable (IncomingEvent) -> Rejection?
  private let act: @Sendable (IncomingEvent) -> Bool
  private let hold: @Sendable (IncomingEvent) -> Bool
  private let createState: @Sendable (IncomingEvent) -> Bool
  private let claim: (@Sendable () -> [OutboxBatch])?
  private let noting: @Sendable (_ call: Int) -> StoreError?
  private let checking: @Sendable () -> StoreError?
  private let evaluating: @Sendable () async -> Void
  private let noteCalls = Watched(0)

  /// - Parameters:
  ///   - act: whether an event leads to an action.
  ///   - hold: whether another transaction holds an event's client.
  ///   - meet: whether an event's client is met for the first time.
  ///   - claim: answers `claimAbandoned` instead of the state.
  ///   - noting: what the nth `markPublished` or `release` throws.
  ///   - checking: what `check` throws.
  ///   - evaluating: goes on while clients are evaluated that are due.
  init(
    plan: @escaping Plan = { _, _, _ in nil }, reject: @escaping @Sendable (IncomingEvent) -> Rejection? = { _ in nil },
    act: @escaping @Sendable (IncomingEvent) -> Bool = { _ in false },
    hold: @escaping @Sendable (IncomingEvent) -> Bool = { _ in false },
    createState: @escaping @Sendable (IncomingEvent) -> Bool = { _ in false },
    claim: (@Sendable () -> [OutboxBatch])? = nil,
    noting: @escaping @Sendable (_ call: Int) -> StoreError? = { _ in nil },
    checking: @escaping @Sendable () -> StoreError? = { nil },
    evaluating: @escaping @Sendable () async -> Void = {}
  ) {
    self.plan = plan
    self.reject = reject
    self.act = act
    self.hold = hold
    self.createState = createState
    self.claim = claim
    self.noting = noting
    self.checking = checking
    self.evaluating = evaluating
  }

  var now: State { state.now }

  func executor(ofWorker worker: Int) -> (any TaskExecutor)? { nil }

  func commit(_ batch: EventBatch) async throws(StoreError) -> CommitResult {
    let attempt = state.change { state in
      state.attempts += 1
      return state.attempts
    }
    if let error = await plan(batch, attempt, false) { throw error }
    let token = state.change { state in
      state.commits.append(batch.events.map(\.event.sourceEventID))
      let published = batch.published.flatMap { state.batches[$0] ?? [] }
      state.published.append(contentsOf: published)
      state.publishedWithCommits.append(contentsOf: published)
      var results: [CommitResult.Result] = []
      var actions: [ActionMessage] = []
      for incoming in batch.events {
        if hold(incoming) {
          results.append(.locked)
        } else if createState(incoming) {
          results.append(.stateCreated)
        } else if let rejection = reject(incoming) {
          results.append(.rejected(rejection))
        } else if state.keys.insert(
          [incoming.event.orgID.uuidString, incoming.event.source, incoming.event.sourceEventID]
        ).inserted {
          state.stored.insert(incoming.event.sourceEventID)
          results.append(.stored)
          if act(incoming) {
            actions.append(.test(incoming.id, cause: incoming.event.sourceEventID, orgID: incoming.event.orgID))
          }
        } else {
          results.append(.duplicate)
        }
      }
      state.actions.append(contentsOf: actions.map(\.id))
      guard !actions.isEmpty else { return CommitResult(results: results, outbox: nil) }
      let outbox = OutboxBatch(id: UUID(), actions: actions)
      state.batches[outbox.id] = actions.map(\.id)
      return CommitResult(results: results, outbox: outbox)
    }
    if let error = await plan(batch, attempt, true) { throw error }
    return token
  }

  func check() async throws(StoreError) {
    state.change { $0.checks += 1 }
    if let error = checking() { throw error }
  }

  func evaluateDue(limit: Int, passingOver passedOver: PassedOver) async throws(StoreError) -> DueResult {
    let due = state.change { state in
      state.dueLimits.append(limit)
      state.passedOver.append(passedOver)
      return state.due.isEmpty ? nil : state.due.removeFirst()
    }
    await evaluating()
    switch due {
    case .success(let token)?:
      if let outbox = token.outbox { state.change { $0.batches[outbox.id] = outbox.actions.map(\.id) } }
      return token
    case .failure(let error)?: throw error
    case nil: return DueResult()
    }
  }

  func postponeDue(_ client: UUID) async throws(StoreError) { state.change { $0.postponed.append(client) } }

  func markPublished(_ batches: [UUID]) async throws(StoreError) {
    try record()
    state.change { state in state.published.append(contentsOf: batches.flatMap { state.batches[$0] ?? [] }) }
  }

  func claimRevocations(limit: Int) async throws(StoreError) -> [ActionMessage] { [] }
  func markRevoked(_ actions: [UUID]) async throws(StoreError) {}

  func release(_ actions: ReleasedActions, of batch: UUID) async throws(StoreError) {
    try record()
    let held = actions.held.map(\.id), all = Set(actions.failed + held)
    state.change { state in
      state.released.append(contentsOf: actions.failed)
      state.held.append(contentsOf: held)
      state.published.append(contentsOf: (state.batches[batch] ?? []).filter { !all.contains($0) })
    }
  }

  func unpublished(of actions: [UUID]) async throws(StoreError) -> Set<UUID> {
    Set(actions).subtracting(state.now.published)
  }

  func claimAbandoned(limit: Int) async throws(StoreError) -> [OutboxBatch] {
    state.change { state in
      state.claims += 1
      var claimed: [OutboxBatch] = []
      if let claim {
        claimed = claim()
      } else {
        while let next = state.abandoned.first, claimed.reduce(0, { $0 + $1.actions.count }) < limit {
          claimed.append(next)
          state.abandoned.removeFirst()
        }
      }
      for batch in claimed { state.batches[batch.id] = batch.actions.map(\.id) }
      return claimed
    }
  }

  func keepIgnored(_ messages: [InboundMessage]) async throws(StoreError) {
    state.change { $0.ignored += messages.count }
  }

  func forgetRawBodies(limit: Int, bytes: Int) async throws(StoreError) -> Int {
    state.change { state in
      let count = min(limit, state.oldRawBatches)
      state.oldRawBatches -= count
      return count
    }
  }

  func forgetPublished(limit: Int) async throws(StoreError) -> Int {
    state.change { state in
      state.forgets.append(limit)
      let count = min(limit, state.oldBatches)
      state.oldBatches -= count
      return count
    }
  }

  private func record() throws(StoreError) {
    let call = noteCalls.change { calls in
      calls += 1
      return calls
    }
    if let error = noting(call) { throw error }
  }
}

extension ActionMessage {
  static func test(_ id: UUID = UUID(), cause: String = "", orgID: UUID = UUID()) -> ActionMessage {
    ActionMessage(
      id: id, orgID: orgID, routingKey: "email.email_outreach.low", priority: .low, timeToLive: nil,
      decidedAt: Timestamp(seconds: 0),
      causeID: cause, traceparent: nil,
      body: [])
  }
}
