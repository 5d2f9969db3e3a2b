import TestSupport
import FoundationEssentials
import Journey
import IngestPipeline
import Testing

/// Clients are evaluated when their time has come, beside the events.
@Suite(.timeLimit(.minutes(5))) struct TimeSweepTests {
  private func settings(interval: Duration = .seconds(3600), limit: Int = 10) -> Pipeline.Settings {
    var settings = Pipeline.Settings.test()
    settings.sweepInterval = interval
    settings.sweepLimit = limit
    return settings
  }

  private func token(_ looked: Int, actions: Int = 0, held: [UUID] = []) -> DueResult {
    let clients = (0..<looked).map { _ in DueResult.Client(id: UUID(), orgID: UUID()) }
    let outbox = actions > 0 ? OutboxBatch(id: UUID(), actions: (0..<actions).map { _ in .test() }) : nil
    return DueResult(looked: looked, evaluated: clients, held: held, outbox: outbox)
  }

  private func store(_ due: [Result<DueResult, StoreError>]) -> FakeEventStore {
    let store = FakeEventStore()
    store.state.change { $0.due = due }
    return store
  }

  private func error(_ kind: StoreError.Kind, at client: UUID? = nil) -> Result<DueResult, StoreError> {
    var error = StoreError(kind, "no")
    error.client = client
    return .failure(error)
  }

  @Test func allThatIsDueIsEvaluatedAtOnceAndItsActionsArePublishedAndRecorded() async throws {
    let store = store([.success(token(10, actions: 3)), .success(token(10)), .success(token(4, actions: 1))])
    let publisher = FakePublisher()
    let counts = try await withPipeline(FakeSource([]), store, publisher, settings()) { _ in
      try await publisher.state.wait { $0.actions.count == 4 }
      try await store.state.wait { $0.dueLimits.count == 3 }
    }
    #expect(counts.overTime == 24)
    #expect(store.now.published.count == 4)
    #expect(store.now.dueLimits == [10, 10, 10])
  }

  @Test func howeverManyAreDueEachTakesTheTimeThatIsSetForIt() async throws {
    let store = store([.success(token(10)), .success(token(10)), .success(token(10)), .success(token(3))])
    var settings = settings()
    settings.sweepPace = .milliseconds(5)
    let begin = ContinuousClock.now
    _ = try await withPipeline(FakeSource([]), store, FakePublisher(), settings) { _ in
      try await store.state.wait { $0.dueLimits.count == 4 }
    }
    #expect(begin.duration(to: .now) >= .milliseconds(150))
  }

  @Test func organisationsThatAreLockedElsewhereAreSkippedUntilTheNextTurn() async throws {
    let org = UUID()
    let store = store([.success(token(10, held: [org])), .success(token(2)), .success(token(1))])
    _ = try await withPipeline(FakeSource([]), store, FakePublisher(), settings(interval: .milliseconds(1))) { _ in
      try await store.state.wait { $0.passedOver.count >= 3 }
    }
    #expect(store.now.passedOver.prefix(3).map(\.organizations) == [[], [org], []])
  }

  @Test func aRefusedClientIsFoundAndOnlyOneIsPostponedPerTurn() async throws {
    let client = UUID()
    let store = store([error(.poison), error(.poison), error(.poison, at: client), .success(token(3))])
    let health = Health()
    _ = try await withPipeline(
      FakeSource([]), store, FakePublisher(), settings(interval: .milliseconds(1)), health: health
    ) { _ in
      try await store.state.wait { $0.dueLimits.count >= 4 }
      while !health.problems.isEmpty { await Task.yield() }
    }
    #expect(store.now.dueLimits.prefix(4) == [10, 2, 1, 10])
    #expect(store.now.postponed == [client])
  }

  @Test func aClientThatIsLockedElsewhereIsFoundAndBlocksNoOther() async throws {
    let client = UUID()
    let store = store([
      error(.contended), error(.contended), error(.contended, at: client), .success(token(1)), .success(token(2)),
      .success(token(3)),
    ])
    let counts = try await withPipeline(FakeSource([]), store, FakePublisher(), settings()) { _ in
      try await store.state.wait { $0.dueLimits.count == 6 }
    }
    #expect(store.now.dueLimits == [10, 2, 1, 1, 2, 4])
    #expect(store.now.passedOver.map(\.clients) == [[], [], [], [client], [client], [client]])
    #expect(counts.overTime == 6 && store.now.postponed.isEmpty)
  }

  @Test func aTransientFailureIsWaitedOutAndReportedMeanwhile() async throws {
    for kind in [StoreError.Kind.transient, .contended] {
      let store = store([error(kind), error(kind), error(kind)])
      let health = Health()
      _ = try await withPipeline(FakeSource([]), store, FakePublisher(), settings(limit: 1), health: health) { _ in
        try await store.state.wait { $0.dueLimits.count == 1 }
        while health.problems.isEmpty { await Task.yield() }
      }
      #expect(store.now.postponed.isEmpty)
      #expect(store.now.dueLimits == [1])
    }
  }

  @Test func aStopFinishesTheTransactionThatIsUnderWayAndBeginsNoOther() async throws {
    let isHeldUp = Watched(true)
    // As the database: what runs there is not cancelled.
    let store = FakeEventStore(evaluating: { await Task { try? await isHeldUp.wait { !$0 } }.value })
    let first = token(10, actions: 3)
    store.state.change { $0.due = [.success(first)] + (0..<9).map { _ in .success(token(10, actions: 1)) } }
    let source = FakeSource([])
    let publisher = FakePublisher()
    let counts = try await withPipeline(source, store, publisher, settings()) { _ in
      try await store.state.wait { $0.dueLimits.count == 1 }
    } meanwhile: {
      try await source.state.wait { $0.isStopped }
      isHeldUp.change { $0 = false }
    }
    #expect(counts.overTime == 10)
    #expect(store.now.dueLimits.count == 1)
    #expect(publisher.now.actions.map(\.id) == first.outbox?.actions.map(\.id))
    #expect(store.now.published == first.outbox?.actions.map(\.id), "what it published is recorded")
  }
}
