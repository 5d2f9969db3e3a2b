import TestSupport
import FoundationEssentials
import Journey
import IngestPipeline
import Testing

/// What becomes of messages when the event store fails.
@Suite(.timeLimit(.minutes(5))) struct PipelineFailureTests {
  @Test func aTransientFailureIsWaitedOutAndNothingIsSettledMeanwhile() async throws {
    let source = FakeSource((0..<20).map { .test($0) })
    let settledEarly = Watched(0)
    let store = FakeEventStore(plan: { _, attempt, isStored in
      settledEarly.change { $0 += source.now.settlements }
      return attempt < 4 && !isStored ? StoreError(.transient, "the database is away") : nil
    })
    let counts = try await withPipeline(source, store) { _ in try await source.state.wait { $0.settlements == 20 } }
    #expect(store.now.attempts == 4)
    #expect(settledEarly.now == 0)
    #expect(source.now.isEachSettledOnce && source.now.applied == 20)
    #expect(counts.stored == 20)
  }

  @Test func aCommitThatNeverAnswersIsStuck() async throws {
    let liveness = Liveness()
    let stuck = Watched<[Liveness.Stuck]>([])
    var settings = Pipeline.Settings.test()
    settings.commitLimit = 60
    let source = FakeSource([.test(1)])
    let store = FakeEventStore(plan: { _, _, _ in
      for _ in 0..<61 { liveness.tick() }
      stuck.change { $0 = liveness.stuck }
      return nil
    })
    _ = try await withPipeline(source, store, FakePublisher(), settings, liveness: liveness) { _ in
      try await source.state.wait { $0.applied == 1 }
    }
    #expect(stuck.now.map(\.loop) == ["commit worker 0"])
    for _ in 0..<100 { liveness.tick() }
    #expect(liveness.isLive, "a worker that waits for work is not stuck")
  }

  @Test func aBatchThatHasToWaitForItsNextAttemptKeepsNoOtherBack() async throws {
    let source = FakeSource((0..<20).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(plan: { batch, _, _ in
      batch.contains("e0") ? StoreError(.transient, "55P03: a lock") : nil
    })
    var settings = Pipeline.Settings.test(workers: 2)
    settings.minRetryDelay = .seconds(3600)
    settings.maxRetryDelay = .seconds(3600)
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await store.state.wait { $0.attempts == 1 }
      source.send([.test(100, client: "another")])
      try await source.state.wait { $0.applied == 1 }
    }
    #expect(source.now.isEachSettledOnce && source.now.applied == 1 && source.now.released == 20)
  }

  @Test func aBatchThatKeepsRunningIntoATimeLimitPassesInParts() async throws {
    let source = FakeSource((0..<20).map { .test($0) })
    let store = FakeEventStore(plan: { batch, _, _ in
      batch.events.count > 5 ? StoreError(.transient, "57014: too slow") : nil
    })
    let counts = try await withPipeline(source, store) { _ in try await source.state.wait { $0.settlements == 20 } }
    #expect(source.now.isEachSettledOnce && source.now.applied == 20)
    #expect(counts.stored == 20)
  }

  @Test func aCommitWhoseAnswerIsLostIsMadeAgainAndCountsOnce() async throws {
    let source = FakeSource((0..<20).map { .test($0) })
    let store = FakeEventStore(plan: { _, attempt, isStored in
      attempt == 1 && isStored ? StoreError(.transient, "the connection was lost") : nil
    })
    let counts = try await withPipeline(source, store) { _ in try await source.state.wait { $0.settlements == 20 } }
    #expect(source.now.isEachSettledOnce && source.now.applied == 20)
    #expect(counts.duplicates == 20 && counts.stored == 0)
    #expect(store.now.stored.count == 20)
  }

  @Test func onlyTheEventThatTheDatabaseRefusesIsRejected() async throws {
    let bad: Set<String> = ["e17", "e40"]
    let source = FakeSource((0..<64).map { .test($0) })
    let store = FakeEventStore(plan: { batch, _, _ in
      bad.contains(where: batch.contains) ? StoreError(.poison, "22P05: refused") : nil
    })
    let counts = try await withPipeline(source, store) { _ in try await source.state.wait { $0.settlements == 64 } }
    #expect(source.now.isEachSettledOnce)
    #expect(source.now.rejections(of: .test(17)) == ["22P05: refused"])
    #expect(source.now.rejections(of: .test(40)) == ["22P05: refused"])
    if case .rejected(let reasons) = source.now.settled[.test(17)]?.first {
      #expect(reasons.map(\.code) == [.refusedByDatabase])
    }
    #expect(source.now.applied == 62 && store.now.stored.count == 62)
    #expect(counts.rejected == 2 && counts.stored == 62)
    // Two halvings of 64 down to one.
    #expect(store.now.attempts <= 1 + 2 * 6 * 2)
    // The rest keeps its order.
    let order = store.now.commits.joined().compactMap { Int($0.dropFirst()) }
    #expect(order == order.sorted())
  }

  @Test func aFewRefusedEventsAreRejectedEvenIfNothingElseComes()
    async throws
  {
    let source = FakeSource((0..<5).map { .test($0) })
    let store = FakeEventStore(plan: { batch, _, _ in batch.contains("good") ? nil : StoreError(.poison, "refused") })
    var settings = Pipeline.Settings.test()
    settings.minTrialDelay = .milliseconds(1)
    settings.refusalPause = .zero
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await source.state.wait { $0.rejected == 5 }
      source.send([.test(100, ids: ["good"])])
      try await source.state.wait { $0.applied == 1 }
    }
    #expect(source.now.isEachSettledOnce)
  }

  @Test func aRefusedEventOfAMessageDoesNotKeepItsOthersFromBeingStored() async throws {
    let source = FakeSource([.test(1, ids: ["a", "bad", "b"])])
    let store = FakeEventStore(plan: { batch, _, _ in batch.contains("bad") ? StoreError(.poison, "refused") : nil })
    _ = try await withPipeline(source, store) { _ in try await source.state.wait { $0.settlements == 1 } }
    #expect(source.now.rejections(of: .test(1)) == ["refused"])
    #expect(store.now.stored == ["a", "b"])
  }
}
