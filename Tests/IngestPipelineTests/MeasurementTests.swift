import Journey
import Telemetry
import TestSupport
import Testing

@testable import IngestPipeline

/// What the pipeline counts and measures.
@Suite(.timeLimit(.minutes(5))) struct MeasurementTests {
  private static func message(_ tag: Int, sentBefore age: Duration, client: String = "c") -> InboundMessage {
    let message = InboundMessage.test(tag, client: client)
    return InboundMessage(
      token: message.token, events: message.events, rejections: [], sentAt: ContinuousClock.now - age)
  }

  private static func until(_ condition: () -> Bool) async throws {
    while !condition() {
      try Task.checkCancellation()
      await Task.yield()
    }
  }

  @Test func theCriticalTimeIsFromTheSendingUntilTheConfirm() async throws {
    let source = FakeSource([Self.message(1, sentBefore: .seconds(100)), Self.message(2, sentBefore: .seconds(9000))])
    let store = FakeEventStore(act: { $0.event.sourceEventID == "e1" })
    let publisher = FakePublisher(.holding)
    let counts = try await withPipeline(source, store, publisher) { pipeline in
      try await source.state.wait { $0.applied == 2 }
      try await publisher.state.wait { $0.underWay == 1 }
      #expect(pipeline.statistics.criticalTime.snapshot.count == 0)
      try publisher.confirmOldest()
      let measured = pipeline.statistics.criticalTime.snapshot
      #expect(measured.count == 1 && measured.sum >= 100 && measured.sum < 9000)
      #expect(pipeline.statistics.confirmSeconds.snapshot.count == 1)
      let events = pipeline.statistics.commitEvents.snapshot
      #expect(events.sum == 2 && events.count == pipeline.statistics.commitSeconds.snapshot.count)
    }
    #expect(counts.attempts == [Statistics.Attempt(kind: .recommendation, failure: nil): 1])
    #expect(counts.published == 1 && counts.publishFailures == 0)
  }

  @Test func anActionThatIsNotConfirmedHasNoCriticalTime() async throws {
    let source = FakeSource((0..<8).map { .test($0) })
    let store = FakeEventStore(act: { _ in true })
    let counts = try await withPipeline(source, store, FakePublisher(.gated), .test(batchSize: 8)) { pipeline in
      try await Self.until { pipeline.statistics.now.attempts.values.reduce(0, +) == 8 }
      #expect(pipeline.statistics.criticalTime.snapshot.count == pipeline.statistics.now.published)
    }
    #expect(counts.attempts[Statistics.Attempt(kind: .recommendation, failure: .held)] ?? 0 >= 4)
    #expect(counts.publishFailures == counts.attempts[Statistics.Attempt(kind: .recommendation, failure: .failed)] ?? 0)
    #expect(counts.attempts.values.reduce(0, +) == 8)
  }

  @Test func theOldestIsOfThoseThatWaitAndThoseThatAreCommitted() async throws {
    let source = FakeSource([Self.message(1, sentBefore: .seconds(50))])
    let isReleased = Watched(false)
    let store = FakeEventStore(plan: { _, _, isStored in
      if !isStored { try? await isReleased.wait { $0 } }
      return nil
    })
    _ = try await withPipeline(source, store) { pipeline in
      func age() -> Duration? { pipeline.oldestUnprocessed.map { $0.duration(to: .now) } }
      try await Self.until { age() ?? .zero >= .seconds(50) }
      // It waits behind the first, of the same client.
      source.send([Self.message(2, sentBefore: .seconds(70))])
      try await Self.until { age() ?? .zero >= .seconds(70) }
      isReleased.change { $0 = true }
      try await source.state.wait { $0.applied == 2 }
      try await Self.until { pipeline.oldestUnprocessed == nil }
    }
  }

  @Test func rejectionsAreCountedByTheirFirstReason() async throws {
    let decoded = InboundMessage(
      token: .test(9), events: [], rejections: [Rejection(.malformed, "no JSON"), Rejection(.tooLarge, "too large")])
    let source = FakeSource([.test(1), .test(2), .test(3), decoded])
    let store = FakeEventStore(reject: {
      $0.event.sourceEventID == "e3" ? nil : Rejection(.unknownClient, "there is none")
    })
    let counts = try await withPipeline(source, store) { _ in
      try await source.state.wait { $0.rejected == 3 && $0.applied == 1 }
    }
    #expect(counts.rejections == [.unknownClient: 2, .malformed: 1])
    #expect(counts.rejected == 3 && counts.stored == 1 && counts.received == 4)
  }
}
