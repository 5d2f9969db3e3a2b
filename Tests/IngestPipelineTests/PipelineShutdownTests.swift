import TestSupport
import FoundationEssentials
import Journey
import IngestPipeline
import ServiceLifecycle
import Testing

/// How a pipeline ends.
@Suite(.timeLimit(.minutes(5))) struct PipelineShutdownTests {
  @Test func aStopUnderLoadFinishesSettlesPublishesAndRecordsAllThatWasReceived() async throws {
    let source = FakeSource(batchSize: 50, supply: { .test($0, client: "c\($0 % 31)") })
    let store = FakeEventStore(
      plan: { _, _, _ in
        await Task.yield()
        return nil
      }, act: { _ in true })
    let publisher = FakePublisher()
    let counts = try await withPipeline(source, store, publisher, .test(workers: 3, batchSize: 20)) { _ in
      try await source.state.wait { $0.settlements > 1000 }
    }
    let end = source.now
    #expect(end.isStopped && end.isClosed && end.isEachSettledOnce)
    #expect(end.applied == end.handedOut.count)
    #expect(store.now.stored.count == end.handedOut.count)
    #expect(publisher.now.actions.count == end.handedOut.count)
    #expect(store.now.published.count == end.handedOut.count)
    #expect(Set(store.now.published) == Set(store.now.actions))
    #expect(counts.published == end.handedOut.count)
  }

  @Test func theEndWaitsForConfirmationsAndRecordsThem() async throws {
    let source = FakeSource((0..<5).map { .test($0) })
    let store = FakeEventStore(act: { _ in true })
    let publisher = FakePublisher(.holding)
    _ = try await withPipeline(source, store, publisher) { _ in
      try await publisher.state.wait { $0.underWay == 5 }
    } meanwhile: {
      try await source.state.wait { $0.isStopped && $0.applied == 5 }
      #expect(!source.now.isClosed)
      #expect(store.now.published.isEmpty)
      try publisher.confirmAll()
    }
    #expect(source.now.isClosed)
    #expect(Set(store.now.published) == Set(store.now.actions))
    #expect(store.now.published.count == 5)
  }

  @Test func aStopWhileTheDatabaseIsAwayReleasesEverythingAtOnce() async throws {
    var settings = Pipeline.Settings.test(workers: 2, batchSize: 10)
    settings.minRetryDelay = .seconds(3600)
    settings.maxRetryDelay = .seconds(3600)
    let source = FakeSource((0..<60).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(plan: { _, _, _ in StoreError(.transient, "the database is away") })
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await store.state.wait { $0.attempts >= 2 }
      try await source.state.wait { $0.handedOut.count == 60 }
    }
    #expect(source.now.isEachSettledOnce)
    #expect(source.now.released == 60)
    #expect(source.now.isClosed)
  }

  @Test func aMessageOfWhichOneEventIsStoredIsReleasedWhole() async throws {
    var settings = Pipeline.Settings.test(batchSize: 1)
    settings.minRetryDelay = .seconds(3600)
    settings.maxRetryDelay = .seconds(3600)
    let source = FakeSource([.test(1, ids: ["a", "b"])])
    let store = FakeEventStore(plan: { batch, _, _ in batch.contains("b") ? StoreError(.transient, "away") : nil })
    _ = try await withPipeline(source, store, FakePublisher(), settings) { _ in
      try await store.state.wait { $0.attempts == 2 }
    }
    #expect(store.now.stored == ["a"])
    #expect(source.now.isEachSettledOnce && source.now.released == 1)
  }

  @Test func cancelledItReleasesWhatItCannotCommitAndReturns() async throws {
    var settings = Pipeline.Settings.test(workers: 2)
    settings.minRetryDelay = .seconds(3600)
    settings.maxRetryDelay = .seconds(3600)
    let source = FakeSource((0..<60).map { .test($0, client: "c\($0)") })
    let store = FakeEventStore(plan: { _, _, _ in StoreError(.transient, "the database is away") })
    let pipeline = Pipeline(
      source: source, store: store, publisher: FakePublisher(), settings: settings, logger: quiet)
    let run = Task { try await pipeline.run() }
    try await source.state.wait { $0.handedOut.count == 60 }
    run.cancel()
    try await source.state.wait { $0.isClosed }
    try await run.value
    #expect(source.now.isEachSettledOnce)
    #expect(source.now.released == 60)
    #expect(source.now.isClosed)
  }

  @Test func aServiceGroupStopsIt() async throws {
    let source = FakeSource(batchSize: 10, supply: { .test($0) })
    let pipeline = Pipeline(
      source: source, store: FakeEventStore(), publisher: FakePublisher(), settings: .test(workers: 2), logger: quiet)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: pipeline, successTerminationBehavior: .gracefullyShutdownGroup)], logger: quiet))
    try await whileRunning({ try await group.run() }) {
      try await source.state.wait { $0.settlements > 100 }
      await group.triggerGracefulShutdown()
    }
    #expect(source.now.isClosed && source.now.isEachSettledOnce)
  }

  @Test func aServiceGroupWhoseOtherServiceFailsGetsItStoppedToo() async throws {
    struct Failing: Service {
      struct Failure: Error {}
      let source: FakeSource
      func run() async throws {
        try await source.state.wait { $0.settlements > 100 }
        throw Failure()
      }
    }
    let source = FakeSource(batchSize: 10, supply: { $0 < 200 ? .test($0) : nil })
    let pipeline = Pipeline(
      source: source, store: FakeEventStore(), publisher: FakePublisher(), settings: .test(), logger: quiet)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: pipeline), .init(service: Failing(source: source))], logger: quiet))
    await #expect(throws: Failing.Failure.self) { try await whileRunning({ try await group.run() }, {}) }
    #expect(source.now.isClosed && source.now.isEachSettledOnce)
  }

  @Test func aBacklogOfAbandonedActionsDoesNotHoldUpTheEnd() async throws {
    let source = FakeSource()
    let store = FakeEventStore(claim: { (0..<10).map { _ in OutboxBatch(id: UUID(), actions: [.test()]) } })
    let publisher = FakePublisher()
    _ = try await withPipeline(source, store, publisher, .test(batchSize: 10)) { _ in
      try await store.state.wait { $0.claims > 3 }
    }
    #expect(Set(store.now.published) == Set(publisher.now.actions.map(\.id)))
  }
}
