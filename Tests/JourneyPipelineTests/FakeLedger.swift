import FoundationEssentials
import Journey
import JourneyPipeline

/// A ledger in memory, whose failures a test writes.
final class FakeLedger: JourneyLedger {
  struct State: Sendable {
    var attempts = 0
    var stored: Set<String> = []
    /// The ids of each batch that was committed.
    var commits: [[String]] = []
    /// The actions of each outbox batch.
    var batches: [UUID: [UUID]] = [:]
    /// The actions that are noted as published.
    var published: [UUID] = []
    /// Of `published`, those that were noted by a commit.
    var publishedWithCommits: [UUID] = []
    var released: [UUID] = []
    var abandoned: [OutboxBatch] = []
    var actions: [UUID] = []
    var claims = 0
    /// How many batches were published long ago, and the limits of the calls that deleted some.
    var oldBatches = 0
    var forgets: [Int] = []
    var checks = 0
    /// What the next calls of `evaluateDue` do; after them nothing is due.
    var due: [Result<DueReceipt, LedgerError>] = []
    var dueLimits: [Int] = []
    var passedOver: [PassedOver] = []
    var postponed: [UUID] = []
  }
  /// What a commit does before (`isStored` false) and after it has stored its batch: an error is thrown.
  typealias Plan = @Sendable (_ batch: EventBatch, _ attempt: Int, _ isStored: Bool) async -> LedgerError?

  let state = Watched(State())
  private let plan: Plan
  private let reject: @Sendable (StagedEvent) -> Rejection?
  private let act: @Sendable (StagedEvent) -> Bool
  private let hold: @Sendable (StagedEvent) -> Bool
  private let meet: @Sendable (StagedEvent) -> Bool
  private let claim: (@Sendable () -> [OutboxBatch])?
  private let noting: @Sendable (_ call: Int) -> LedgerError?
  private let checking: @Sendable () -> LedgerError?
  private let evaluating: @Sendable () async -> Void
  private let noteCalls = Watched(0)

  /// - Parameters:
  ///   - act: whether an event leads to an action.
  ///   - hold: whether somebody else holds an event's client.
  ///   - meet: whether an event's client is met for the first time.
  ///   - claim: answers `claimAbandoned` instead of the state.
  ///   - noting: what the nth `markPublished` or `release` throws.
  ///   - checking: what `check` throws.
  ///   - evaluating: goes on while clients are evaluated that are due.
  init(
    plan: @escaping Plan = { _, _, _ in nil }, reject: @escaping @Sendable (StagedEvent) -> Rejection? = { _ in nil },
    act: @escaping @Sendable (StagedEvent) -> Bool = { _ in false },
    hold: @escaping @Sendable (StagedEvent) -> Bool = { _ in false },
    meet: @escaping @Sendable (StagedEvent) -> Bool = { _ in false },
    claim: (@Sendable () -> [OutboxBatch])? = nil,
    noting: @escaping @Sendable (_ call: Int) -> LedgerError? = { _ in nil },
    checking: @escaping @Sendable () -> LedgerError? = { nil },
    evaluating: @escaping @Sendable () async -> Void = {}
  ) {
    self.plan = plan
    self.reject = reject
    self.act = act
    self.hold = hold
    self.meet = meet
    self.claim = claim
    self.noting = noting
    self.checking = checking
    self.evaluating = evaluating
  }

  var now: State { state.now }

  func executor(ofLane lane: Int) -> (any TaskExecutor)? { nil }

  func commit(_ batch: EventBatch) async throws(LedgerError) -> CommitReceipt {
    let attempt = state.change { state in
      state.attempts += 1
      return state.attempts
    }
    if let error = await plan(batch, attempt, false) { throw error }
    let receipt = state.change { state in
      state.commits.append(batch.events.map(\.event.sourceEventID))
      let published = batch.published.flatMap { state.batches[$0] ?? [] }
      state.published.append(contentsOf: published)
      state.publishedWithCommits.append(contentsOf: published)
      var results: [CommitReceipt.Result] = []
      var actions: [ActionMessage] = []
      for staged in batch.events {
        if hold(staged) {
          results.append(.deferred)
        } else if meet(staged) {
          results.append(.met)
        } else if let rejection = reject(staged) {
          results.append(.rejected(rejection))
        } else if state.stored.insert(staged.event.sourceEventID).inserted {
          results.append(.stored)
          if act(staged) { actions.append(.test(staged.id, cause: staged.event.sourceEventID)) }
        } else {
          results.append(.duplicate)
        }
      }
      state.actions.append(contentsOf: actions.map(\.id))
      guard !actions.isEmpty else { return CommitReceipt(results: results, outbox: nil) }
      let outbox = OutboxBatch(id: UUID(), actions: actions)
      state.batches[outbox.id] = actions.map(\.id)
      return CommitReceipt(results: results, outbox: outbox)
    }
    if let error = await plan(batch, attempt, true) { throw error }
    return receipt
  }

  func check() async throws(LedgerError) {
    state.change { $0.checks += 1 }
    if let error = checking() { throw error }
  }

  func evaluateDue(limit: Int, passingOver passedOver: PassedOver) async throws(LedgerError) -> DueReceipt {
    let due = state.change { state in
      state.dueLimits.append(limit)
      state.passedOver.append(passedOver)
      return state.due.isEmpty ? nil : state.due.removeFirst()
    }
    await evaluating()
    switch due {
    case .success(let receipt)?:
      if let outbox = receipt.outbox { state.change { $0.batches[outbox.id] = outbox.actions.map(\.id) } }
      return receipt
    case .failure(let error)?: throw error
    case nil: return DueReceipt()
    }
  }

  func postponeDue(_ client: UUID) async throws(LedgerError) { state.change { $0.postponed.append(client) } }

  func markPublished(_ batches: [UUID]) async throws(LedgerError) {
    try note()
    state.change { state in state.published.append(contentsOf: batches.flatMap { state.batches[$0] ?? [] }) }
  }

  func release(_ actions: [UUID], of batch: UUID, because reason: String) async throws(LedgerError) {
    try note()
    state.change { state in
      state.released.append(contentsOf: actions)
      state.published.append(contentsOf: (state.batches[batch] ?? []).filter { !actions.contains($0) })
    }
  }

  func unpublished(of actions: [UUID]) async throws(LedgerError) -> Set<UUID> {
    Set(actions).subtracting(state.now.published)
  }

  func claimAbandoned(limit: Int) async throws(LedgerError) -> [OutboxBatch] {
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

  func forgetPublished(limit: Int) async throws(LedgerError) -> Int {
    state.change { state in
      state.forgets.append(limit)
      let count = min(limit, state.oldBatches)
      state.oldBatches -= count
      return count
    }
  }

  private func note() throws(LedgerError) {
    let call = noteCalls.change { calls in
      calls += 1
      return calls
    }
    if let error = noting(call) { throw error }
  }
}

extension ActionMessage {
  static func test(_ id: UUID = UUID(), cause: String = "") -> ActionMessage {
    ActionMessage(
      id: id, routingKey: "email.email_outreach.low", priority: .low, timeToLive: nil, decidedAt: Timestamp(seconds: 0),
      causeID: cause, traceparent: nil,
      body: [])
  }
}
