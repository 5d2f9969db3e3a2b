import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// Committed but unpublished actions: whatever happens to their rows, each is published as it was decided, and none
/// blocks another.
@Suite(.timeLimit(.minutes(5))) struct OutboxTests: CommitTesting {
  /// Orphans the outbox batches, as a crash does.
  private static let abandon = "UPDATE journey_outbox SET instance = NULL, next_attempt_at = now()"

  /// A body contains score, level and recommended actions (see `CommitTesting.withStore`).
  private func bodies(_ batches: [OutboxBatch]) -> [UUID: String] {
    var bodies: [UUID: String] = [:]
    for action in batches.flatMap(\.actions) { bodies[action.id] = String(decoding: action.body, as: UTF8.self) }
    return bodies
  }

  private func asMember(_ statement: String, _ other: PostgresWorker) async throws {
    let user = UUID()
    try await other.run("INSERT INTO user_organizations (user_id, org_id) VALUES ('\(user)', '\(Self.org)')")
    try await other.run(
      "BEGIN; SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', '{\"sub\":\"\(user)\"}', true); \(statement); COMMIT"
    )
  }

  @Test(arguments: ["1e400", "NaN", "Infinity"])
  func aScoreOutOfRangeBlocksNoActions(_ score: String) async throws {
    try await withStore { store, other in
      let decided = bodies([try #require(try await store.commitAll([event("1"), event("2", of: 1)]).outbox)])
      try await asMember("UPDATE client_journey_scores SET score = '\(score)', generated_at = 'infinity'", other)
      try await other.run(Self.abandon)
      #expect(bodies(try await store.claimAbandoned(limit: 10)) == decided)
    }
  }

  /// Any login may take any advisory lock.
  @Test func aStrangerCannotMakeADeadProcessLookAlive() async throws {
    let url = try await MigratedDatabase.make()
    try await withStore(in: url) { store, other in
      let decided = bodies([try #require(try await store.commitAll([event("1")]).outbox)])
      let login = "stranger_\(UUID().text.prefix(8))"
      try await other.run(
        "CREATE ROLE \(login) LOGIN PASSWORD 'x'; UPDATE journey_outbox SET instance = 4711, next_attempt_at = now()")
      let separator = url.contains("?") ? "&" : "?"
      let stranger = PostgresWorker(
        try PostgresSettings(conninfo: "\(url)\(separator)user=\(login)&password=x"), name: "pg-stranger")
      try await stranger.run("SELECT pg_advisory_lock(1246713170, 4711)")
      let held = try await other.rows(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1246713170 AND objid = 4711")
      #expect(held == ["1"])
      #expect(bodies(try await store.claimAbandoned(limit: 10)) == decided)
      await stranger.close()
    }
  }

  @Test func aMembersChangeOfAScoreDoesNotChangeTheActionsMessage() async throws {
    try await withStore { store, other in
      let decided = bodies([try #require(try await store.commitAll([event("1"), event("2", of: 1)]).outbox)])
      try #require(decided.count == 2)
      try await asMember(
        "UPDATE client_journey_scores SET score = 999, risk_level = 'CRITICAL', recommended_actions = NULL, generated_at = NULL",
        other)
      try await other.run(Self.abandon)
      let claimed = try await store.claimAbandoned(limit: 10)
      #expect(bodies(claimed) == decided)
      // NULL is replaced by the default, now; the message still states when the action was decided.
      let written = try await other.rows(
        """
        SELECT count(*) FROM client_journey_scores
        WHERE generated_at > now() - interval '1 minute' AND recommended_actions = '[]' AND score = 999
        """)
      #expect(written == ["2"])
    }
  }

  @Test(arguments: [
    "explanation = NULL", "explanation = '{}'",
    "channel = NULL, action = NULL, priority = NULL, reason = NULL, outbox_id = outbox_id",
    "explanation = '[1]'", "explanation = json_build_object('stage', 'nonsense', 'score', 1, 'riskLevel', 'LOW')",
  ])
  func anUnreadableRowBlocksNoOtherAndIsRetriedAfterItsRepair(
    _ damage: String
  ) async throws {
    try await withStore { store, other in
      let decided = bodies([try #require(try await store.commitAll([event("1"), event("2", of: 1)]).outbox)])
      try await other.run("ALTER TABLE client_journey_scores DROP CONSTRAINT client_journey_scores_whole_action_check")
      try await other.run(
        "CREATE TABLE kept AS SELECT * FROM client_journey_scores WHERE client_id = '\(Self.clients[0])'")
      try await other.run("UPDATE client_journey_scores SET \(damage) WHERE client_id = '\(Self.clients[0])'")
      try await other.run(Self.abandon)
      let broken = try #require(UUID(uuidString: try await other.rows("SELECT id FROM kept")[0]))
      let claimed = try await store.claimAbandoned(limit: 10)
      #expect(bodies(claimed) == decided.filter { $0.key != broken })
      try await store.markPublished(claimed.map(\.id))
      #expect(try await store.claimAbandoned(limit: 10).isEmpty)
      let stuck = try await other.rows(
        "SELECT count(*), min(attempts), bool_and(next_attempt_at > now()) FROM journey_outbox WHERE failure IS NOT NULL"
      )
      #expect(stuck == ["1|1|t"])
      let inspection = try await StoreInspection.run(on: other)
      #expect(inspection.stuckActions.map(\.count) == [1] && inspection.backlog.unpublishedActions == 1)
      #expect(inspection.backlog.failingActions == 1 && inspection.backlog.oldestUnpublished != nil)
      try await other.run(
        """
        UPDATE client_journey_scores s SET explanation = k.explanation, action = k.action, channel = k.channel, priority = k.priority, reason = k.reason
        FROM kept k WHERE k.id = s.id
        """)
      try await other.run("UPDATE journey_outbox SET next_attempt_at = now() WHERE confirmed_at IS NULL")
      let again = try await store.claimAbandoned(limit: 10)
      #expect(bodies(again) == decided.filter { $0.key == broken })
      try await store.markPublished(again.map(\.id))
      #expect(try await other.rows("SELECT count(*) FROM journey_outbox WHERE confirmed_at IS NULL") == ["0"])
    }
  }

  @Test func aClientThatIsDeletedLeavesNothingInTheOutbox() async throws {
    try await withStore { store, other in
      _ = try await store.commitAll([event("1")])
      try await other.run("DELETE FROM contacts WHERE id = '\(Self.clients[0])'")
      try await other.run(Self.abandon)
      #expect(try await store.claimAbandoned(limit: 10).isEmpty)
      #expect(try await other.rows("SELECT count(*) FROM journey_outbox") == ["0"])
    }
  }

  @Test func anExpiredActionIsNotPublished() async throws {
    try await withStore { store, other in
      let decided = try #require(try await store.commitAll([event("1"), event("2", of: 1)]).outbox)
      #expect(decided.actions.allSatisfy { $0.timeToLive != nil })
      try await other.run(
        "UPDATE client_journey_scores SET expires_at = now() - interval '1 second' WHERE client_id = '\(Self.clients[0])'"
      )
      try await other.run(
        "UPDATE client_journey_scores SET expires_at = now() + interval '1 hour' WHERE client_id = '\(Self.clients[1])'"
      )
      try await other.run(Self.abandon)
      let left = try await store.claimAbandoned(limit: 10).flatMap(\.actions)
      #expect(left.count == 1)
      let time = try #require(left.first?.timeToLive)
      #expect(time > .seconds(3500) && time <= .hours(1))
      #expect(
        try await other.rows(
          "SELECT count(*) FROM journey_outbox WHERE failure LIKE 'it expired%' AND next_attempt_at = 'infinity'") == [
            "1"
          ])
    }
  }

  @Test func oldPublishedBatchesAreDeletedAndStillShownAsPublished()
    async throws
  {
    let clock = MovableClock()
    clock.advance(by: .days(-8))
    try await withStore(clock: clock) { store, other in
      let old = try #require(try await store.commitAll([event("1")]).outbox),
        stuck = try #require(try await store.commitAll([event("2", of: 1)]).outbox)
      try await store.markPublished([old.id])
      #expect(try await store.forgetPublished(limit: 10) == 0, "it is confirmed only just now")
      try await other.run("UPDATE journey_outbox SET confirmed_at = now() - interval '8 days' WHERE id = '\(old.id)'")
      #expect(try await store.forgetPublished(limit: 0) == 0)
      #expect(try await store.forgetPublished(limit: 10) == 1)
      #expect(try await other.rows("SELECT id FROM journey_outbox") == [stuck.id.text])
      let shown = try await other.rows(
        """
        SELECT client_id, state, attempts, published_at IS NULL, published_at BETWEEN now() - interval '8 days 1 hour' AND now() - interval '7 days 23 hours'
        FROM journey_actions ORDER BY client_id = '\(Self.clients[1])'
        """)
      #expect(shown == ["\(Self.clients[0].text)|published|0|f|t", "\(Self.clients[1].text)|proposed|0|t|"])
      #expect(try await store.unpublished(of: (old.actions + stuck.actions).map(\.id)) == Set(stuck.actions.map(\.id)))
      #expect(try await StoreInspection.run(on: other).backlog.unpublishedActions == 1)
      let user = UUID()
      try await other.run("INSERT INTO user_organizations (user_id, org_id) VALUES ('\(user)', '\(Self.org)')")
      let seen = try await other.perform { connection in
        try connection.begin()
        _ = try connection.execute(
          "SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', '{\"sub\":\"\(user)\"}', true)")
        let found = try connection.execute("SELECT string_agg(state, ',' ORDER BY state) FROM journey_actions").text(
          0, 0)
        try connection.rollback()
        return found
      }
      #expect(seen == "proposed,published")
    }
  }

  @Test func anOrphanedBatchOfThisProcessIsClaimed() async throws {
    let clock = MovableClock()
    try await withStore(clock: clock) { store, other in
      let batch = try #require(try await store.commitAll([event("1")]).outbox)
      #expect(try await store.claimAbandoned(limit: 10).isEmpty)
      // As if the answer to COMMIT had been lost: the batch carries this process's number, but the process does not
      // know it.
      let other1 = UUID()
      try await other.run(
        "INSERT INTO journey_outbox (id, actions, instance) SELECT '\(other1)', actions, instance FROM journey_outbox WHERE id = '\(batch.id)'"
      )
      try await other.run("UPDATE client_journey_scores SET outbox_id = '\(other1)'")
      clock.advance(by: .days(2))
      let found = try await store.claimAbandoned(limit: 10)
      #expect(found.map(\.id) == [other1] && found[0].actions.map(\.id) == batch.actions.map(\.id))
      #expect(try await store.claimAbandoned(limit: 10).isEmpty)
      try await store.release(
        ReleasedActions(failed: [batch.actions[0].id], because: "no queue took it"), of: other1)
      #expect(
        try await other.rows("SELECT failure FROM journey_outbox WHERE failure IS NOT NULL") == ["no queue took it"])
    }
  }
}
