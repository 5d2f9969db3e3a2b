import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

/// States are recomputed from the stored events alone.
@Suite struct RecomputeTests: CommitTesting {
  private static let outcome =
    "SELECT client_id, stage, score, risk_level, array_to_string(risks, ','), due_at, check_at IS NOT DISTINCT FROM due_at FROM journey_client_state ORDER BY client_id"

  private func rows(_ sql: String, _ worker: PostgresWorker) async throws -> [[String]] {
    try await worker.perform { connection in
      let result = try connection.execute(sql)
      return try (0..<result.rowCount).map { row in
        try (0..<result.columnCount).map { try result.textIfPresent(row, $0) ?? "" }
      }
    }
  }

  private func count(_ table: String, _ worker: PostgresWorker) async throws -> String {
    try await rows("SELECT count(*) FROM \(table)", worker)[0][0]
  }

  private static var otherRules: DecisionRules {
    var rules = DecisionRules()
    rules.version = "other"
    rules.score.perStage = 7
    rules.risks.lowEngagement = nil
    return rules
  }

  @Test func changedRulesCountAndNothingIsPublished() async throws {
    try await withStores(rules: [DecisionRules(), Self.otherRules]) { stores, other in
      expect(
        try await stores[0].commitAll([event("e1"), event("e2"), event("f1", of: 1)]), ["stored", "stored", "stored"])
      let before = try await rows(Self.outcome, other)
      let scores = try await count("client_journey_scores", other), outbox = try await count("journey_outbox", other)
      var recompute = Recompute()
      // Under the same rules nothing is written.
      #expect(try await recompute.run(on: stores[0]).changed == 0)
      #expect(try await count("client_journey_scores", other) == scores)
      recompute.isRehearsal = true
      let rehearsal = try await recompute.run(on: stores[1])
      #expect(rehearsal.changed == 2)
      #expect(rehearsal.looked == 2)
      #expect(try await rows(Self.outcome, other) == before)
      recompute.isRehearsal = false
      let done = try await recompute.run(on: stores[1])
      #expect(done.isComplete)
      #expect(done.changed == 2)
      #expect(done.actions == 0)
      #expect(try await rows(Self.outcome, other) != before)
      #expect(
        try await rows("SELECT risks = '{}', check_at IS NOT DISTINCT FROM due_at FROM journey_client_state", other)
          == [["t", "t"], ["t", "t"]])
      #expect(try await count("journey_outbox", other) == outbox)
      let last = """
        SELECT DISTINCT ON (client_id) explanation->'cause'->>'type', explanation->>'ruleVersion', action IS NULL
        FROM client_journey_scores ORDER BY client_id, generated_at DESC
        """
      #expect(try await rows(last, other) == [["recomputed", "other", "t"], ["recomputed", "other", "t"]])
      // Only once.
      let again = try await recompute.run(on: stores[1])
      #expect(again.changed + again.refreshed == 0)
    }
  }

  @Test func actionsFollowWhereTheyAreAskedFor() async throws {
    try await withStores(rules: [DecisionRules(), Self.otherRules]) { stores, other in
      expect(try await stores[0].commitAll([event("f1", of: 1)]), ["stored"])
      try await other.run("UPDATE client_journey_events SET stage = 'churn_risk'")
      var recompute = Recompute()
      recompute.publishes = true
      #expect(try await recompute.run(on: stores[1]).actions == 1)
      // Any instance claims it.
      let claimed = try await stores[0].claimAbandoned(limit: 10)
      #expect(claimed.flatMap(\.actions).count == 1)
      #expect(try await recompute.run(on: stores[1]).actions == 0)
    }
  }

  @Test func whatIsHeldIsComeBackTo() async throws {
    try await withStores(rules: [DecisionRules(), Self.otherRules]) { stores, other in
      expect(try await stores[0].commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      var recompute = Recompute()
      (recompute.limit, recompute.rounds) = (1, 0)
      let (first, second) =
        Self.clients[0].text < Self.clients[1].text
        ? (Self.clients[0], Self.clients[1]) : (Self.clients[1], Self.clients[0])
      for held in [
        "SELECT FROM contacts WHERE id = '\(second)' FOR UPDATE",
        "SELECT FROM journey_client_state WHERE client_id = '\(second)' FOR UPDATE",
      ] {
        try await withOpenTransaction(held, on: other) {
          let progress = try await recompute.run(on: stores[1])
          #expect(progress.held == 1)
          #expect(!progress.isComplete)
          #expect(progress.after == first)
        }
      }
      try await withOpenTransaction("SELECT FROM organizations FOR UPDATE", on: other) {
        let progress = try await recompute.run(on: stores[1])
        #expect(progress.held == 2)
        #expect(progress.after == nil)
      }
      recompute.after = first
      let rest = try await recompute.run(on: stores[1])
      #expect(rest.changed == 1)
      #expect(rest.isComplete)
    }
  }

  @Test func aClientThatIsRefusedIsNamed() async throws {
    try await withStores(rules: [DecisionRules(), Self.otherRules]) { stores, other in
      expect(try await stores[0].commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      try await other.run(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON client_journey_scores FOR EACH ROW WHEN (NEW.client_id = '\(Self.clients[0])') EXECUTE FUNCTION refuse()
        """)
      let progress = try await Recompute().run(on: stores[1])
      #expect(progress.failed.map(\.id) == [Self.clients[0]])
      #expect(progress.changed == 1)
    }
  }

  /// Events that a host wrote before there were states.
  @Test func clientsWithoutAStateGetOne() async throws {
    try await withStores { stores, other in
      try await other.run(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type) SELECT id, org_id, 'onboarding', 'called' FROM contacts;
        DELETE FROM journey_client_state
        """)
      var recompute = Recompute()
      recompute.clientID = Self.clients[1]
      #expect(try await recompute.run(on: stores[0]).changed == 1)
      recompute.clientID = nil
      recompute.orgID = UUID()
      #expect(try await recompute.run(on: stores[0]).looked == 0)
      recompute.orgID = Self.org
      let progress = try await recompute.run(on: stores[0])
      #expect(progress.looked == 2)
      #expect(progress.changed == 1)
      #expect(try await rows("SELECT stage FROM journey_client_state", other) == [["onboarding"], ["onboarding"]])
    }
  }

  @Test func whoHasNoEventLeftIsNothing() async throws {
    try await withStores { stores, other in
      expect(try await stores[0].commitAll([event("e1")]), ["stored"])
      try await other.run("ALTER TABLE client_journey_events DISABLE TRIGGER USER; DELETE FROM client_journey_events")
      #expect(try await Recompute().run(on: stores[0]).changed == 1)
      let state =
        "SELECT stage, score, due_at, check_at FROM journey_client_state WHERE client_id = '\(Self.clients[0])'"
      #expect(try await rows(state, other) == [["", "", "", ""]])
      let again = try await Recompute().run(on: stores[0])
      #expect(again.changed + again.refreshed == 0)
    }
  }
}
