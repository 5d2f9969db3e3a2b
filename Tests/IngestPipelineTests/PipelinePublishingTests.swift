import TestSupport
import IngestPipeline
import FoundationEssentials
import Journey
import Testing

/// What becomes of actions between their commit and the note that they are published.
@Suite(.timeLimit(.minutes(5))) struct PipelinePublishingTests {
  @Test func actionsArePublishedInTheOrderOfTheirDecisionsOnceAfterTheirCommit() async throws {
    let source = FakeSource((0..<500).map { .test($0) })
    let store = FakeEventStore(act: { _ in true })
    let publisher = FakePublisher()
    let counts = try await withPipeline(source, store, publisher, .test(batchSize: 30)) { _ in
      try await publisher.state.wait { $0.actions.count == 500 }
    }
    #expect(publisher.now.actions.map(\.causeID) == (0..<500).map { "e\($0)" })
    #expect(publisher.now.actions.map(\.id) == store.now.actions)
    #expect(counts.published == 500 && counts.publishFailures == 0)
  }

  @Test func aWorkerThatHasTooManyActionsUnderWayCommitsNoMoreUntilSomeAreConfirmed() async throws {
    let total = 400
    let source = FakeSource((0..<total).map { .test($0) })
    let store = FakeEventStore(act: { _ in true })
    let publisher = FakePublisher(.holding)
    // The limit is 2 x (1 + 1); a batch that finds capacity may be over it by all but one.
    let most = 4 - 1 + 2
    let maxCommitted = Watched(0)
    _ = try await withPipeline(source, store, publisher, .test(batchSize: 2)) { _ in
      var confirmed = 0
      while confirmed < total {
        let left = total - confirmed
        try await publisher.state.wait { $0.underWay >= min(4, left) }
        let ahead = store.now.stored.count - confirmed
        maxCommitted.change { $0 = max($0, ahead) }
        confirmed += try publisher.confirmOldest()
      }
    }
    #expect(publisher.now.maxInFlight <= most)
    #expect(maxCommitted.now <= most + 2)
    #expect(store.now.published.count == total)
  }

  @Test func actionsArePublishedBeforeTheMessageIsAcked() async throws {
    let source = FakeSource([.test(1)])
    let publisher = ObservingPublisher(source)
    _ = try await withPipeline(source, FakeEventStore(act: { _ in true }), publisher) { _ in
      try await source.state.wait { $0.applied == 1 }
    }
    #expect(publisher.acknowledged.now == [0])
  }

  @Test func aMessageIsAckedAlthoughItsActionsWaitForCapacity() async throws {
    let source = FakeSource((0..<6).map { .test($0) })
    let store = FakeEventStore(act: { _ in true })
    let publisher = FakePublisher(.holding)
    _ = try await withPipeline(source, store, publisher, .test(batchSize: 2)) { _ in
      // The limit is 2 x (1 + 1).
      try await source.state.wait { $0.applied == 6 }
      #expect(publisher.now.underWay == 4)
      while store.now.actions.count > publisher.now.actions.count || publisher.now.underWay > 0 {
        try await publisher.state.wait { $0.underWay > 0 }
        try publisher.confirmOldest()
      }
    }
    #expect(store.now.published.count == 6)
  }

  @Test func aConfirmationIsRecordedWithTheNextCommit() async throws {
    let source = FakeSource([.test(1)])
    let store = FakeEventStore(act: { $0.event.sourceEventID == "e1" })
    _ = try await withPipeline(source, store) { pipeline in
      // Confirmed at once, so known before the next event comes.
      try await source.state.wait { $0.applied == 1 }
      while pipeline.statistics.now.published < 1 {
        try Task.checkCancellation()
        await Task.yield()
      }
      source.send([.test(2)])
      try await source.state.wait { $0.applied == 2 }
      #expect(store.now.publishedWithCommits == store.now.actions)
    }
    #expect(store.now.published.count == 1)
  }

  @Test func aConfirmationThatAFailedCommitWasToRecordIsRecordedByTheNext() async throws {
    let source = FakeSource([.test(1)])
    let failures = Watched(0)
    let store = FakeEventStore(
      plan: { batch, _, isStored in
        guard batch.contains("e2"), !isStored, failures.now < 3 else { return nil }
        failures.change { $0 += 1 }
        return StoreError(.transient, "away")
      }, act: { $0.event.sourceEventID == "e1" })
    _ = try await withPipeline(source, store) { pipeline in
      while pipeline.statistics.now.published < 1 {
        try Task.checkCancellation()
        await Task.yield()
      }
      source.send([.test(2)])
      try await source.state.wait { $0.applied == 2 }
    }
    #expect(failures.now == 3)
    #expect(store.now.published == store.now.actions && store.now.published.count == 1)
  }

  @Test func withoutAnotherCommitTheRelayRecordsConfirmations() async throws {
    let source = FakeSource((0..<9).map { .test($0) })
    let store = FakeEventStore(act: { _ in true })
    _ = try await withPipeline(source, store, FakePublisher(), .test(relayInterval: .milliseconds(1))) { _ in
      try await store.state.wait { $0.published.count == 9 }
    }
    #expect(store.now.publishedWithCommits.isEmpty)
    #expect(Set(store.now.published) == Set(store.now.actions) && store.now.published.count == 9)
  }

  @Test func anActionThatCouldNotBePublishedIsReleasedNeverRecorded() async throws {
    let source = FakeSource((0..<9).map { .test($0) })
    let store = FakeEventStore(act: { _ in true })
    let counts = try await withPipeline(source, store, FakePublisher(.failing), .test(relayInterval: .milliseconds(1)))
    { _ in
      try await store.state.wait { $0.released.count == 9 }
    }
    #expect(Set(store.now.released) == Set(store.now.actions) && store.now.released.count == 9)
    #expect(store.now.published.isEmpty)
    #expect(counts.publishFailures == 9 && counts.published == 0)
    #expect(source.now.applied == 9, "the event itself is stored")
  }

  @Test func atTheEndUnpublishedActionsAreReleasedToo() async throws {
    let source = FakeSource((0..<9).map { .test($0) })
    let store = FakeEventStore(act: { _ in true })
    let publisher = FakePublisher(.failing)
    _ = try await withPipeline(source, store, publisher) { _ in
      try await publisher.state.wait { $0.actions.count == 9 }
    }
    #expect(Set(store.now.released) == Set(store.now.actions) && store.now.released.count == 9)
  }

  @Test func outcomesThatCannotBeRecordedAreRecordedLater() async throws {
    for publisher in [FakePublisher(), FakePublisher(.failing)] {
      let source = FakeSource((0..<9).map { .test($0) })
      let store = FakeEventStore(act: { _ in true }, noting: { $0 <= 3 ? StoreError(.transient, "away") : nil })
      _ = try await withPipeline(source, store, publisher, .test(relayInterval: .milliseconds(1))) { _ in
        try await store.state.wait { $0.published.count + $0.released.count == 9 }
      }
      #expect(Set(store.now.published + store.now.released) == Set(store.now.actions))
      #expect(store.now.published.count + store.now.released.count == 9)
    }
  }

  @Test func oldOutboxBatchesAreDeletedInBoundedStepsUntilNoneIsLeft() async throws {
    let store = FakeEventStore()
    store.state.change { $0.oldBatches = 2500 }
    _ = try await withPipeline(FakeSource(), store, FakePublisher(), .test(relayInterval: .milliseconds(1))) { _ in
      try await store.state.wait { $0.forgets.count == 3 }
    }
    #expect(store.now.oldBatches == 0)
    #expect(store.now.forgets == [1000, 1000, 1000])
  }

  /// As many as there are within a turn's time: they come in as fast.
  @Test func oldRawBodiesAreDeletedManyTimesInATurn() async throws {
    let store = FakeEventStore()
    store.state.change { $0.oldRawBatches = 5000 }
    _ = try await withPipeline(FakeSource(), store, FakePublisher(), .test(relayInterval: .seconds(600))) { _ in
      try await store.state.wait { $0.oldRawBatches == 0 }
    }
  }

  @Test func abandonedActionsAreClaimedPublishedAndRecorded() async throws {
    let batches = (0..<5).map { _ in OutboxBatch(id: UUID(), actions: (0..<5).map { _ in .test() }) }
    let abandoned = batches.flatMap(\.actions)
    let source = FakeSource()
    let store = FakeEventStore()
    store.state.change { $0.abandoned = batches }
    let publisher = FakePublisher()
    _ = try await withPipeline(source, store, publisher, .test(batchSize: 10, relayInterval: .milliseconds(1))) { _ in
      try await store.state.wait { $0.published.count == 25 }
    }
    #expect(publisher.now.actions.map(\.id) == abandoned.map(\.id))
    #expect(Set(store.now.published) == Set(abandoned.map(\.id)) && store.now.published.count == 25)
  }
}

/// Actions that a hold keeps from being published.
@Suite(.timeLimit(.minutes(5))) struct PipelineHoldTests {
  @Test func heldActionsAreGivenBackBesideTheirHoldAndCountAsNoFailure() async throws {
    let source = FakeSource([.test(1, ids: (0..<8).map { "e\($0)" })])
    let store = FakeEventStore(act: { _ in true })
    let health = Health()
    let publisher = FakePublisher(.gated)
    let counts = try await withPipeline(source, store, publisher, health: health) { _ in
      try await source.state.wait { $0.applied == 1 }
    }
    let actions = store.now.actions
    #expect(store.now.held == [0, 2, 4, 6].map { actions[$0] } && store.now.released == [1, 5].map { actions[$0] })
    #expect(store.now.published == [3, 7].map { actions[$0] })
    #expect(counts.published == 2 && counts.publishFailures == 2)
    #expect(health.problems.isEmpty, "the last action of the routing key was published")
  }
}

/// Confirms at once, and looks at what was acknowledged by then.
private final class ObservingPublisher: ActionPublisher {
  let acknowledged = Watched<[Int]>([])
  private let source: FakeSource

  init(_ source: FakeSource) { self.source = source }

  func publish(_ actions: [ActionMessage], completion: @escaping @Sendable ([PublishFailure?]) -> Void) {
    let applied = source.now.applied
    acknowledged.change { $0.append(applied) }
    completion(actions.map { _ in nil })
  }
}
