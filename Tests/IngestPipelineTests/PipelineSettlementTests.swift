import TestSupport
import FoundationEssentials
import Journey
import Testing

@testable import IngestPipeline

/// When a message is settled, and as what.
@Suite(.timeLimit(.minutes(5))) struct PipelineSettlementTests {
  @Test func nothingIsSettledBeforeItsCommitIsKnownToHaveSucceeded() async throws {
    let source = FakeSource((0..<10).map { .test($0) })
    let gate = Watched(false)
    let settledEarly = Watched(0)
    let store = FakeEventStore(plan: { _, _, _ in
      try? await gate.wait { $0 }
      settledEarly.change { $0 += source.now.settlements }
      return nil
    })
    let counts = try await withPipeline(source, store) { _ in
      try await store.state.wait { $0.attempts == 1 }
      #expect(source.now.settlements == 0)
      gate.change { $0 = true }
      try await source.state.wait { $0.applied == 10 }
    }
    #expect(settledEarly.now == 0)
    #expect(source.now.isEachSettledOnce)
    #expect(counts.received == 10 && counts.stored == 10 && counts.rejected == 0 && counts.duplicates == 0)
  }

  @Test func aDuplicateEventIsAckedLikeANewOne() async throws {
    let source = FakeSource([.test(1, ids: ["a"]), .test(2, ids: ["a"]), .test(3, ids: ["b"])])
    let store = FakeEventStore()
    let counts = try await withPipeline(source, store) { _ in try await source.state.wait { $0.applied == 3 } }
    #expect(source.now.isEachSettledOnce)
    #expect(counts.stored == 2 && counts.duplicates == 1)
  }

  @Test func anEventWhoseClientIsLockedIsCommittedAgainAndHoldsUpNoOther() async throws {
    let source = FakeSource([
      .test(1, ids: ["a"], client: "free"), .test(2, ids: ["b"], client: "held"), .test(3, ids: ["c"], client: "free"),
    ])
    let held = Watched(2)
    let store = FakeEventStore(hold: { $0.event.sourceEventID == "b" && held.removeOne() })
    let counts = try await withPipeline(source, store) { _ in try await source.state.wait { $0.settlements == 3 } }
    #expect(store.now.commits == [["a", "b", "c"], ["b"], ["b"]])
    #expect(source.now.isEachSettledOnce && source.now.applied == 3)
    #expect(counts.stored == 3 && counts.duplicates == 0)
  }

  @Test func anEventWhoseClientStateWasCreatedIsCommittedAgainBeforeLaterEvents()
    async throws
  {
    let source = FakeSource([
      .test(1, ids: ["a"], client: "new"), .test(2, ids: ["b"], client: "new"), .test(3, ids: ["c"], client: "another"),
    ])
    let stateCreated = Watched(3)
    let store = FakeEventStore(createState: { _ in stateCreated.removeOne() })
    let counts = try await withPipeline(source, store) { _ in try await source.state.wait { $0.settlements == 3 } }
    #expect(store.now.commits == [["a", "b", "c"], ["a", "b", "c"]])
    #expect(source.now.isEachSettledOnce && source.now.applied == 3)
    #expect(counts.stored == 3 && counts.duplicates == 0)
  }

  @Test func lockedEventsArePostponedAndAllOthersAreStoredMeanwhile() async throws {
    let source = FakeSource((1...60).map { .test($0, client: $0 == 1 ? "held" : "free \($0)") })
    let store = FakeEventStore(hold: { $0.event.sourceEventID == "e1" })
    var settings = Pipeline.Settings.test(batchSize: 2)
    settings.maxHold = .milliseconds(50)
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await source.state.wait { $0.settlements == 60 }
    }
    #expect(source.now.applied == 59 && source.now.postponed == 1)
    // In pauses, not in every batch.
    #expect(store.now.commits.count { $0.contains("e1") } < 20)
    #expect(source.now.isEachSettledOnce)
  }

  @Test func aLockedClientIsFoundByHalvingAndHoldsUpNoOther() async throws {
    let source = FakeSource((1...60).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(plan: { batch, _, isStored in
      !isStored && (batch.contains("e7") || batch.contains("e41")) ? StoreError(.contended, "a lock") : nil
    })
    var settings = Pipeline.Settings.test(batchSize: 60)
    settings.maxHold = .milliseconds(50)
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await source.state.wait { $0.settlements == 60 }
    }
    #expect(source.now.applied == 58 && source.now.postponed == 2 && source.now.isEachSettledOnce)
  }

  @Test func aTableThatIsLockedIsNotLookedThroughClientByClient() async throws {
    let isLocked = Watched(true)
    let source = FakeSource((1...60).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(plan: { _, _, isStored in
      !isStored && isLocked.now ? StoreError(.contended, "a lock") : nil
    })
    _ = try await withPipeline(source, store, FakePublisher(), .test(batchSize: 60)) { _ in
      try await store.state.wait { $0.attempts > 20 }
      isLocked.change { $0 = false }
      try await source.state.wait { $0.settlements == 60 }
    }
    #expect(source.now.applied + source.now.postponed == 60 && source.now.rejected == 0)
  }

  @Test func lockedEventsBeyondTheLimitArePostponedAtOnce() async throws {
    let source = FakeSource((1...30).map { .test($0, client: $0 <= 20 ? "held \($0)" : "free") }, batchSize: 5)
    let store = FakeEventStore(hold: { Int($0.event.sourceEventID.dropFirst())! <= 20 })
    var settings = Pipeline.Settings.test(batchSize: 5)
    settings.maxHeld = 8
    settings.maxHold = .seconds(3600)
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await source.state.wait { $0.applied == 10 && $0.postponed >= 10 }
    }
    #expect(source.now.isEachSettledOnce)
  }

  @Test func aStopDoesNotWaitForAClientThatStaysHeld() async throws {
    let source = FakeSource([.test(1, client: "held"), .test(2, client: "free")])
    let store = FakeEventStore(hold: { $0.event.sourceEventID == "e1" })
    _ = try await withPipeline(source, store) { _ in try await source.state.wait { $0.applied == 1 } }
    #expect(source.now.postponed == 1 && source.now.isEachSettledOnce)
  }

  @Test func aMessageWithoutAnEventIsSettledWithoutTheStore() async throws {
    let source = FakeSource([.test(1, ids: []), .test(2, ids: [], rejections: [Rejection(.malformed, "not JSON")])])
    let store = FakeEventStore(plan: { _, _, _ in
      Issue.record("there is nothing to commit")
      return nil
    })
    let counts = try await withPipeline(source, store) { _ in try await source.state.wait { $0.settlements == 2 } }
    #expect(source.now.applied == 1)
    #expect(source.now.rejections(of: .test(2)) == ["not JSON"])
    #expect(counts.ignored == 1 && counts.rejected == 1 && counts.received == 2)
  }

  @Test func aMessageWithManyEventsIsSettledWhenTheLastOfThemIsDecided() async throws {
    let source = FakeSource([.test(1, ids: ["a", "b", "c"]), .test(2, ids: ["d"])])
    let settledEarly = Watched(0)
    let store = FakeEventStore(plan: { batch, _, _ in
      if !batch.contains("d") { settledEarly.change { $0 += source.now.settlements } }
      return nil
    })
    _ = try await withPipeline(source, store, FakePublisher(), .test(batchSize: 1)) { _ in
      try await source.state.wait { $0.applied == 2 }
    }
    #expect(store.now.commits == [["a"], ["b"], ["c"], ["d"]])
    #expect(settledEarly.now == 0)
    #expect(source.now.isEachSettledOnce)
  }

  @Test func eventsOfOneMessageOnManyWorkersSettleItOnce() async throws {
    let source = FakeSource(
      (0..<50).map { tag in
        InboundMessage(
          token: .test(tag), events: (0..<8).map { .test("e\(tag)-\($0)", client: "c\($0)") }, rejections: [])
      })
    let store = FakeEventStore(plan: { _, _, _ in
      await Task.yield()
      return nil
    })
    let counts = try await withPipeline(source, store, FakePublisher(), .test(workers: 4, batchSize: 7)) { _ in
      try await source.state.wait { $0.applied == 50 }
    }
    #expect(source.now.isEachSettledOnce)
    #expect(counts.received == 50 && counts.stored == 400)
    #expect(store.now.stored.count == 400)
  }

  @Test func partsThatCannotBeAppliedAreRejectedWithAllReasonsAndTheRestIsStored() async throws {
    let source = FakeSource([
      .test(1, ids: ["a", "bad1", "bad2", "b"], rejections: [Rejection(.missingField, "mapping")]), .test(2),
    ])
    let store = FakeEventStore(reject: { incoming in
      let id = incoming.event.sourceEventID
      return id.hasPrefix("bad") ? Rejection(.unknownClient, id) : nil
    })
    let counts = try await withPipeline(source, store, FakePublisher(), .test(batchSize: 2)) { _ in
      try await source.state.wait { $0.settlements == 2 }
    }
    #expect(source.now.rejections(of: .test(1)) == ["mapping", "bad1", "bad2"])
    #expect(source.now.applied == 1)
    #expect(store.now.stored == ["a", "b", "e2"])
    #expect(counts.rejected == 1 && counts.stored == 3)
  }

  @Test func aHundredThousandEventsOnFourWorkersAreSettledOnceEachAClientsInOrder() async throws {
    let total = 100_000
    let source = FakeSource(batchSize: 500, supply: { $0 < total ? .test($0, client: "c\($0 % 997)") : nil })
    let store = FakeEventStore()
    let counts = try await withPipeline(source, store, FakePublisher(), .test(workers: 4, batchSize: 500)) { _ in
      try await source.state.wait { $0.settlements == total }
    }
    #expect(source.now.isEachSettledOnce)
    #expect(source.now.applied == total)
    #expect(store.now.stored.count == total)
    #expect(counts.received == total && counts.stored == total && counts.duplicates == 0)
    var last: [Int: Int] = [:]
    var outOfOrder = 0
    for id in store.now.commits.joined() {
      let number = try #require(Int(id.dropFirst()))
      if let previous = last.updateValue(number, forKey: number % 997), previous > number { outOfOrder += 1 }
    }
    #expect(outOfOrder == 0)
  }

  @Test func aCommitThatHangsDoesNotHoldUpWhatLittleComesAfterIt() async throws {
    let source = FakeSource([.test(1, ids: ["a1", "a2"], client: "a")])
    let isFree = Watched(false)
    let store = FakeEventStore(plan: { batch, _, isStored in
      if !isStored, batch.contains("a1") { try? await isFree.wait { $0 } }
      return nil
    })
    _ = try await withPipeline(source, store, FakePublisher(), .test(workers: 2)) { _ in
      try await store.state.wait { $0.attempts == 1 }
      source.send([.test(2, client: "b")])
      try await store.state.wait { $0.stored == ["e2"] }
      isFree.change { $0 = true }
      try await source.state.wait { $0.settlements == 2 }
    }
    #expect(store.now.commits == [["e2"], ["a1", "a2"]])
  }

  @Test func noTwoWorkersHaveAClientAtTheSameTime() async throws {
    let source = FakeSource((0..<3000).map { .test($0, client: "c\($0 % 40)") }, batchSize: 64)
    let busy = Watched<(clients: Set<String>, clashes: Int, most: Int)>(([], 0, 0))
    let store = FakeEventStore(plan: { batch, _, isStored in
      let clients = Set(batch.events.compactMap(\.event.client.externalID))
      busy.change { busy in
        if isStored {
          busy.clients.subtract(clients)
        } else {
          busy.clashes += busy.clients.intersection(clients).count
          busy.clients.formUnion(clients)
          busy.most = max(busy.most, busy.clients.count)
        }
      }
      for _ in 0..<5 { await Task.yield() }
      return nil
    })
    _ = try await withPipeline(source, store, FakePublisher(), .test(workers: 4, batchSize: 5)) { _ in
      try await source.state.wait { $0.settlements == 3000 }
    }
    #expect(busy.now.clashes == 0)
    #expect(busy.now.most > 5, "the workers did not run side by side")
    #expect(source.now.isEachSettledOnce)
  }

  /// While the database is away and connections are lost, what waits from them is not kept: it comes again.
  @Test func whatWaitsFromALostConnectionIsDroppedWithTheNextDelivery() async throws {
    let source = FakeSource((0..<50).map { .test($0) }, batchSize: 50)
    let hold = Watched(true)
    let store = FakeEventStore(plan: { _, attempt, isStored in
      if attempt == 1, !isStored { try? await hold.wait { !$0 } }
      return nil
    })
    _ = try await withPipeline(source, store, FakePublisher(), .test(batchSize: 10)) { _ in
      try await store.state.wait { $0.attempts == 1 }
      source.state.change { $0.lostGeneration = 1 }
      let next = InboundMessage(
        token: AckToken(generation: 2, tag: 1), events: InboundMessage.test(1, ids: ["again"]).events, rejections: [])
      source.send([next])
      try await source.state.wait { $0.handedOut.count == 51 }
      hold.change { $0 = false }
      try await source.state.wait { $0.settled[next.token] != nil }
    }
    // The batch under way was committed; of the forty that waited, nothing was.
    #expect(store.now.commits.flatMap(\.self).count == 11)
  }
}
