import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres
@testable import TestSupport

/// Sources that fall silent. Time is simulated: an offset to the database's clock.
@Suite struct FeedTests: CommitTesting {
  private static let crm = Feed(orgID: org, source: "crm")
  private static let billing = Feed(orgID: org, source: "billing")

  private func heard(_ source: String) -> IncomingEvent {
    var event = event("\(UUID())").event
    event.source = source
    return IncomingEvent(id: UUID(), event: event, signals: Signals())
  }

  /// A moment: who is heard then, and whether this instance has consumed since the last one.
  @discardableResult
  private func at(
    _ hours: Int64, _ sources: [String], _ store: PostgresEventStore, listens: Bool = true
  ) async throws -> FeedChanges {
    store.feeds.hear(sources.map(heard))
    return try await store.updateFeeds(isListening: listens, maxStep: .days(365), at: .hours(hours))
  }

  private func daily(_ days: ClosedRange<Int64>, _ sources: [String], _ store: PostgresEventStore) async throws {
    for day in days { try await at(day * 24, sources, store) }
  }

  private func isNear(_ time: Timestamp?, hours: Int64) -> Bool {
    guard let time else { return false }
    let distance = time - (SystemClock().now() + .hours(hours))
    return abs(distance.microseconds) < TimeSpan.seconds(300).microseconds
  }

  @Test func aSourceFallsSilentAndIsHeardAgain() async throws {
    try await withStore { store, other in
      try await daily(0...9, ["crm", "billing"], store)
      try await daily(10...11, ["billing"], store)
      try await at(12 * 24 - 1, ["billing"], store)
      #expect(store.feeds.frozen.isEmpty, "not yet three times its usual gap")
      let changes = try await at(12 * 24 + 1, ["billing"], store)
      #expect(changes.frozen.keys.map(\.self) == [Self.crm] && changes.released.isEmpty)
      #expect(isNear(store.feeds.frozen[Self.org], hours: 9 * 24))
      #expect(try await at(12 * 24 + 2, ["billing"], store).frozen.isEmpty, "it is said once")
      let listed = try await FeedRepository(worker: other).list()
      #expect(listed.map(\.source) == ["crm", "billing"] && listed[0].usualGap == 86_400)
      #expect(listed[0].frozenSince != nil && listed[1].frozenSince == nil)
      let after = try await at(12 * 24 + 3, ["crm"], store)
      #expect(after.released == [Self.crm] && after.frozen.isEmpty && store.feeds.frozen.isEmpty)
    }
  }

  /// The tables were emptied, or restored without their data.
  @Test func theCountOfTimeBeginsAnewWhereItIsGone() async throws {
    try await withStore { store, other in
      try await daily(0...9, ["crm", "billing"], store)
      try await other.run("DELETE FROM journey_listening")
      try await daily(10...13, ["billing"], store)
      #expect(store.feeds.frozen.keys.map(\.self) == [Self.org], "crm is silent")
      try await other.run("TRUNCATE journey_listening, journey_feeds")
      try await daily(14...16, ["crm"], store)
      #expect(try await FeedRepository(worker: other).list().map(\.source) == ["crm"])
    }
  }

  /// What people enter and what workers report comes when it comes.
  @Test func theAdaptersOwnSourcesAreNoFeeds() async throws {
    try await withStore { store, other in
      let own = Array(PublisherPolicy.ownSources)
      try #require(own.count > 2)
      try await daily(0...9, own + ["crm"], store)
      #expect(try await FeedRepository(worker: other).list().map(\.source) == ["crm"])
    }
  }

  /// Other instances learn of it without having heard anything, also one that starts.
  @Test func everyInstanceKnowsWhoIsFrozen() async throws {
    let url = try await MigratedDatabase.make()
    try await withStores(in: url, at: [.seconds(0), .seconds(0)]) { stores, _ in
      try await daily(0...9, ["crm"], stores[0])
      try await at(15 * 24, [], stores[0])
      #expect(stores[1].feeds.frozen.isEmpty)
      #expect(try await stores[1].updateFeeds(isListening: false, at: .days(15)).frozen.isEmpty, "said by the first")
      #expect(stores[1].feeds.frozen.count == 1)
      let settings = try PostgresSettings(conninfo: url, role: "journey_adapter")
      let third = try await PostgresEventStore.open(
        settings, workers: 1, decider: Self.decider(DecisionRules()), clock: SystemClock())
      #expect(third.feeds.frozen.count == 1)
      await third.close()
      stores[1].feeds.hear([heard("crm")])
      _ = try await stores[1].updateFeeds(isListening: true, at: .hours(15 * 24 + 1))
      try await at(15 * 24 + 1, [], stores[0])
      #expect(stores[0].feeds.frozen.isEmpty)
    }
  }

  /// What the adapter could not hear is not the feed's silence: it was stopped, paused or cut off.
  @Test func onlyTheTimeOfListeningCounts() async throws {
    try await withStores(at: [.seconds(0), .seconds(0)]) { stores, _ in
      try await daily(0...9, ["crm"], stores[0])
      try await at(9 * 24, [], stores[0], listens: false)
      // Paused for six days. A new process begins to listen.
      try await at(15 * 24, [], stores[0])
      try await at(17 * 24, [], stores[0])
      #expect(stores[0].feeds.frozen.isEmpty)
      // A failure of the database looks like a long pause between two calls.
      _ = try await stores[0].updateFeeds(isListening: true, at: .days(30))
      #expect(stores[0].feeds.frozen.isEmpty)
      // Two instances that listen at the same time are not twice the time.
      stores[1].feeds.listeningSince = SystemClock().now() + .days(15)
      try await at(30 * 24, [], stores[1])
      #expect(stores[1].feeds.frozen.isEmpty)
      try await at(32 * 24, [], stores[1])
      #expect(stores[1].feeds.frozen.count == 1)
    }
  }

  @Test func nightsAndWeekendsAreUsual() async throws {
    try await withStore { store, other in
      // Five days a week from 8 to 18, for four weeks; one outage of a whole week before.
      var hours: [Int64] = []
      for day in Int64(0)..<35 where day % 7 < 5 && day / 7 != 1 { hours += [8, 13, 18].map { day * 24 + $0 } }
      for hour in hours { try await at(hour, ["crm"], store) }
      #expect(try await FeedRepository(worker: other).list().map(\.usualGap) == [62 * 3600])
      try await at(35 * 24 + 8 + 62, [], store)
      #expect(store.feeds.frozen.isEmpty)
      try await at(32 * 24 + 18 + 3 * 62 + 1, [], store)
      #expect(store.feeds.frozen.count == 1)
    }
  }

  @Test func whoIsNotKnownIsNotJudged() async throws {
    try await withStore { store, other in
      try await at(0, ["import"], store)
      try await daily(0...4, ["new"], store)
      try await at(5 * 24, ["journey-api", "journey.silence"], store)
      try await at(20 * 24, [], store)
      #expect(store.feeds.frozen.isEmpty, "one import, and a source that is known for four days")
      #expect(try await FeedRepository(worker: other).list().map(\.source) == ["import", "new"])
    }
  }

  /// A client's own organisation only, and not for ever.
  @Test func aSourceIsGivenUpOrForgotten() async throws {
    try await withStore { store, other in
      let repository = FeedRepository(worker: other)
      try await daily(0...9, ["crm", "billing"], store)
      try await at(15 * 24, [], store)
      #expect(store.feeds.frozen.count == 1)
      #expect(try await repository.forget(Self.billing))
      #expect(try await !repository.forget(Self.billing))
      #expect(try await at(16 * 24, [], store).frozen.isEmpty)
      #expect(store.feeds.frozen.count == 1)
      #expect(try await at(39 * 24 + 1, [], store).released == [Self.crm])
      #expect(store.feeds.frozen.isEmpty)
      try await other.run("DELETE FROM contacts; DELETE FROM organizations")
      #expect(try await repository.list().isEmpty)
      store.feeds.hear([heard("crm")])
      _ = try await store.updateFeeds(isListening: true)
      #expect(try await repository.list().isEmpty, "of no organisation that there is")
    }
  }

  @Test func offMeansOff() async throws {
    var rules = DecisionRules()
    rules.feedOutage = nil
    try await withStores(rules: rules) { stores, other in
      _ = try await stores[0].commitAll([event("e1")])
      #expect(stores[0].feeds.removeAll().isEmpty)
      try await daily(0...9, ["crm"], stores[0])
      #expect(try await FeedRepository(worker: other).list().isEmpty)
    }
  }

  /// The whole way: a client would become silent while its source is dead.
  @Test func nobodyTurnsSilentBecauseAFeedIsDead() async throws {
    try await withStores(at: [.seconds(0), .days(13), .days(13), .days(14)]) { stores, other in
      let events = ["e1", "e2", "e3"].map { id in
        var event = event(id).event
        event.occurredAt = event.occurredAt - .days(19)
        return IncomingEvent(id: UUID(), event: event, signals: Self.signals(of: event))
      }
      expect(try await stores[0].commitAll(events), ["stored", "stored", "stored"])
      #expect(stores[0].feeds.removeAll() == [Self.crm])
      try await daily(0...9, ["crm"], stores[0])
      try await at(13 * 24, [], stores[0])
      try await at(13 * 24, [], stores[1])
      let risks = "SELECT risk_level, array_to_string(risks, ',') FROM journey_client_state WHERE score IS NOT NULL"
      _ = try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(try await other.rows(risks) == ["LOW|"])
      let looked =
        "SELECT check_at > now() + interval '13 days 50 minutes' FROM journey_client_state WHERE score IS NOT NULL"
      #expect(try await other.rows(looked) == ["t"], "in an hour")
      _ = try await Recompute().run(on: stores[1])
      #expect(try await other.rows(risks) == ["LOW|"])
      stores[3].feeds.hear([heard("crm")])
      _ = try await stores[3].updateFeeds(isListening: true)
      _ = try await stores[3].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(try await other.rows(risks) == ["LOW|low_engagement"])
    }
  }
}
