import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

/// Clients are evaluated when a risk changes with time.
@Suite struct DueTests: CommitTesting {
  private static let state =
    "SELECT risk_level, array_to_string(risks, ','), due_at IS NULL, check_at IS NOT DISTINCT FROM due_at FROM journey_client_state WHERE client_id = '\(clients[0])'"
  private static let causes =
    "SELECT event_id IS NULL, explanation->'cause'->>'type' FROM client_journey_scores WHERE client_id = '\(clients[0])' ORDER BY generated_at"

  private func rows(_ sql: String, _ worker: PostgresWorker) async throws -> [[String]] {
    try await worker.perform { connection in
      let result = try connection.execute(sql)
      return try (0..<result.rowCount).map { row in
        try (0..<result.columnCount).map { try result.textIfPresent(row, $0) ?? "" }
      }
    }
  }

  private func engage(_ store: PostgresEventStore, _ ids: [String] = ["e1", "e2", "e3"], client: Int = 0) async throws {
    expect(try await store.commitAll(ids.map { event($0, of: client) }), ids.map { _ in "stored" })
  }

  @Test func aSilentClientIsNoticedWithoutAnEvent() async throws {
    try await withStores(at: [.seconds(0), .days(29), .days(31)]) { stores, other in
      try await engage(stores[0])
      #expect(try await rows(Self.state, other) == [["LOW", "", "f", "t"]])
      // Not due yet.
      #expect(try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0)
      let result = try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(result.looked == 1)
      #expect(result.evaluated == [DueResult.Client(id: Self.clients[0], orgID: Self.org)])
      let action = try #require(result.outbox?.actions.first)
      #expect(action.causeID == action.id.text)
      #expect(try await rows(Self.state, other) == [["LOW", "low_engagement", "t", "t"]])
      #expect(try await rows(Self.causes, other).last == ["t", "time_passed"])
      #expect(
        try await rows("SELECT count(*) FROM journey_outbox WHERE id = '\(result.outbox!.id)'", other) == [["1"]])
      // Only once.
      #expect(try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0)
    }
  }

  @Test func theBacklogSaysWhoIsDueAndForHowLong() async throws {
    try await withStores(at: [.seconds(0)]) { stores, other in
      try await engage(stores[0])
      func backlog(overTime: Bool) async throws -> StoreBacklog {
        try await other.perform { try StoreBacklog.read(on: $0, evaluatesOverTime: overTime) }
      }
      let before = try await backlog(overTime: true)
      #expect(before.dueClients == 0 && before.oldestDue == nil)
      #expect(before.connections > 0 && before.connections < before.connectionLimit)
      let due = "UPDATE journey_client_state SET check_at = now() - interval '1 hour'"
      _ = try await rows(due, other)
      let after = try await backlog(overTime: true)
      #expect(after.dueClients == 1 && (3600...3700).contains(after.oldestDue ?? 0))
      // Its time has come, and nobody is to look at it.
      #expect(try await backlog(overTime: false).dueClients == 0)
      _ = try await rows("\(due), redecide = true", other)
      #expect(try await backlog(overTime: false).dueClients == 1)
    }
  }

  @Test func nobodyIsEvaluatedOverTimeWhereTheRulesSaySo() async throws {
    var rules = DecisionRules()
    rules.evaluatesOverTime = false
    try await withStores(at: [.seconds(0), .days(31)], rules: rules) { stores, other in
      try await engage(stores[0])
      #expect(
        try await rows("SELECT count(*) FROM journey_client_state WHERE check_at < now() + interval '31 days'", other)
          == [["1"]])
      #expect(try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0)
    }
  }

  /// New events do not change the time of the next check. If the client is not due then, the time moves on.
  @Test func aClientThatWasHeardOfMeanwhileIsNotEvaluated() async throws {
    try await withStores(at: [.seconds(0), .days(20), .days(31), .days(51)]) { stores, other in
      try await engage(stores[0])
      let check = "SELECT check_at FROM journey_client_state WHERE client_id = '\(Self.clients[0])'"
      let before = try await rows(check, other)
      let later = SystemClock().now() + .days(20)
      let incoming = (0..<3).map { index in event("later\(index)") }.map { plain in
        var event = plain.event
        event.occurredAt = later
        return IncomingEvent(id: plain.id, event: event, signals: plain.signals)
      }
      expect(try await stores[1].commitAll(incoming), ["stored", "stored", "stored"])
      #expect(try await rows(check, other) == before)
      let looked = try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(looked.looked == 1)
      #expect(looked.evaluated.isEmpty)
      #expect(try await rows(Self.state, other)[0][3] == "t", "the next check must move on")
      #expect(try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0)
      #expect(try await stores[3].evaluateDue(limit: 10, passingOver: PassedOver()).evaluated.count == 1)
    }
  }

  @Test func whatTheHostWritesIsEvaluatedSoon() async throws {
    try await withStores { stores, other in
      try await engage(stores[0])
      try await other.run(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type)
        VALUES ('\(Self.clients[0])', '\(Self.org)', 'churn_risk', 'complained'), ('\(Self.clients[1])', '\(Self.org)', 'onboarding', 'called')
        """)
      #expect(
        Set(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).evaluated.map(\.id))
          == Set(Self.clients))
      #expect(
        try await rows("SELECT stage FROM journey_client_state ORDER BY stage", other) == [
          ["churn_risk"], ["onboarding"],
        ])
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0)
    }
  }

  /// The host's tables allow NULL in columns that have a default.
  @Test func nullOfTheHostIsTheDefault() async throws {
    try await withStores { stores, other in
      let keys = "'\(Self.clients[0])', '\(Self.org)'"
      try await other.run(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, metadata, occurred_at) VALUES (\(keys), 'lead', 'called', NULL, NULL);
        INSERT INTO client_journey_scores (client_id, org_id, recommended_actions, generated_at) VALUES (\(keys), NULL, NULL);
        UPDATE client_journey_events SET metadata = NULL
        """)
      #expect(
        try await rows("SELECT metadata, occurred_at > now() - interval '1 minute' FROM client_journey_events", other)
          == [["{}", "t"]])
      let scores = "SELECT recommended_actions, generated_at > now() - interval '1 minute' FROM client_journey_scores"
      #expect(try await rows(scores, other) == [["[]", "t"]])
    }
  }

  @Test func lockedClientsAreSkipped() async throws {
    try await withStores(at: [.seconds(0), .days(31)]) { stores, other in
      try await engage(stores[0])
      try await engage(stores[0], ["f1", "f2", "f3"], client: 1)
      let contact = "SELECT FROM contacts WHERE id = '\(Self.clients[0])' FOR UPDATE"
      let state = "SELECT FROM journey_client_state WHERE client_id = '\(Self.clients[0])' FOR UPDATE"
      for held in [contact, state] {
        try await withOpenTransaction(held, on: other) {
          let result = try await stores[1].evaluateDue(limit: 1, passingOver: PassedOver())
          #expect(result.evaluated.allSatisfy { $0.id == Self.clients[1] })
        }
      }
      try await withOpenTransaction("SELECT FROM organizations FOR UPDATE", on: other) {
        let result = try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver())
        #expect(result.evaluated.isEmpty)
        #expect(result.held == [Self.org])
        #expect(
          try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver(organizations: Set(result.held))).looked
            == 0)
      }
      #expect(
        try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).evaluated.map(\.id) == [Self.clients[0]])
    }
  }

  @Test func severalInstancesEvaluateEachClientOnce() async throws {
    try await withStores(at: [.seconds(0), .days(31), .days(31), .days(31)]) { stores, other in
      let clients = (0..<300).map { _ in UUID() }
      for client in clients {
        try await other.run("INSERT INTO contacts (id, org_id, name) VALUES ('\(client)', '\(Self.org)', 'Ada')")
      }
      let events = clients.flatMap { client in (0..<3).map { event("\(client)-\($0)", of: ClientReference(id: client)) }
      }
      expect(try await stores[0].commitAll(events), events.map { _ in "stored" })
      let evaluated = try await withThrowingTaskGroup(of: [UUID].self) { group in
        for store in stores.dropFirst() {
          group.addTask {
            var all: [UUID] = []
            while true {
              let result = try await store.evaluateDue(limit: 20, passingOver: PassedOver())
              all += result.evaluated.map(\.id)
              if result.looked == 0 { return all }
            }
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(evaluated.count == Set(evaluated).count, "a client was evaluated twice")
      #expect(try await stores[1].evaluateDue(limit: 500, passingOver: PassedOver()).looked + evaluated.count == 300)
    }
  }

  @Test func aClientThatCannotBeEvaluatedIsPutOff() async throws {
    try await withStores(at: [.seconds(0), .days(31)]) { stores, other in
      try await engage(stores[0])
      try await other.run(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON client_journey_scores FOR EACH ROW WHEN (NEW.client_id = '\(Self.clients[0])') EXECUTE FUNCTION refuse()
        """)
      let error = await #expect(throws: StoreError.self) {
        try await stores[1].evaluateDue(limit: 1, passingOver: PassedOver())
      }
      #expect(error?.client == Self.clients[0] && error?.kind == .poison)
      try await stores[1].postponeDue(Self.clients[0])
      #expect(try await stores[1].evaluateDue(limit: 1, passingOver: PassedOver()).looked == 0)
    }
  }

  @Test func whoHasNoEventLeftIsNothing() async throws {
    try await withStores { stores, other in
      try await engage(stores[0])
      try await other.run("DELETE FROM client_journey_events; UPDATE journey_client_state SET summary = ''")
      let result = try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(result.looked == 1)
      #expect(result.evaluated.isEmpty)
      let state =
        "SELECT stage, risk_level, due_at, check_at FROM journey_client_state WHERE client_id = '\(Self.clients[0])'"
      #expect(try await rows(state, other) == [["", "", "", ""]])
    }
  }

  /// The host fills a column in all of its events. No client's outcome changes.
  @Test func aChangeThatChangesNothingIsNoEvaluation() async throws {
    var rules = DecisionRules()
    rules.actions.cooldown = .seconds(0)
    try await withStores(rules: rules) { stores, other in
      try await engage(stores[0])
      let before = try await rows(
        "SELECT count(*), (SELECT count(*) FROM journey_outbox) FROM client_journey_scores", other)
      try await other.run(
        "ALTER TABLE client_journey_events ADD COLUMN host_note text; UPDATE client_journey_events SET host_note = 'x'")
      let result = try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(result.looked == 1 && result.outbox == nil)
      #expect(
        try await rows("SELECT count(*), (SELECT count(*) FROM journey_outbox) FROM client_journey_scores", other)
          == before)
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0)
      // A change of the outcome states its cause.
      try await other.run("DELETE FROM client_journey_events WHERE source_event_id <> 'e1'")
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).outbox != nil)
      #expect(try await rows(Self.causes, other).last == ["t", "history_changed"])
    }
  }

  /// An instance of a version without `check_at` writes states beside this one.
  @Test func aStateOfAnEarlierVersionIsLookedAtAsWell() async throws {
    try await withStores(at: [.seconds(0), .days(31)]) { stores, other in
      try await engage(stores[0])
      for check in ["NULL", "due_at + interval '1 year'"] {
        try await other.run("UPDATE journey_client_state SET check_at = \(check)")
        try await other.run("UPDATE journey_client_state SET due_at = due_at")
        #expect(try await rows(Self.state, other)[0][3] == "t", "\(check)")
      }
      #expect(try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).evaluated.count == 1)
    }
  }

  /// The host has changed a contact and holds its lock. The server waits for it in spite of SKIP LOCKED.
  @Test func aContactThatTheHostHoldsIsNamed() async throws {
    try await withStores(at: [.seconds(0), .days(31)]) { stores, other in
      try await engage(stores[0])
      try await engage(stores[0], ["f1", "f2", "f3"], client: 1)
      let held =
        "UPDATE contacts SET name = 'held' WHERE id = '\(Self.clients[0])'; SELECT FROM contacts WHERE id = '\(Self.clients[0])' FOR UPDATE"
      try await withOpenTransaction(held, on: other) {
        let error = await #expect(throws: StoreError.self) {
          try await stores[1].evaluateDue(limit: 1, passingOver: PassedOver())
        }
        #expect(error?.kind == .contended && error?.client == Self.clients[0])
        let result = try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver(clients: [Self.clients[0]]))
        #expect(result.evaluated.map(\.id) == [Self.clients[1]])
      }
      #expect(
        try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).evaluated.map(\.id) == [Self.clients[0]])
    }
  }
}
