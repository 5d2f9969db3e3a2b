import TestSupport
import Journey
import Testing

@testable import IngestPipeline

@Suite(.timeLimit(.minutes(5))) struct CommitWorkerTests {
  @Test func eventsToCommitAgainAreNotOvertakenByTheRestOfTheirBatch() async throws {
    let stateCreated = Watched(1)
    let store = FakeEventStore(
      plan: { batch, _, isStored in !isStored && batch.contains("e3") ? StoreError(.poison, "refused") : nil },
      createState: { $0.event.sourceEventID == "e1" && stateCreated.removeOne() })
    try await run([.test(1), .test(2, client: "b"), .test(3, client: "c"), .test(4)], clients: [0, 1, 2, 0], store)
    #expect(store.now.commits == [["e1", "e2"], ["e1", "e4"]])
  }

  /// Runs a worker until it has done all that there is.
  private func run(
    _ received: [InboundMessage], clients: [Int], _ store: FakeEventStore, _ source: FakeSource = FakeSource()
  )
    async throws
  {
    let queue = BatchQueue<PendingEvent>(workers: 1, limit: 100) { $0.client }
    queue.append(
      received.enumerated().map { index, message in
        PendingEvent(incoming: message.events[0], message: message, client: clients[index])
      })
    queue.close()
    let statistics = Statistics()
    let worker = CommitWorker(
      number: 0, queue: queue, source: source, store: store,
      outbox: Outbox(publisher: FakePublisher(), limit: 100, statistics: statistics, health: Health()),
      inFlight: InFlightMessages(),
      gate: CommitGate(source: source, store: store, settings: .test(), health: Health(), logger: quiet),
      settings: .test(),
      statistics: statistics, turns: Liveness().loop("commits", limit: 60), logger: quiet)
    await worker.run()
  }

  /// What came on a lost connection comes again: it is neither committed nor settled.
  @Test func whatCameOnALostConnectionIsDropped() async throws {
    let store = FakeEventStore()
    let source = FakeSource()
    source.state.change { $0.lostGeneration = 1 }
    try await run([.test(1), .test(2)], clients: [0, 1], store, source)
    #expect(store.now.commits.isEmpty && source.now.settled.isEmpty)
  }
}
