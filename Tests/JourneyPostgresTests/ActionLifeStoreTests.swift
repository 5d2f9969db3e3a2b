import TestSupport
import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

/// What becomes of actions, in the database: outcomes, revocations and timers, each in effect once.
@Suite(.timeLimit(.minutes(5))) struct ActionLifeStoreTests: CommitTesting {
  private static let rules: DecisionRules = {
    var rules = DecisionRules()
    rules.actions.life = LifeRules()
    rules.risks.lowEngagement = nil
    return rules
  }()

  private func report(
    _ outcome: ActionOutcome, of action: UUID, in org: UUID? = Self.org, at: Timestamp = SystemClock().now(),
    until: Timestamp? = nil
  ) -> IncomingEvent {
    var random = IDRandom()
    let report = OutcomeReport(
      actionID: action, outcome: outcome, occurredAt: at, detail: "d", until: until, reporter: "worker:w", orgID: org)
    let event = JourneyEvent(
      orgID: org ?? UUID(), source: OutcomeReport.source, sourceEventID: "\(action)/\(outcome)",
      client: ClientReference(externalID: action.text), type: "action_\(outcome)", stage: nil, occurredAt: at,
      metadata: Array("{}".utf8))
    return IncomingEvent(
      id: UUID.v7(at: at, using: &random), event: event, signals: Signals(), report: report)
  }

  private func invoice(_ id: String, _ type: String, of client: Int = 0) -> IncomingEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let event = JourneyEvent(
      orgID: Self.org, source: "billing", sourceEventID: "\(type)/\(id)",
      client: ClientReference(id: Self.clients[client]),
      type: type, stage: .billing, occurredAt: now, metadata: Array(#"{"invoiceId":"\#(id)"}"#.utf8))
    return IncomingEvent(id: UUID.v7(at: now, using: &random), event: event, signals: Self.signals(of: event))
  }

  private let life = """
    SELECT concat_ws(' ', state, revocation, jsonb_array_length(history)) FROM journey_action_states ORDER BY action_id
    """

  /// An action of the first client for an overdue invoice, confirmed by the broker.
  private func published(_ store: PostgresEventStore) async throws -> UUID {
    let outbox = try #require(try await store.commitAll([invoice("i1", "invoice_overdue")]).outbox)
    try await store.markPublished([outbox.id])
    return try #require(outbox.actions.last).id
  }

  @Test func anOutcomeIsInEffectOnceInAnyOrder() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      let action = try await published(stores[0])
      expect(
        try await stores[0].commitAll([report(.opened, of: action), report(.delivered, of: action)]),
        ["stored", "stored"])
      expect(
        try await stores[0].commitAll([report(.opened, of: action), report(.replied, of: action)]),
        ["duplicate", "stored"])
      #expect(try await other.rows(life) == ["accepted 3"])
      // Opened and replied are signs of life of the client.
      #expect(
        try await other.rows(
          "SELECT event_type, acted_by FROM client_journey_events WHERE source = 'journey.outcomes' ORDER BY 1")
          == ["email_opened|client", "email_replied|client"])
      #expect(try await other.rows("SELECT state FROM journey_actions WHERE id = '\(action)'") == ["accepted"])
    }
  }

  @Test func whatCannotBeIsRejected() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      let action = try await published(stores[0])
      let now = SystemClock().now()
      expect(
        try await stores[0].commitAll([
          report(.delivered, of: UUID()), report(.delivered, of: action, in: UUID()),
          report(.accepted, of: action, at: now),
          report(.snoozed, of: action, at: now + .seconds(1), until: now + .days(1)),
        ]), ["unknown_action", "foreign_action", "stored", "refused_outcome"])
      #expect(try await other.rows(life) == ["accepted 1"])
    }
  }

  @Test func aPaidInvoiceTakesItsActionBackOnce() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      let action = try await published(stores[0])
      _ = try await stores[0].commitAll([invoice("i1", "invoice_paid")])
      let states = try await other.rows(
        "SELECT state, revocation FROM journey_action_states WHERE action_id = '\(action)'")
      #expect(states == ["revoked|pending"])
      let sent = try await stores[0].claimRevocations(limit: 10)
      #expect(sent.map(\.id) == [action])
      #expect(sent.map { String(decoding: $0.body, as: UTF8.self) } == ["revoked: risk:late_invoices no longer holds"])
      // Another instance leaves it alone, until it is not marked in time.
      #expect(try await stores[0].claimRevocations(limit: 10).isEmpty)
      try await other.run("UPDATE journey_action_states SET claimed_until = now() - interval '1 second'")
      #expect(try await stores[0].claimRevocations(limit: 10).map(\.id) == [action])
      try await stores[0].markRevoked([action])
      try await other.run("UPDATE journey_action_states SET claimed_until = NULL")
      #expect(try await stores[0].claimRevocations(limit: 10).isEmpty)
      expect(try await stores[0].commitAll([report(.delivered, of: action)]), ["stored"])
      #expect(try await other.rows(life) == ["delivered sent 2"])
    }
  }

  /// A worker was faster than the revocation: there is nothing left to take back.
  @Test func whatWasRunMeanwhileIsNotTakenBack() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      let action = try await published(stores[0])
      _ = try await stores[0].commitAll([invoice("i1", "invoice_paid")])
      expect(try await stores[0].commitAll([report(.delivered, of: action)]), ["stored"])
      #expect(try await other.rows(life) == ["delivered 2"])
      #expect(try await stores[0].claimRevocations(limit: 10).isEmpty)
    }
  }

  /// A client that waits for another decision, because its action failed, gets it whatever comes between.
  @Test func anotherDecisionStaysDue() async throws {
    // So that there is a second candidate.
    var rules = Self.rules
    rules.risks.lowEngagement = DecisionRules().risks.lowEngagement
    try await withStores(rules: rules) { stores, other in
      let action = try await published(stores[0])
      expect(try await stores[0].commitAll([report(.failed, of: action)]), ["stored"])
      let due = "SELECT redecide FROM journey_client_state WHERE client_id = '\(Self.clients[0])'"
      #expect(try await other.rows(due) == ["t"])
      try await other.run("UPDATE journey_client_state SET score = -1")
      let recompute = Recompute()
      #expect(try await recompute.run(on: stores[0]).actions == 0)
      #expect(try await other.rows(due) == ["t"])
      expect(try await stores[0].commitAll([event("other", of: 1)]), ["stored"])
      _ = try await IdentityRepository(worker: other, actor: "test").merge(
        orgID: Self.org, from: Self.clients[0], into: Self.clients[1], why: nil)
      #expect(
        try await other.rows("SELECT redecide FROM journey_client_state WHERE client_id = '\(Self.clients[1])'") == [
          "t"
        ])
    }
  }

  /// The answer to a worker that asks just before it runs an action which was published before the hold.
  @Test(arguments: [("email", true), ("voice", false)])
  func aHoldAlsoForbidsWhatIsInItsQueue(_ channel: String, _ isHeld: Bool) async throws {
    try await withStores(rules: Self.rules) { stores, other in
      let action = try await published(stores[0])
      func because() async throws -> [String] {
        try await other.rows(
          "SELECT COALESCE(\(ReadSQL.because), 'may run') FROM journey_actions a WHERE a.id = '\(action)'")
      }
      let repository = HoldRepository(worker: other)
      let hold = Hold(id: 0, channel: Channel(rawValue: channel), orgID: Self.org)
      let id = try await repository.add(hold, until: nil, actor: "ada", why: "a test").hold.id
      #expect(try await because() == [isHeld ? "held" : "may run"])
      _ = try await repository.release(id, rate: nil, actor: "ada", why: nil)
      #expect(try await because() == ["may run"])
    }
  }

  @Test func whatMayNotHaveBeenPublishedWaitsWithItsRevocation() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      let outbox = try #require(try await stores[0].commitAll([invoice("i1", "invoice_overdue")]).outbox)
      _ = try await stores[0].commitAll([invoice("i1", "invoice_paid")])
      #expect(try await stores[0].claimRevocations(limit: 10).isEmpty)
      // It reached no queue, so nothing is to be taken back.
      try await stores[0].release(
        ReleasedActions(failed: outbox.actions.map(\.id), because: "returned"), of: outbox.id)
      try await other.run("UPDATE journey_outbox SET next_attempt_at = now()")
      #expect(
        try await stores[0].claimAbandoned(limit: 10).flatMap(\.actions).map(\.id).contains(outbox.actions.last!.id)
          == false)
      #expect(try await stores[0].claimRevocations(limit: 10).isEmpty)
      #expect(
        try await other.rows(
          "SELECT state, revocation FROM journey_action_states WHERE action_id = '\(outbox.actions.last!.id)'") == [
            "revoked|unsent"
          ])
      expect(try await stores[0].commitAll([report(.delivered, of: outbox.actions.last!.id)]), ["refused_outcome"])
    }
  }

  /// Its revocation is never the only message: workers would have to know what they never got.
  @Test func whatADeadProcessMayHavePublishedIsPublishedAgainAndThenTakenBack() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      let outbox = try #require(try await stores[0].commitAll([invoice("i1", "invoice_overdue")]).outbox)
      _ = try await stores[0].commitAll([invoice("i1", "invoice_paid")])
      try await other.run("UPDATE journey_outbox SET instance = 4711, next_attempt_at = now()")
      let action = outbox.actions.last!.id
      let again = try #require(try await stores[0].claimAbandoned(limit: 10).first)
      #expect(again.actions.map(\.id).contains(action))
      #expect(try await stores[0].claimRevocations(limit: 10).isEmpty)
      try await stores[0].markPublished([again.id])
      // It is looked at again after two seconds.
      try await other.run("UPDATE journey_action_states SET claimed_until = now() - interval '1 s'")
      #expect(try await stores[0].claimRevocations(limit: 10).map(\.id) == [action])
    }
  }

  @Test func whatIsNotRunExpiresAndWhatIsNotAnsweredEnds() async throws {
    try await withStores(at: [.seconds(0), .hours(73), .days(6)], rules: Self.rules) { stores, other in
      let action = try await published(stores[0])
      let second = try #require(try await stores[0].commitAll([invoice("i2", "invoice_overdue", of: 1)]).outbox)
      try await stores[0].markPublished([second.id])
      expect(try await stores[0].commitAll([report(.delivered, of: action)]), ["stored"])
      while try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).looked > 0 {}
      let state = { (id: UUID) in try await other.rows("SELECT state FROM journey_actions WHERE id = '\(id)'") }
      #expect(try await state(action) == ["delivered"])
      #expect(try await state(second.actions.last!.id) == ["expired"])
      while try await stores[2].evaluateDue(limit: 10, passingOver: PassedOver()).looked > 0 {}
      #expect(try await state(action) == ["no_response"])
      // A late answer replaces it.
      expect(try await stores[0].commitAll([report(.accepted, of: action)]), ["stored"])
      #expect(try await state(action) == ["accepted"])
    }
  }

  /// Something else reaches the client: decided by the next sweep, although nothing else has changed.
  @Test func aFailureIsDecidedAnew() async throws {
    var rules = Self.rules
    rules.actions.byRisk = [
      .init(.lateInvoices, .init(.emailOutreach)), .init(.lowEngagement, .init(.sendVoiceMessage)),
    ]
    rules.risks.lowEngagement = .init()
    try await withStores(at: [.seconds(0), .seconds(10)], rules: rules) { stores, other in
      let now = SystemClock().now()
      let outbox = try #require(
        try await stores[0].commitAll([
          event("1", of: ClientReference(id: Self.clients[0])), invoice("i1", "invoice_overdue"),
        ]).outbox)
      try await stores[0].markPublished([outbox.id])
      let action = try #require(outbox.actions.first)
      expect(try await stores[0].commitAll([report(.bounced, of: action.id, at: now)]), ["stored"])
      let next = try #require(try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver()).outbox)
      let channels = try await other.rows("SELECT channel FROM client_journey_scores WHERE outbox_id = '\(next.id)'")
      #expect(channels == ["voice"])
      #expect(
        try await other.rows("SELECT redecide FROM journey_client_state WHERE client_id = '\(Self.clients[0])'") == [
          "f"
        ])
    }
  }

  @Test func anActionMovesWithAMerge() async throws {
    try await withStores(rules: Self.rules) { stores, other in
      let action = try await published(stores[0])
      expect(try await stores[0].commitAll([report(.bounced, of: action)]), ["stored"])
      try await other.run("SELECT journey_merge_clients('\(Self.org)', '\(Self.clients[0])', '\(Self.clients[1])')")
      expect(try await stores[0].commitAll([report(.opened, of: action)]), ["stored"])
      let bytes = try await other.rows(
        "SELECT encode(outreach, 'escape') FROM journey_client_state WHERE client_id = '\(Self.clients[1])'")
      #expect(bytes.first?.contains("!email") ?? false)
    }
  }

  /// The design document has no outcomes: they are recorded and change nothing.
  @Test func withoutALifeOutcomesAreOnlyRecorded() async throws {
    try await withStores(rules: DecisionRules()) { stores, other in
      let action = try await published(stores[0])
      let states = "SELECT outreach, check_at FROM journey_client_state ORDER BY client_id"
      let before = try await other.rows(states)
      expect(
        try await stores[0].commitAll([report(.opened, of: action), report(.rejected, of: action)]),
        ["stored", "stored"])
      #expect(try await other.rows(life) == ["rejected 2"])
      #expect(try await other.rows(states) == before)
      #expect(
        try await other.rows("SELECT count(*) FROM client_journey_events WHERE source = 'journey.outcomes'") == ["0"])
    }
  }
}
