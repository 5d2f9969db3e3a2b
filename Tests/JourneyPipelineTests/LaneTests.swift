import Journey
import Testing

@testable import JourneyPipeline

@Suite(.timeLimit(.minutes(5))) struct LaneTests {
  @Test func `what is to be committed again is not overtaken by what is left of its batch`() async throws {
    let met = Watched(1)
    let ledger = FakeLedger(
      plan: { batch, _, isStored in !isStored && batch.contains("e3") ? LedgerError(.poison, "refused") : nil },
      meet: { $0.event.sourceEventID == "e1" && met.takeOne() })
    try await run([.test(1), .test(2, client: "b"), .test(3, client: "c"), .test(4)], clients: [0, 1, 2, 0], ledger)
    #expect(ledger.now.commits == [["e1", "e2"], ["e1", "e4"]])
  }

  /// Runs a lane until it has done all that there is.
  private func run(_ received: [Received], clients: [Int], _ ledger: FakeLedger) async throws {
    let receipts = OpenReceipts()
    _ = receipts.open(received)
    let queue = BatchQueue<LaneItem>(lanes: 1, limit: 100) { $0.client }
    queue.append(
      received.enumerated().map { place, message in
        LaneItem(staged: message.events[0], receipt: message.receipt, client: clients[place])
      })
    queue.close()
    let statistics = Statistics()
    let source = FakeSource()
    let lane = Lane(
      number: 0, queue: queue, source: source, ledger: ledger,
      outbox: Outbox(publisher: FakePublisher(), limit: 100, statistics: statistics, health: Health()),
      receipts: receipts,
      gate: CommitGate(source: source, ledger: ledger, settings: .test(), health: Health(), logger: quiet),
      settings: .test(),
      statistics: statistics, logger: quiet)
    await lane.run()
  }
}
