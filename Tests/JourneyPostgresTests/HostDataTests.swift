import TestSupport
import Foundation
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// Host tables that would make the migrations fail are reported before anything is changed, with table and row count.
@Suite(.timeLimit(.minutes(5))) struct HostDataTests {
  /// The error of `migrate` and of its rehearsal. Neither changes anything.
  private func refusal(_ worker: PostgresWorker, as migrating: PostgresWorker? = nil) async throws -> String {
    var messages: [String] = []
    for isRehearsal in [true, false] {
      let error = await #expect(throws: MigrationError.self) {
        let migrator = try Migrator(migrating ?? worker, files: ShippedMigrations.load())
        if isRehearsal { _ = try await migrator.rehearse() } else { try await migrator.apply() }
      }
      messages.append(error.map { "\($0)" } ?? "")
      #expect(
        try await worker.rows("SELECT to_regclass('journey_migrations') IS NULL") == ["t"], "something was changed")
    }
    #expect(messages[0] == messages[1])
    return messages[0]
  }

  private static let org = "00000000-0000-4000-8000-0000000000"

  @Test func inconsistentRowsAreReportedWithExamplesAndAQuery() async throws {
    try await withDatabase { host in
      try await host.run(
        HostSchema.tables() + """
          ALTER TABLE contacts DROP CONSTRAINT contacts_org_id_fkey;
          INSERT INTO organizations VALUES ('\(Self.org)01', 'A'), ('\(Self.org)02', 'B');
          INSERT INTO contacts (id, org_id) VALUES ('\(Self.org)0a', '\(Self.org)01'), ('\(Self.org)0b', '\(Self.org)02'),
            ('\(Self.org)0c', '\(Self.org)99');
          INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type)
            SELECT ('\(Self.org)2' || n)::uuid, '\(Self.org)0a', '\(Self.org)02', 'lead', 'note' FROM generate_series(1, 5) n;
          INSERT INTO client_journey_events (client_id, org_id, stage, event_type)
            SELECT '\(Self.org)0b', '\(Self.org)02', 'lead', 'note' FROM generate_series(1, 5);
          INSERT INTO client_journey_scores (id, client_id, org_id) VALUES ('\(Self.org)31', '\(Self.org)77', '\(Self.org)01');
          """)
      let messages = try await refusal(host)
      for words in [
        "client_journey_events: 5 rows have an org_id that is not their client's, for example \(Self.org)21, \(Self.org)22, \(Self.org)23. All",
        "SELECT t.* FROM client_journey_events t JOIN contacts c ON c.id = t.client_id WHERE t.org_id <> c.org_id",
        "client_journey_scores: 1 row has a client_id that no contact has, for example \(Self.org)31.",
        "contacts: 1 row has no organisation that exists, for example \(Self.org)0c.",
      ] { #expect(messages.contains(words), "\(messages)") }
      #expect(messages.split(separator: "\n").count == 4, "\(messages)")
      // The reported queries find the rows to fix.
      try await host.run(
        "DELETE FROM client_journey_events e USING contacts c WHERE c.id = e.client_id AND c.org_id <> e.org_id; DELETE FROM client_journey_scores; "
          + "DELETE FROM contacts WHERE id = '\(Self.org)0c'")
      try await host.migrate()
    }
  }

  @Test func wrongOwnersAndHiddenRowsAreReportedWithAFix() async throws {
    let url = try await TestServers.shared().makeDatabase()
    try await withDatabase(url) { host in
      let login = "host_data_\(UUID().uuidString.prefix(8).lowercased())"
      try await host.run(HostSchema.tables())
      try await host.run(
        "CREATE ROLE \(login) LOGIN PASSWORD 'pw' NOSUPERUSER; GRANT ALL ON SCHEMA public TO \(login); "
          + "GRANT ALL ON ALL TABLES IN SCHEMA public TO \(login)")
      let owner = try await host.rows("SELECT current_user")[0]
      try await withDatabase(try url.loggedIn(as: login, password: "pw")) { migrating in
        let messages = try await refusal(host, as: migrating)
        #expect(
          messages.contains("contacts belongs to \(owner), and \(login) migrates: migrate as \(owner), or run GRANT"),
          "\(messages)")
        for table in [
          "organizations", "contacts", "user_organizations", "client_journey_events", "client_journey_scores",
        ] {
          try await host.run("ALTER TABLE \(table) OWNER TO \(login)")
        }
        try await host.run(
          "ALTER TABLE contacts ENABLE ROW LEVEL SECURITY; ALTER TABLE contacts FORCE ROW LEVEL SECURITY")
        let hidden = try await refusal(host, as: migrating)
        #expect(
          hidden.contains("row level security hides rows of contacts from \(login): run ALTER TABLE contacts NO FORCE"),
          "\(hidden)")
        // One policy shows all rows, a second one hides some.
        try await host.run(
          "CREATE POLICY all_of_them ON contacts USING (true); CREATE POLICY few ON contacts AS RESTRICTIVE USING (name = 'Ada')"
        )
        #expect(try await refusal(host, as: migrating).contains("row level security hides rows of contacts"))
        try await host.run(
          "ALTER TABLE contacts NO FORCE ROW LEVEL SECURITY; REVOKE SELECT ON client_journey_events FROM \(login)")
        let barred = try await refusal(host, as: migrating)
        #expect(barred.contains("\(login) may not read client_journey_events: run GRANT SELECT"), "\(barred)")
      }
    }
  }
}
