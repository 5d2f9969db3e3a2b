import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import TestSupport
import Testing

/// Held actions in the database, and what becomes of them after the hold.
@Suite(.timeLimit(.minutes(5))) struct HoldReleaseTests: CommitTesting {
  private static let states = "SELECT state, count(*) FROM journey_actions GROUP BY 1 ORDER BY 1"

  /// Holds the actions of a batch, as an instance does whose gate is closed.
  private func hold(
    _ hold: Hold, _ batch: OutboxBatch?, _ store: PostgresEventStore, _ repository: HoldRepository
  ) async throws -> Int64 {
    let added = try await repository.add(hold, until: nil, actor: "ada", why: "a test")
    try await release(batch, added.hold.id, store)
    return added.hold.id
  }

  private func release(_ batch: OutboxBatch?, _ hold: Int64, _ store: PostgresEventStore) async throws {
    let batch = try #require(batch)
    try await store.release(ReleasedActions(held: batch.actions.map { ($0.id, hold) }), of: batch.id)
  }

  @Test func whatIsHeldIsNotClaimedAndIsDecidedAnewAfterTheHold() async throws {
    try await withStore { store, other in
      let repository = HoldRepository(worker: other)
      let batch = try await store.commitAll([event("1"), event("2", of: 1)]).outbox
      let id = try await hold(Hold(id: 0, orgID: Self.org), batch, store, repository)
      #expect(try await other.rows(Self.states) == ["held|2"])
      #expect(try await repository.list().map(\.actions) == [2])
      #expect(try await repository.clients(of: id) == 2)
      #expect(try await store.claimAbandoned(limit: 10).isEmpty)
      let backlog = try await StoreInspection.run(on: other).backlog
      #expect(backlog.unpublishedActions == 0 && backlog.heldActions == 2 && backlog.oldestUnpublished == nil)
      let release = HeldActionRelease(worker: other, clock: SystemClock())
      #expect(try await release.step() == 0, "it is open")
      #expect(try await store.evaluateDue(limit: 10, passingOver: PassedOver()).outbox == nil)

      let released = try await repository.release(id, rate: 4, actor: "bob", why: nil)
      #expect(released?.releasedBy == "bob" && released?.isOpen == false)
      let again = try await repository.release(id, rate: 4, actor: "bob", why: nil)
      #expect(again == nil, "it has ended")
      // Four clients a second: one at a time, the next after a quarter of a second.
      #expect(try await release.step() == 1)
      #expect(try await release.step() == 0)
      #expect(try await other.rows(Self.states) == ["held|1", "superseded|1"])
      try await other.run("UPDATE journey_holds SET next_at = now()")
      #expect(try await release.step() == 1)
      #expect(try await other.rows(Self.states) == ["superseded|2"])
      #expect(try await other.rows("SELECT count(*) FROM journey_outbox WHERE confirmed_at IS NULL") == ["0"])
      #expect(
        try await other.rows(
          "SELECT DISTINCT revocation, history->-1->>'detail', history->-1->>'by' FROM journey_action_states")
          == ["unsent|decided again after a hold|journey"])
      #expect(try await repository.list().isEmpty)
      // The sweep decides again, although nothing has changed.
      let due = try await store.evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(due.evaluated.count == 2 && due.outbox?.actions.count == 2)
      let before = try #require(batch).actions.map(\.id), after = try #require(due.outbox).actions.map(\.id)
      #expect(Set(before).isDisjoint(with: after))
      #expect(try await store.evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0, "once")
    }
  }

  /// Its attempt before the hold had reached the broker, and a worker was faster.
  @Test func whatWasRunAllTheSameStaysAsItIs() async throws {
    try await withStore { store, other in
      let repository = HoldRepository(worker: other)
      let batch = try await store.commitAll([event("1")]).outbox
      let id = try await hold(Hold(id: 0, orgID: Self.org), batch, store, repository)
      try await other.run(
        """
        INSERT INTO journey_action_states (action_id, org_id, state, changed_at, history)
        SELECT id, org_id, 'delivered', now(), '[{"state": "delivered"}]' FROM journey_actions
        """)
      _ = try await repository.release(id, rate: nil, actor: "bob", why: nil)
      #expect(try await HeldActionRelease(worker: other, clock: SystemClock()).step() == 1)
      #expect(try await other.rows(Self.states) == ["delivered|1"])
      #expect(try await repository.list().isEmpty, "nothing is held any more")
      #expect(try await other.rows("SELECT redecide FROM journey_client_state WHERE redecide") == [])
    }
  }

  @Test func anActionUnderTwoHoldsWaitsForBoth() async throws {
    try await withStore { store, other in
      let repository = HoldRepository(worker: other)
      let batch = try await store.commitAll([event("1"), event("2", of: 1)]).outbox
      let first = try await hold(Hold(id: 0, orgID: Self.org), batch, store, repository)
      let channel = try await other.rows("SELECT DISTINCT channel FROM journey_actions")[0]
      let second = try await repository.add(
        Hold(id: 0, channel: Channel(rawValue: channel)), until: nil, actor: "ada", why: "a test"
      ).hold.id
      _ = try await repository.release(first, rate: nil, actor: "bob", why: nil)
      let release = HeldActionRelease(worker: other, clock: SystemClock())
      #expect(try await release.step() == 2)
      #expect(
        try await other.rows("SELECT hold_id, actions FROM journey_outbox WHERE confirmed_at IS NULL") == [
          "\(second)|2"
        ])
      #expect(try await other.rows(Self.states) == ["held|2"])
      _ = try await repository.release(second, rate: nil, actor: "bob", why: nil)
      #expect(try await release.step() == 2)
      #expect(try await other.rows(Self.states) == ["superseded|2"])
    }
  }

  @Test func onlyWhatMatchesTheOtherHoldStaysHeld() async throws {
    try await withStore { store, other in
      let repository = HoldRepository(worker: other)
      let stranger = UUID()
      let batch = try await store.commitAll([event("1"), event("2", of: 1)]).outbox
      let id = try await hold(Hold(id: 0, orgID: Self.org), batch, store, repository)
      _ = try await repository.add(Hold(id: 0, orgID: stranger), until: nil, actor: "ada", why: "a test")
      _ = try await repository.release(id, rate: nil, actor: "bob", why: nil)
      #expect(try await HeldActionRelease(worker: other, clock: SystemClock()).step() == 2)
      #expect(try await other.rows(Self.states) == ["superseded|2"])
    }
  }

  /// A live instance that still carries it out would hold again what is decided again.
  @Test func itWaitsForTheInstancesAndPassesOverLockedClients() async throws {
    let url = try await MigratedDatabase.make()
    try await withStore(in: url) { store, other in
      let repository = HoldRepository(worker: other)
      let batch = try await store.commitAll([event("1"), event("2", of: 1)]).outbox
      let id = try await hold(Hold(id: 0, orgID: Self.org), batch, store, repository)
      try await other.run(
        """
        INSERT INTO journey_leases (instance, process, host, version, holds) VALUES ('one', gen_random_uuid(), 'h', '1', '{\(id)}')
        """)
      try await other.run("UPDATE journey_holds SET until = now() + interval '1 ms'")
      let release = HeldActionRelease(worker: other, clock: SystemClock())
      #expect(try await release.step() == 0)
      try await other.run("UPDATE journey_leases SET seen_at = now() - interval '6 seconds'")
      let third = PostgresWorker(try PostgresSettings(conninfo: url, role: "journey_adapter"), name: "pg-third")
      try await withOpenTransaction(
        "SELECT FROM journey_client_state WHERE client_id = '\(Self.clients[0])' FOR UPDATE", on: other
      ) {
        let looked = try await HeldActionRelease(worker: third, clock: SystemClock()).step()
        #expect(looked == 1)
      }
      await third.close()
      #expect(try await other.rows(Self.states) == ["held|1", "superseded|1"])
      try await other.run("UPDATE journey_holds SET next_at = now()")
      #expect(try await release.step() == 1)
      #expect(try await other.rows(Self.states) == ["superseded|2"])
    }
  }

  @Test func aDeletedClientLeavesNothingBehind() async throws {
    try await withStore { store, other in
      let repository = HoldRepository(worker: other)
      let batch = try await store.commitAll([event("1")]).outbox
      let id = try await hold(Hold(id: 0, orgID: Self.org), batch, store, repository)
      try await other.run("DELETE FROM contacts WHERE id = '\(Self.clients[0])'")
      _ = try await repository.release(id, rate: nil, actor: "bob", why: nil)
      #expect(try await HeldActionRelease(worker: other, clock: SystemClock()).step() == 0)
      #expect(try await other.rows("SELECT count(*) FROM journey_outbox WHERE confirmed_at IS NULL") == ["0"])
    }
  }

  @Test func whatMayHaveBeenSentIsTakenBack() async throws {
    try await withStore { store, other in
      let repository = HoldRepository(worker: other)
      let batch = try await store.commitAll([event("1")]).outbox
      // As if another process had handed it to the broker and died.
      try await other.run("UPDATE journey_outbox SET attempts = 1, maybe_sent = true")
      let id = try await hold(Hold(id: 0, orgID: Self.org), batch, store, repository)
      _ = try await repository.release(id, rate: nil, actor: "bob", why: nil)
      #expect(try await HeldActionRelease(worker: other, clock: SystemClock()).step() == 1)
      #expect(try await other.rows("SELECT state, revocation FROM journey_action_states") == ["superseded|pending"])
    }
  }

  @Test func itIsDecidedAnewAlsoWhereNothingIsEvaluatedAsTimePasses() async throws {
    var rules = DecisionRules()
    rules.evaluatesOverTime = false
    try await withStores(at: [.seconds(0)], rules: rules) { stores, other in
      let repository = HoldRepository(worker: other)
      let batch = try await stores[0].commitAll([event("1"), event("2", of: 1)]).outbox
      let id = try await hold(Hold(id: 0, orgID: Self.org), batch, stores[0], repository)
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0)
      _ = try await repository.release(id, rate: nil, actor: "bob", why: nil)
      #expect(try await HeldActionRelease(worker: other, clock: SystemClock()).step() == 2)
      let due = try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(due.outbox?.actions.count == 2)
    }
  }
}
