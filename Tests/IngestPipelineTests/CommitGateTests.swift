import TestSupport
import Journey
import IngestPipeline
import Testing

/// What becomes of messages when the database says that a person has to act.
@Suite(.timeLimit(.minutes(5))) struct CommitGateTests {
  private var settings: Pipeline.Settings {
    var settings = Pipeline.Settings.test(workers: 2, batchSize: 50)
    settings.minTrialDelay = .milliseconds(1)
    settings.maxTrialDelay = .milliseconds(5)
    settings.refusalPause = .zero
    return settings
  }

  @Test func ifNothingPassesNoEventIsAtFaultAndConsumingPauses() async throws {
    let source = FakeSource((0..<200).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(
      plan: { _, _, _ in StoreError(.permanent, "permission denied") }, checking: { StoreError(.permanent, "still") })
    let health = Health()
    let counts = try await withPipeline(source, store, FakePublisher(), settings, health: health) { _ in
      try await store.state.wait { $0.checks >= 3 }
      #expect(source.now.isPaused)
      #expect(health.problems.map(\.part) == [.commits])
    }
    let end = source.now
    #expect(end.rejected == 0 && end.applied == 0 && end.released == 0)
    #expect(end.postponed == end.handedOut.count && end.isEachSettledOnce)
    #expect(store.now.attempts < 40, "a batch and a few single events per worker show that nothing passes")
    #expect(counts.stored == 0)
  }

  @Test func aRefusalOfEveryRowBlamesNoEvent() async throws {
    let source = FakeSource((0..<200).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(
      plan: { _, _, _ in StoreError(.poison, "null value in column of a host's audit table") },
      checking: { StoreError(.permanent, "still") })
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await store.state.wait { $0.checks >= 1 }
    }
    #expect(source.now.rejected == 0 && source.now.applied == 0 && source.now.isEachSettledOnce)
  }

  @Test func anEventWhoseDataIsRefusedIsRejectedEvenIfNothingElseComes() async throws {
    let source = FakeSource([.test(1)])
    let store = FakeEventStore(plan: { _, _, _ in StoreError(.poison, "too long") })
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await source.state.wait { $0.settlements == 1 }
    }
    #expect(source.now.rejections(of: .test(1)) == ["too long"])
  }

  @Test func anEventAtFaultIsRejectedOnceOthersWereStored() async throws {
    // The last one is refused after all others were stored: it takes others that are stored after it.
    let bad: Set<String> = ["e0", "e17", "e63", "e99"]
    let source = FakeSource((0..<100).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(plan: { batch, _, _ in
      bad.contains(where: batch.contains) ? StoreError(.permanent, "permission denied") : nil
    })
    let health = Health()
    _ = try await withPipeline(source, store, FakePublisher(), settings, health: health) { _ in
      try await source.state.wait { $0.applied == 96 }
      for number in 0..<1000 where source.now.rejected < 4 {
        source.send([.test(100 + number, client: "another")])
        try await source.state.wait { $0.applied == 97 + number }
      }
    }
    #expect(store.now.stored.count == source.now.applied)
    #expect(source.now.rejected == 4)
    for tag in [0, 17, 63, 99] { #expect(source.now.rejections(of: .test(tag)) == ["permission denied"]) }
    #expect(health.problems.isEmpty)
  }

  @Test(.timeLimit(.minutes(1)))
  func refusedEventsAreStoredOnceTheFaultIsFixedEvenIfNothingElseComes() async throws {
    let isMended = Watched(false)
    let source = FakeSource((0..<100).map { .test($0, client: "c\($0)") })
    let refused = Watched(0)
    let store = FakeEventStore(plan: { batch, _, isStored in
      guard !isStored, batch.contains("e0"), !isMended.now else { return nil }
      refused.change { $0 += 1 }
      return StoreError(.permanent, "permission denied")
    })
    var settings = settings
    // Never at fault here: it is the host's.
    settings.refusalPause = .milliseconds(50)
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await source.state.wait { $0.applied == 99 }
      try await refused.wait { $0 >= 3 }
      isMended.change { $0 = true }
      try await source.state.wait { $0.applied == 100 }
    }
    #expect(source.now.rejected == 0 && source.now.isEachSettledOnce)
  }

  @Test func workResumesWithAFewMessagesOnceTheFaultIsFixed() async throws {
    let isMended = Watched(false)
    let source = FakeSource((0..<200).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(
      plan: { _, _, _ in isMended.now ? nil : StoreError(.permanent, "permission denied") },
      checking: { isMended.now ? nil : StoreError(.permanent, "still") })
    let health = Health()
    _ = try await withPipeline(source, store, FakePublisher(), settings, health: health) { _ in
      try await store.state.wait { $0.checks >= 2 }
      isMended.change { $0 = true }
      source.send((1000..<1100).map { .test($0, client: "c\($0)") })
      try await source.state.wait { $0.applied >= 100 }
    }
    let limits = source.now.limits
    #expect(limits.first == .some(16))
    #expect(limits.last == .some(nil))
    #expect(limits.dropLast().allSatisfy { $0 == 16 }, "opened by a commit that passes, and by nothing else")
    #expect(source.now.rejected == 0 && health.problems.isEmpty)
  }

  /// The check sees less than a commit does: what a host's trigger may do with a row, for instance.
  @Test func aFailedTrialRejectsNothingAndConsumesLittle() async throws {
    let source = FakeSource(batchSize: 16, supply: { .test($0, client: "c\($0)") })
    let store = FakeEventStore(plan: { _, _, _ in StoreError(.permanent, "permission denied") })
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await store.state.wait { $0.checks >= 5 }
    }
    let end = source.now
    #expect(end.rejected == 0 && end.applied == 0)
    #expect(end.limits.allSatisfy { $0 == 16 })
  }

  @Test func aDatabaseThatIsAwayForLongHoldsNoMessages() async throws {
    let isBack = Watched(false)
    let source = FakeSource((0..<100).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(
      plan: { _, _, _ in isBack.now ? nil : StoreError(.transient, "away") },
      checking: { isBack.now ? nil : StoreError(.transient, "away") })
    var settings = settings
    settings.timeout = .milliseconds(20)
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await store.state.wait { $0.checks >= 2 }
      try await source.state.wait { $0.postponed == $0.handedOut.count }
      isBack.change { $0 = true }
      source.send((1000..<1010).map { .test($0, client: "c\($0)") })
      try await source.state.wait { $0.applied >= 10 }
    }
    #expect(source.now.rejected == 0 && source.now.isEachSettledOnce)
  }

  @Test func aStopWhileNothingPassesCountsReleasedMessages() async throws {
    let source = FakeSource((0..<20).map { .test($0, client: "c\($0)") })
    let isAsked = Watched(false)
    let store = FakeEventStore(plan: { _, _, _ in
      isAsked.change { $0 = true }
      try? await source.state.wait { $0.isStopped }
      return StoreError(.permanent, "permission denied")
    })
    let pipeline = Watched<Pipeline?>(nil)
    _ = try await withPipeline(
      source, store, FakePublisher(), settings,
      stopping: { running in
        pipeline.change { $0 = running }
        try await isAsked.wait { $0 }
      })
    let end = source.now
    // Where the failure comes just before the queue is closed, it is put off instead.
    #expect(end.released + end.postponed == 20 && end.isEachSettledOnce && end.rejected == 0)
    #expect(pipeline.now?.leftovers.messages == end.released)
  }
}
