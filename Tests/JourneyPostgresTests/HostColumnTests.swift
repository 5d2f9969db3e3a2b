import TestSupport
import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

/// A host's columns may have any text type, and its scores any numeric type, without a difference in behaviour.
@Suite struct HostColumnTests: CommitTesting {
  @Test(arguments: [
    ("citext", "numeric"), ("word", "double precision"), ("cased", "real"), ("varchar(200)", "bigint"),
    ("char(60)", "integer"),
    ("text", "smallint"), ("text", "points"), ("char(60)", "numeric(12, 3)"),
  ])
  func typesMakeNoDifference(_ text: String, _ number: String) async throws {
    let wanted = try await outcome(text: "text", number: "numeric")
    let found = try await outcome(text: text, number: number)
    #expect(found.count == wanted.count)
    for (a, b) in zip(found, wanted) { #expect(a == b) }
  }

  /// What the adapter stores and shows if a host has written events and a score before. Ids and times are left out,
  /// because they differ between runs.
  private func outcome(text: String, number: String) async throws -> [String] {
    let url = try await TestServers.shared().makeDatabase()
    try await withDatabase(url) { try await $0.run(HostSchema.tables(text: text, number: number)) }
    var found: [String] = []
    try await withStore(in: url) { store, host in
      let client = Self.clients[0]
      try await host.run(
        """
        INSERT INTO user_organizations VALUES ('\(HostSchema.user)', '\(Self.org)');
        UPDATE contacts SET email = 'ada@example.com', phone = '+1', ai_score = 80 WHERE id = '\(client)';
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, metadata, occurred_at)
          VALUES ('\(client)', '\(Self.org)', 'billing', 'invoice_overdue', '{"invoiceId": "in_1"}', now());
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, occurred_at)
          SELECT '\(client)', '\(Self.org)', 'onboarding', 'ticket_opened', now() - n * interval '1 day'
          FROM generate_series(1, 3) AS n;
        INSERT INTO client_journey_scores (client_id, org_id, score, risk_level, generated_at)
          VALUES ('\(client)', '\(Self.org)', 12, 'LOW', now() - interval '9 days')
        """)
      expect(try await store.commitAll([event("a")]), ["stored"])
      // A client that is found by its address, and one that is created.
      let known = ClientReference(externalID: "x", email: "ADA@example.com")
      expect(try await store.commitAll([event("b", of: known)]), ["stored"])
      let new = ClientReference(externalID: "y", creation: NewClient(name: "Bea", email: "bea@example.com", phone: nil))
      expect(try await store.commitAll([event("c", of: new)]), ["stored"])
      found += try await host.rows(
        """
        SELECT e.event_type::text, e.stage::text, e.sets_stage, e.source, e.source_event_id FROM client_journey_events e
        ORDER BY e.event_type::text, e.source_event_id
        """)
      found += try await host.rows(
        """
        SELECT stage, score, risk_level, risks FROM journey_client_state WHERE scored_at IS NOT NULL
        ORDER BY (client_id = '\(client)')
        """)
      found += try await host.rows(
        "SELECT score::float8, risk_level::text, action FROM client_journey_scores ORDER BY generated_at, score, action"
      )
      found += try await host.rows(
        "SELECT rtrim(name::text), rtrim(email::text), rtrim(phone::text) FROM contacts ORDER BY 1, 2")
      try await withReader(url) { read in
        for query in [
          JourneyQuery.client(client), .events(client: client, PageRequest(limit: 10)), .nextAction(client: client),
          .caller,
          .highRisk(org: nil, BoardRequest(limit: 10)), .clients(ClientFilter(text: "ADA"), PageRequest(limit: 10)),
          .clients(ClientFilter(), PageRequest(limit: 1)), .actions(ActionFilter(), PageRequest(limit: 10)),
        ] {
          found.append(Self.withoutWhatVaries(try await read(query)))
        }
        _ = try await read(.map(org: nil, days: 30))
      }
      let org = Self.org
      try await host.perform { connection in
        for count in [MapSQL.countStages, MapSQL.countFlows] {
          try connection.execute(count, PostgresParameters { $0.uuid(org) })
        }
      }
      found += try await host.rows(
        """
        SELECT flows, jsonb_path_query_array(stages, '$[*].stage'), jsonb_path_query_array(days, '$[*].moves')
        FROM journey_maps
        """)
      let reports = ClientReports(worker: host, rules: DecisionRules())
      #expect(try await reports.find("ADA@EXAMPLE.COM", orgID: nil).map(\.id) == [client])
      let report = try #require(try await reports.report(on: client, limit: 10))
      found.append("\(report.name ?? "") \(report.email ?? "") \(report.scores.map(\.score))")
      found += report.events.map { "\($0.type) \($0.stage)" }
    }
    return found
  }

  private static func withoutWhatVaries(_ text: String) -> String {
    text.replacing(#/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/#, with: "id")
      .replacing(#/\d{4}-\d\d-\d\d(T[0-9:.+]*Z?)?/#, with: "time")
      .replacing(#/"nextCursor" ?: ?"[^"]*"/#, with: "cursor").replacing(#/\.0+(?=[,}\]])/#, with: "")
  }

  @Test(arguments: [
    ("ALTER TABLE contacts ALTER ai_score TYPE text", "contacts.ai_score is of type text; accepted are numeric"),
    (
      "ALTER TABLE contacts ALTER email TYPE jsonb USING to_jsonb(email)",
      "contacts.email is of type jsonb; accepted are text"
    ),
    ("ALTER TABLE organizations DROP name", "organizations.name is missing; accepted are text"),
    (
      "ALTER TABLE client_journey_events ALTER occurred_at TYPE timestamp",
      "client_journey_events.occurred_at is of type"
    ),
    (
      """
      CREATE TYPE mood AS ENUM ('LOW');
      ALTER TABLE client_journey_scores ALTER risk_level DROP DEFAULT, ALTER risk_level TYPE mood USING 'LOW'
      """, "client_journey_scores.risk_level is of type mood; accepted are text"
    ),
    (
      "ALTER TABLE contacts ALTER phone TYPE hidden USING NULL",
      "contacts.phone is of type hidden; accepted are text, character varying, character, citext"
    ),
  ])
  func whatTheAdapterCannotWorkWithIsNamed(_ change: String, _ problem: String) async throws {
    try await withDatabase { worker in
      try await worker.run(HostSchema.tables() + "CREATE DOMAIN hidden AS bytea; \(change)")
      for attempt: () async throws -> Void in [
        { _ = try await Migrator(worker, files: try ShippedMigrations.load()).rehearse() },
        { try await worker.migrate() },
      ] {
        let error = await #expect(throws: MigrationError.self) { try await attempt() }
        #expect(error?.description.contains(problem) == true, "\(error as Any)")
      }
      let found = try await HostColumns.problems(worker).filter { !$0.contains("time_zone is missing") }
      #expect(found.count == 1 && found[0].hasPrefix(problem), "\(found)")
    }
  }
}
