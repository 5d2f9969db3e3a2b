import FoundationEssentials
import Journey
import JourneyPostgres
import TestServers
import TestSupport
import Testing

/// Events that raise a client to a stage: the row says the client's stage at its time, and the state follows.
@Suite struct LowerBoundTests: CommitTesting {
  private enum Effect {
    case set(Stage)
    case raise(Stage)
    case keep
  }

  private func event(_ id: String, _ effect: Effect, daysAgo: Int64) -> IncomingEvent {
    var event = event(id).event
    event.occurredAt = SystemClock().now() - .days(daysAgo)
    (event.stage, event.minStage) = (nil, nil)
    switch effect {
    case .set(let stage): event.stage = stage
    case .raise(let stage): event.minStage = stage
    case .keep: break
    }
    var random = IDRandom()
    return IncomingEvent(
      id: UUID.v7(at: SystemClock().now(), using: &random), event: event, signals: Self.signals(of: event))
  }

  private static let rows = "SELECT source_event_id, stage FROM client_journey_events ORDER BY source_event_id"

  @Test func theRowSaysTheStageOfItsTime() async throws {
    try await withStores(rules: [DecisionRules()]) { stores, other in
      let store = stores[0]
      _ = try await store.commitAll([event("a", .set(.retention), daysAgo: 9)])
      // Alone on a client that is further along, and with one that keeps the stage after it.
      _ = try await store.commitAll([event("b", .raise(.billing), daysAgo: 8)])
      _ = try await store.commitAll([event("c", .raise(.billing), daysAgo: 7), event("d", .keep, daysAgo: 6)])
      _ = try await store.commitAll([event("e", .raise(.upsellCandidate), daysAgo: 5), event("f", .keep, daysAgo: 4)])
      // Late ones: among what the state covers already.
      _ = try await store.commitAll([
        event("g", .raise(.billing), daysAgo: 7), event("h", .raise(.upsellCandidate), daysAgo: 8),
        event("i", .keep, daysAgo: 9), event("j", .raise(.lead), daysAgo: 12),
      ])
      #expect(
        try await other.rows(Self.rows) == [
          "a|retention", "b|retention", "c|retention", "d|retention", "e|upsell_candidate", "f|upsell_candidate",
          "g|retention", "h|upsell_candidate", "i|retention", "j|lead",
        ])
      #expect(try await other.rows("SELECT stage FROM journey_client_state") == ["upsell_candidate"])
    }
  }

  /// A summary that is made again from the events is the one that grew with them.
  @Test func theRebuiltStateIsTheSame() async throws {
    try await withStores(rules: [DecisionRules()]) { stores, other in
      let events = [
        event("a", .set(.churnRisk), daysAgo: 30), event("b", .set(.onboarding), daysAgo: 20),
        event("c", .raise(.billing), daysAgo: 19), event("d", .raise(.activeProject), daysAgo: 18),
        event("e", .raise(.lead), daysAgo: 17),
      ]
      for event in events.reversed() { _ = try await stores[0].commitAll([event]) }
      #expect(try await other.rows("SELECT stage FROM journey_client_state") == ["billing"])
      let summary = "SELECT encode(summary, 'hex') FROM journey_client_state"
      let grown = try await other.rows(summary)
      try await other.run("UPDATE journey_client_state SET summary = ''")
      let recomputed = try await Recompute().run(on: stores[0])
      #expect(recomputed.changed == 0)
      #expect(try await other.rows(summary) == grown)
    }
  }
}
