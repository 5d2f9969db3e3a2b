import Journey
import Testing

@testable import JourneyPipeline

@Suite(.timeLimit(.minutes(5))) struct LaneTests {
  @Test func `what comes of a client that is waited for does not overtake what waits`() async throws {
    let received: [Received] = [.test(1), .test(2), .test(3, client: "another")]
    let receipts = OpenReceipts()
    _ = receipts.open(received)
    let queue = BatchQueue<LaneItem>(lanes: 1, limit: 100) { $0.client }
    queue.append(
      received.map { message in
        LaneItem(
          staged: message.events[0], receipt: message.receipt, client: message.receipt == .test(3) ? 1 : 0,
          deferrals: message.receipt == .test(1) ? LaneItem.mostDeferrals : 0)
      })
    queue.close()
    let ledger = FakeLedger()
    let statistics = Statistics()
    let lane = Lane(
      number: 0, queue: queue, source: FakeSource(), ledger: ledger,
      outbox: Outbox(publisher: FakePublisher(), limit: 100, statistics: statistics), receipts: receipts, settings: .test(),
      statistics: statistics, logger: quiet)
    try await lane.run()
    #expect(ledger.now.commits == [["e3"], ["e1", "e2"]])
    #expect(ledger.now.waited == [false, true])
  }
}
