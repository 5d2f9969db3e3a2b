import FoundationEssentials
package import Journey
import Testing

/// What every `EventStore` has to do, whatever keeps its data. The fake of the pipeline's tests and the adapter over
/// PostgreSQL both run it, so that the fake cannot drift.
package struct EventStoreConformance: Sendable {
  package let store: any EventStore
  /// An event of one of the store's clients, by its source and its id there. Each one leads to an action.
  package let event: @Sendable (_ id: String, _ source: String) -> IncomingEvent

  package init(store: any EventStore, event: @escaping @Sendable (_ id: String, _ source: String) -> IncomingEvent) {
    self.store = store
    self.event = event
  }

  package static let checks: [(name: String, run: @Sendable (EventStoreConformance) async throws -> Void)] = [
    ("each event gets its result, in order", { try await $0.eachEventGetsItsResult() }),
    ("an event counts once", { try await $0.anEventCountsOnce() }),
    ("ids belong to their source", { try await $0.idsBelongToTheirSource() }),
    ("concurrent commits store an event once", { try await $0.concurrentCommitsStoreAnEventOnce() }),
    ("an action names its cause and is unpublished", { try await $0.anActionNamesItsCauseAndIsUnpublished() }),
    ("marking publishes a batch", { try await $0.markingPublishesABatch() }),
    ("a commit marks what was confirmed", { try await $0.aCommitMarksWhatWasConfirmed() }),
    ("a released action stays unpublished", { try await $0.aReleasedActionStaysUnpublished() }),
    ("a live instance's batches are not claimed", { try await $0.aLiveInstancesBatchesAreNotClaimed() }),
    ("nothing is due, nothing is forgotten at first", { try await $0.nothingIsDueOrForgottenAtFirst() }),
  ]

  private func eachEventGetsItsResult() async throws {
    let first = try await commit([event("b", "crm"), event("a", "crm")])
    #expect(first.results.map(Self.text) == ["stored", "stored"])
    let mixed = try await commit([event("a", "crm"), event("c", "crm"), event("b", "crm")])
    #expect(mixed.results.map(Self.text) == ["duplicate", "stored", "duplicate"])
    #expect(try await store.commit(EventBatch(events: [])).results.isEmpty)
  }

  private func anEventCountsOnce() async throws {
    let both = try await commit([event("a", "crm"), event("a", "crm")])
    #expect(both.results.map(Self.text) == ["stored", "duplicate"])
    let again = try await commit([event("a", "crm")])
    #expect(again.results.map(Self.text) == ["duplicate"] && again.outbox == nil)
  }

  private func idsBelongToTheirSource() async throws {
    let results = try await commit([event("a", "crm"), event("a", "billing")]).results
    #expect(results.map(Self.text) == ["stored", "stored"])
  }

  private func concurrentCommitsStoreAnEventOnce() async throws {
    let events = (0..<8).map { _ in event("a", "crm") }
    let stored = try await withThrowingTaskGroup(of: Int.self) { group in
      for event in events {
        group.addTask {
          try await commit([event]).results.count { Self.text($0) == "stored" }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(stored == 1)
  }

  private func anActionNamesItsCauseAndIsUnpublished() async throws {
    let outbox = try #require(try await commit([event("a", "crm")]).outbox)
    #expect(outbox.actions.map(\.causeID) == ["a"])
    let ids = outbox.actions.map(\.id)
    #expect(try await store.unpublished(of: ids) == Set(ids))
    #expect(try await store.unpublished(of: []).isEmpty)
  }

  private func markingPublishesABatch() async throws {
    let outbox = try #require(try await commit([event("a", "crm")]).outbox)
    // What is marked twice, as after a lost answer, stays marked.
    for _ in 0..<2 {
      try await store.markPublished([outbox.id])
      #expect(try await store.unpublished(of: outbox.actions.map(\.id)).isEmpty)
    }
  }

  private func aCommitMarksWhatWasConfirmed() async throws {
    let first = try #require(try await commit([event("a", "crm")]).outbox)
    _ = try await commit([event("b", "crm")], published: [first.id])
    #expect(try await store.unpublished(of: first.actions.map(\.id)).isEmpty)
  }

  private func aReleasedActionStaysUnpublished() async throws {
    let outbox = try #require(try await commit([event("a", "crm")]).outbox)
    let ids = outbox.actions.map(\.id)
    try await store.release(ReleasedActions(failed: ids, because: "no queue takes it"), of: outbox.id)
    #expect(try await store.unpublished(of: ids) == Set(ids))
    // It is to be claimed after a pause, not now.
    #expect(try await store.claimAbandoned(limit: 100).isEmpty)
  }

  private func aLiveInstancesBatchesAreNotClaimed() async throws {
    _ = try #require(try await commit([event("a", "crm")]).outbox)
    #expect(try await store.claimAbandoned(limit: 100).isEmpty)
  }

  private func nothingIsDueOrForgottenAtFirst() async throws {
    try await store.check()
    let due = try await store.evaluateDue(limit: 10, passingOver: PassedOver())
    #expect(due.looked == 0 && due.evaluated.isEmpty && due.held.isEmpty && due.outbox == nil)
    #expect(try await store.forgetPublished(limit: 100) == 0)
  }

  /// Commits as a worker does: what has no state yet, or is locked by another transaction, is committed again.
  private func commit(_ events: [IncomingEvent], published: [UUID] = []) async throws -> CommitResult {
    var total = try await store.commit(EventBatch(events: events, published: published))
    var open = Self.undecided(total)
    while !open.isEmpty {
      try Task.checkCancellation()
      let next = try await store.commit(EventBatch(events: open.map { events[$0] }))
      for (index, result) in zip(open, next.results) { total.results[index] = result }
      total.outbox = next.outbox ?? total.outbox
      open = Self.undecided(total)
    }
    return total
  }

  private static func undecided(_ result: CommitResult) -> [Int] {
    result.results.indices.filter {
      switch result.results[$0] {
      case .locked, .stateCreated: true
      case .stored, .duplicate, .rejected: false
      }
    }
  }

  private static func text(_ result: CommitResult.Result) -> String {
    switch result {
    case .stored: "stored"
    case .duplicate: "duplicate"
    case .rejected(let rejection): rejection.code.rawValue
    case .locked: "locked"
    case .stateCreated: "state created"
    }
  }
}
