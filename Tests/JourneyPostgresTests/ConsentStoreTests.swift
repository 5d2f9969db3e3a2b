import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres
@testable import TestSupport

/// What a person records of a client counts from the next decision on.
@Suite(.timeLimit(.minutes(5))) struct ConsentStoreTests: CommitTesting {
  private static let rules: DecisionRules = {
    var rules = DecisionRules()
    rules.actions.life = LifeRules()
    rules.actions.contact = ContactPolicy()
    rules.risks.lowEngagement = nil
    return rules
  }()

  private func record(
    _ change: ConsentRecord.Change, _ purpose: String? = nil, at time: Timestamp = SystemClock().now()
  ) -> ConsentRecord {
    var random = IDRandom()
    return ConsentRecord(
      id: UUID.v7(at: time, using: &random), change: change, channel: .email, purpose: purpose, at: time)
  }

  /// Works as the adapter's role, on the database of `other`.
  private func withConsents(
    rules: DecisionRules = rules, _ body: ([PostgresEventStore], PostgresWorker, ConsentRepository) async throws -> Void
  ) async throws {
    let url = try await MigratedDatabase.make()
    try await withStores(in: url, rules: [rules]) { stores, other in
      let worker = PostgresWorker(try PostgresSettings(conninfo: url, role: "journey_adapter"))
      let result: Result<Void, any Error>
      do { result = .success(try await body(stores, other, ConsentRepository(worker: worker))) } catch {
        result = .failure(error)
      }
      await worker.close()
      try result.get()
    }
  }

  private static let actions = "SELECT action, state FROM journey_actions ORDER BY decided_at"

  @Test func whatWaitsIsTakenBack() async throws {
    try await withConsents { stores, other, consents in
      let first = try #require(try await stores[0].commitAll([moved("1", to: .lead)]).outbox)
      try await stores[0].markPublished([first.id])
      var block = record(.blocked)
      let client = Self.clients[0]
      #expect(
        try await consents.record(
          block, of: client, source: "call", reason: "no mail", actor: "ann", at: nil, rules: Self.rules.actions,
          dryRun: true)
          == .recorded)
      #expect(try await other.rows("SELECT count(*) FROM journey_consents") == ["0"])
      let early = SystemClock().now() + .hours(-1)
      for (time, expected) in [(nil, ConsentRepository.Result.recorded), (early, .known)] {
        #expect(
          try await consents.record(
            block, of: client, source: "call", reason: "no mail", actor: "ann", at: time, rules: Self.rules.actions)
            == expected)
        if time == nil { block = record(.blocked) }
      }
      block = try #require(try await consents.consents(of: client)?.records.last).record
      #expect(try await other.rows(Self.actions) == ["email_outreach|revoked"], "in the same transaction")
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).outbox == nil)
      #expect(try await stores[0].commitAll([moved("2", to: .upsellCandidate)]).outbox == nil)
      let verdict = "SELECT explanation->'candidates'->0 FROM client_journey_scores ORDER BY generated_at DESC LIMIT 1"
      let shown = try #require(try await other.rows(verdict).first)
      #expect(shown.contains(#""verdict":"do_not_contact","record":"\#(block.id.text)""#), "\(shown)")
      let known = try #require(try await consents.consents(of: client))
      #expect(known.blocks.map(\.id) == [block.id] && known.records.count == 2)
      #expect(known.records.first.map { [$0.source, $0.reason, $0.actor] } == ["call", "no mail", "ann"])
      // It is decided at once, without a further event.
      #expect(
        try await consents.record(
          record(.unblocked), of: client, source: "call", reason: nil, actor: "ann", at: nil, rules: Self.rules.actions)
          == .recorded)
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).outbox?.actions.count == 1)
      #expect(try await other.rows(Self.actions) == ["email_outreach|revoked", "offer_credit_pack|proposed"])
    }
  }

  @Test func consentOpensAChannel() async throws {
    var rules = Self.rules
    rules.actions.contact?.consent[.email] = "marketing"
    try await withConsents(rules: rules) { stores, _, consents in
      #expect(try await stores[0].commitAll([moved("1", to: .lead)]).outbox == nil)
      let grant = record(.granted, "marketing")
      let result = try await consents.record(
        grant, of: Self.clients[0], source: "form", reason: nil, actor: "ann", at: nil, rules: Self.rules.actions)
      #expect(result == .recorded)
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).outbox?.actions.count == 1)
    }
  }

  /// Also of what was stored before the rules knew of it, or by the host; and no longer once it is void.
  @Test func storedEventsBlockAChannel() async throws {
    var rules = Self.rules
    rules.actions.contact?.unsubscribes["email_unsubscribed"] = .email
    try await withConsents(rules: rules) { stores, other, consents in
      try await other.run(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, occurred_at, sets_stage)
          VALUES ('\(Self.clients[0])', '\(Self.org)', 'lead', 'email_unsubscribed', now() - interval '2 days', false)
        """)
      #expect(try await stores[0].commitAll([moved("1", to: .lead)]).outbox == nil)
      let known = try await consents.consents(of: Self.clients[0])
      #expect(known?.blocks.map(\.cause) == [.event])
      try await other.run("UPDATE client_journey_events SET voided_at = now() WHERE event_type = 'email_unsubscribed'")
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 1)
      let free = try await consents.consents(of: Self.clients[0])
      #expect(free?.blocks == [])
      #expect(try await stores[0].commitAll([moved("2", to: .lead)]).outbox?.actions.count == 1)
    }
  }

  /// A client without any event has no journey, and gets no action because somebody records what it allows.
  @Test func whoWasNeverEvaluatedStaysSo() async throws {
    try await withConsents { stores, other, consents in
      let client = Self.clients[0]
      let blocked = try await consents.record(
        record(.blocked), of: client, source: "form", reason: nil, actor: "ann", at: nil, rules: Self.rules.actions)
      #expect(blocked == .recorded)
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).outbox == nil)
      #expect(try await other.rows("SELECT count(*) FROM client_journey_scores") == ["0"])
      #expect(try await stores[0].commitAll([moved("1", to: .lead)]).outbox == nil, "it counts from the first event on")
      let unknown = UUID()
      #expect(try await consents.consents(of: unknown) == nil)
      #expect(
        try await consents.record(
          record(.blocked), of: unknown, source: "form", reason: nil, actor: "ann", at: nil, rules: Self.rules.actions)
          == .unknown)
    }
  }

  /// Two clients become one: it allows what both do, and all records are found.
  @Test func aMergedClientAllowsWhatBothDo() async throws {
    try await withConsents { stores, other, consents in
      _ = try await stores[0].commitAll([moved("1", to: .lead), moved("2", to: .lead, of: 1)])
      #expect(
        try await consents.record(
          record(.blocked), of: Self.clients[0], source: "call", reason: nil, actor: "ann", at: nil,
          rules: Self.rules.actions)
          == .recorded)
      try await other.run(
        "SELECT journey_merge_clients('\(Self.org)', '\(Self.clients[0])', '\(Self.clients[1])')")
      for client in Self.clients[0...1] {
        let known = try #require(try await consents.consents(of: client))
        #expect(known.clientID == Self.clients[1] && known.blocks.count == 1 && known.records.count == 1)
      }
      // Under the name that it had, too.
      #expect(
        try await consents.record(
          record(.unblocked), of: Self.clients[0], source: "call", reason: nil, actor: "ann", at: nil,
          rules: Self.rules.actions)
          == .recorded)
      let free = try await consents.consents(of: Self.clients[1])
      #expect(free?.blocks.isEmpty == true)
    }
  }
}
