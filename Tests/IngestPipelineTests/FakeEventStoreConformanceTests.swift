import FoundationEssentials
import Journey
import TestSupport
import Testing

@Suite struct FakeEventStoreConformanceTests {
  @Test(arguments: EventStoreConformance.checks.map(\.name))
  func theFakeDoesWhatEveryStoreHasTo(_ name: String) async throws {
    let check = try #require(EventStoreConformance.checks.first { $0.name == name })
    let org = UUID()
    let conformance = EventStoreConformance(store: FakeEventStore(act: { _ in true })) { id, source in
      IncomingEvent(
        id: UUID(),
        event: JourneyEvent(
          orgID: org, source: source, sourceEventID: id, client: ClientReference(externalID: "c"), type: "call",
          stage: nil, occurredAt: Timestamp(seconds: 0), metadata: []),
        signals: Signals())
    }
    try await check.run(conformance)
  }
}
