import FoundationEssentials
import Journey
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct EventStoreConformanceTests: CommitTesting {
  @Test(arguments: EventStoreConformance.checks.map(\.name))
  func theStoreDoesWhatEveryStoreHasTo(_ name: String) async throws {
    let check = try #require(EventStoreConformance.checks.first { $0.name == name })
    try await withStore { store, _ in
      try await check.run(
        EventStoreConformance(store: store) { id, source in
          var random = IDRandom()
          let now = SystemClock().now()
          return IncomingEvent(
            id: UUID.v7(at: now, using: &random),
            event: JourneyEvent(
              orgID: Self.org, source: source, sourceEventID: id, client: ClientReference(id: Self.clients[0]),
              type: "note_added", stage: .billing, occurredAt: now, metadata: Array("{}".utf8)),
            signals: Signals())
        })
    }
  }
}
