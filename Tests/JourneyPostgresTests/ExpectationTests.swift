import FoundationEssentials
import Journey
import PostgresClient
import Testing

@testable import JourneyPostgres
@testable import TestSupport

/// Silence contracts on a database: what is expected, and what is stored if it does not come.
@Suite(.timeLimit(.minutes(5))) struct ExpectationTests: CommitTesting {
  private static let rules: DecisionRules = {
    var rules = DecisionRules()
    rules.expectations = [
      SilenceContract(
        otherwise: "invoice_unpaid_14d", after: ["invoice_overdue"], expected: ["invoice_paid"], same: "invoiceId",
        within: .days(14)),
      SilenceContract(
        otherwise: "invoice_unpaid_28d", after: ["invoice_unpaid_14d"], expected: ["invoice_paid"], same: "invoiceId",
        within: .days(14)),
      SilenceContract(
        otherwise: "proposal_unanswered", after: ["proposal_sent"], expected: ["email_replied"], within: .days(7)),
    ]
    return rules
  }()
  private static let offsets: [TimeSpan] = [.seconds(0), .days(13), .days(15), .days(15), .days(29), .days(150)]
  private static let pending = "SELECT rule, key FROM journey_expectations WHERE due_at IS NOT NULL ORDER BY 1, 2"
  private static let fired =
    "SELECT event_type, metadata->>'invoiceId' FROM client_journey_events WHERE source = 'journey.silence' ORDER BY 1, 2"

  private func event(
    _ id: String, _ type: String, invoice: String? = "i1", client: ClientReference? = nil, daysAgo: Int64 = 0
  ) -> IncomingEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let event = JourneyEvent(
      orgID: Self.org, source: "crm", sourceEventID: id, client: client ?? ClientReference(id: Self.clients[0]),
      type: type, stage: nil, occurredAt: now + .days(-daysAgo),
      metadata: Array((invoice.map { #"{"invoiceId":"\#($0)"}"# } ?? "{}").utf8))
    return IncomingEvent(id: UUID.v7(at: now, using: &random), event: event, signals: Self.signals(of: event))
  }

  private func commit(_ events: [IncomingEvent], _ store: PostgresEventStore) async throws {
    expect(try await store.commitAll(events), events.map { _ in "stored" })
  }

  private func look(_ store: PostgresEventStore) async throws { _ = try await store.claimAbandoned(limit: 10) }

  @Test func ifNothingComesAnEventIsStoredOnce() async throws {
    try await withStores(at: Self.offsets, rules: Self.rules) { stores, other in
      try await commit([event("e1", "invoice_overdue"), event("e2", "note_added")], stores[0])
      #expect(try await other.rows(Self.pending) == ["invoice_unpaid_14d|i1"])
      try await look(stores[1])
      #expect(try await other.rows(Self.fired) == [], "not yet")
      async let one: Void = look(stores[2])
      async let two: Void = look(stores[3])
      _ = try await (one, two)
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i1"])
      let stored = """
        SELECT client_id, acted_by, occurred_at = (SELECT occurred_at + interval '14 days' FROM client_journey_events WHERE source_event_id = 'e1'),
          metadata->'openedBy'->>'id', metadata->>'within'
        FROM client_journey_events WHERE source = 'journey.silence'
        """
      #expect(try await other.rows(stored) == ["\(Self.clients[0].text)|system|t|e1|14d"])
      // It opens the next one, which is due two weeks later.
      #expect(try await other.rows(Self.pending) == ["invoice_unpaid_28d|i1"])
      try await commit([event("e3", "invoice_overdue")], stores[2])
      #expect(try await other.rows(Self.pending) == ["invoice_unpaid_28d|i1"], "said once of this invoice")
      try await look(stores[4])
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i1", "invoice_unpaid_28d|i1"])
      try await look(stores[5])
      #expect(try await other.rows("SELECT count(*) FROM journey_expectations") == ["0"], "forgotten after 90 days")
      #expect(try await other.rows(Self.fired).count == 2)
    }
  }

  @Test func theOrderOfArrivalDoesNotMatter() async throws {
    try await withStores(at: Self.offsets, rules: Self.rules) { stores, other in
      let overdue = event("e1", "invoice_overdue", daysAgo: 3), paid = event("e2", "invoice_paid", daysAgo: 1)
      try await commit([paid], stores[0])
      try await commit([overdue], stores[0])
      #expect(try await other.rows(Self.pending) == [])
      try await commit([event("e0", "invoice_paid", invoice: "i2", daysAgo: 5)], stores[0])
      try await commit([event("e3", "invoice_overdue", invoice: "i2", daysAgo: 4)], stores[0])
      #expect(try await other.rows(Self.pending) == ["invoice_unpaid_14d|i2"], "it was paid before")
      try await commit([event("e4", "invoice_overdue")], stores[0])
      #expect(try await other.rows(Self.pending) == ["invoice_unpaid_14d|i1", "invoice_unpaid_14d|i2"])
      try await commit([event("e5", "invoice_paid", invoice: "i2")], stores[0])
      try await look(stores[2])
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i1"])
    }
  }

  /// What is due when it arrives waits an hour for the rest of the backlog.
  @Test func aBacklogIsNotJudgedTooEarly() async throws {
    try await withStores(at: [.seconds(0), .seconds(3_000), .seconds(4_000)], rules: Self.rules) { stores, other in
      try await commit([event("e1", "invoice_overdue", daysAgo: 20)], stores[0])
      try await commit([event("e2", "invoice_overdue", invoice: "i2", daysAgo: 20)], stores[0])
      try await look(stores[0])
      try await look(stores[1])
      #expect(try await other.rows(Self.fired) == [])
      try await commit([event("e3", "invoice_paid", daysAgo: 10)], stores[1])
      try await look(stores[2])
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i2"])
    }
  }

  /// Nobody is written to about what was overdue when it came in; about what became so later, they are.
  @Test func whatWasOverdueAlreadyLeadsToNoAction() async throws {
    var rules = Self.rules
    rules.signals.invoiceOverdue.formUnion(["invoice_unpaid_14d"])
    rules.risks.lowEngagement = nil
    try await withStores(at: [.seconds(0), .seconds(4_000), .days(15)], rules: rules) { stores, other in
      try await other.run("UPDATE journey_client_state SET outreach = ''")
      try await commit([event("e1", "invoice_overdue", daysAgo: 20)], stores[0])
      try await commit(
        [event("e2", "invoice_overdue", invoice: "i2", client: ClientReference(id: Self.clients[1]))], stores[0])
      try await other.run(
        "TRUNCATE journey_outbox, client_journey_scores CASCADE; UPDATE journey_client_state SET outreach = ''")
      let decided = """
        SELECT s.client_id, c->>'verdict' FROM client_journey_scores s, json_array_elements(s.explanation->'candidates') WITH ORDINALITY c(c, n)
        WHERE n = 1 ORDER BY s.generated_at
        """
      try await look(stores[1])
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i1"])
      #expect(try await other.rows(decided) == ["\(Self.clients[0].text)|withheld"])
      try await look(stores[2])
      #expect(try await other.rows(decided).contains("\(Self.clients[1].text)|chosen"))
    }
  }

  /// What comes, or is taken back, between the sweep's look and its commit.
  @Test func whatHasJustComeIsNotMissing() async throws {
    try await withStores(at: [.seconds(0), .days(15), .days(15)], rules: Self.rules) { stores, other in
      func meanwhile(_ change: () async throws -> Void) async throws {
        let pool = await OccupiedPool(stores[1])
        let sweep: Task<Void, Never> = Task { await stores[1].fireDueExpectations() }
        await pool.isWaitedFor()
        try await change()
        try await pool.release()
        _ = await sweep.result
      }
      try await commit([event("e1", "invoice_overdue")], stores[0])
      try await meanwhile { try await commit([event("e2", "invoice_paid")], stores[2]) }
      #expect(try await other.rows(Self.fired) == [], "paid")

      try await commit([event("e3", "invoice_overdue", invoice: "i2")], stores[0])
      try await meanwhile {
        var selection = EventSelection()
        selection.ids = ["e3"]
        let author = EventChangeAuthor(run: UUID(), actor: "ann", why: "a mistake")
        _ = try await EventVoiding(selection, author: author).run(on: stores[2])
      }
      #expect(try await other.rows(Self.fired) == [], "never overdue")

      // An earlier reminder arrives: the later one is not the one that is answered.
      try await commit([event("e4", "invoice_overdue", invoice: "i3")], stores[0])
      try await meanwhile { try await commit([event("e5", "invoice_overdue", invoice: "i3", daysAgo: 1)], stores[2]) }
      #expect(try await other.rows(Self.fired) == [], "not for this one")

      try await commit([event("e6", "invoice_overdue", invoice: "i4")], stores[0])
      try await meanwhile { try await commit([event("e7", "note_added", invoice: "i4")], stores[2]) }
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i4"])
    }
  }

  /// Voiding what opened it, restoring it, and voiding what was stored: no false expectation, and no second event.
  @Test func voidedEventsExpectNothing() async throws {
    try await withStores(at: Self.offsets, rules: Self.rules) { stores, other in
      func void(_ type: String, restores: Bool = false, _ store: PostgresEventStore) async throws {
        var selection = EventSelection()
        selection.type = type
        let author = EventChangeAuthor(run: UUID(), actor: "test", why: nil)
        let progress = try await EventVoiding(selection, restores: restores, author: author).run(on: store)
        #expect(progress.events == 1 && progress.isComplete)
      }
      try await commit([event("e1", "invoice_overdue")], stores[0])
      try await void("invoice_overdue", stores[0])
      #expect(try await other.rows(Self.pending) == [])
      try await void("invoice_overdue", restores: true, stores[0])
      #expect(try await other.rows(Self.pending) == ["invoice_unpaid_14d|i1"])
      try await look(stores[2])
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i1"])
      try await void("invoice_unpaid_14d", stores[2])
      #expect(try await other.rows(Self.pending) == [])
      try await look(stores[5])
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i1"])
    }
  }

  /// The host deletes the opening event, or the client.
  @Test func whatTheHostDeletesIsExpectedNoMore() async throws {
    try await withStores(at: Self.offsets, rules: Self.rules) { stores, other in
      let second = ClientReference(id: Self.clients[1])
      try await commit(
        [event("e1", "invoice_overdue"), event("e2", "note_added"), event("f1", "invoice_overdue", client: second)],
        stores[0])
      try await other.run("DELETE FROM client_journey_events WHERE source_event_id = 'e1'")
      // Before the client is looked at, and after it.
      try await look(stores[1])
      _ = try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(try await other.rows("SELECT client_id FROM journey_expectations") == [Self.clients[1].text])
      try await other.run("DELETE FROM contacts WHERE id = '\(Self.clients[1])'")
      try await look(stores[2])
      #expect(try await other.rows(Self.fired) == [])
    }
  }

  /// A deleted opening event is noticed even if nobody has looked at its client yet.
  @Test func nothingIsStoredWithoutAnOpeningEvent() async throws {
    try await withStores(at: Self.offsets, rules: Self.rules) { stores, other in
      try await commit([event("e1", "invoice_overdue")], stores[0])
      try await other.run("DELETE FROM client_journey_events")
      try await look(stores[2])
      #expect(try await other.rows(Self.fired) == [])
      let later = "SELECT check_at > now() + interval '15 days 50 minutes' FROM journey_expectations"
      #expect(try await other.rows(later) == ["t"])
    }
  }

  @Test func mergesUniteWhatIsExpectedAndSplitsPartIt() async throws {
    try await withStores(at: Self.offsets, rules: Self.rules) { stores, other in
      let second = ClientReference(id: Self.clients[1])
      try await commit(
        [
          event("e1", "invoice_paid", client: second), event("e2", "proposal_sent", invoice: nil, client: second),
          event("f1", "invoice_overdue", daysAgo: 1), event("f2", "invoice_overdue", invoice: "i2"),
        ], stores[0])
      let owners = Self.pending.replacing("SELECT rule, key", with: "SELECT rule, key, client_id")
      let (first, other2) = (Self.clients[0].text, Self.clients[1].text)
      let apart = [
        "invoice_unpaid_14d|i1|\(first)", "invoice_unpaid_14d|i2|\(first)", "proposal_unanswered||\(other2)",
      ]
      #expect(try await other.rows(owners) == apart)
      let merge = ClientReference(id: Self.clients[0], merged: [Self.clients[1].text])
      try await stores[0].deliver([event("m", "note_added", client: merge)])
      _ = try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(try await other.rows(owners) == ["invoice_unpaid_14d|i2|\(first)", "proposal_unanswered||\(first)"])
      _ = try await IdentityRepository(worker: other, actor: "test").split(
        orgID: Self.org, client: Self.clients[1], keepsApart: true, allowsPart: false, why: "test", isRehearsal: false)
      _ = try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(try await other.rows(owners) == apart)
    }
  }

  /// A contract that is added later holds for what is stored already.
  @Test func aNewContractIsAppliedByRecomputing() async throws {
    try await withStores(at: [.seconds(0), .seconds(0)], rules: [DecisionRules(), Self.rules]) { stores, other in
      try await commit([event("e1", "invoice_overdue")], stores[0])
      #expect(try await other.rows(Self.pending) == [])
      _ = try await Recompute().run(on: stores[1])
      #expect(try await other.rows(Self.pending) == ["invoice_unpaid_14d|i1"])
    }
  }

  /// While an organisation is frozen, nothing is said about silence; afterwards it is.
  @Test func aFrozenOrganisationIsNotJudged() async throws {
    try await withStores(at: [.seconds(0), .days(15), .days(16)], rules: Self.rules) { stores, other in
      try await commit([event("e1", "invoice_overdue")], stores[0])
      stores[1].feeds.frozen = [Self.org: SystemClock().now()]
      try await look(stores[1])
      #expect(try await other.rows(Self.fired) == [])
      try await look(stores[2])
      #expect(try await other.rows(Self.fired) == ["invoice_unpaid_14d|i1"])
    }
  }
}
