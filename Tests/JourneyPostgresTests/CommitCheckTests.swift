import TestSupport
import Journey
@testable import JourneyPostgres
@testable import PostgresClient
import TestServers
import Testing

/// The check finds out whether commits would work before an event is consumed.
@Suite struct CommitCheckTests: CommitTesting {
  @Test func everyStatementIsTriedWithTheTypesOfTheCommit() async throws {
    try await withStore { store, _ in
      try await store.check()
      // On the connections of the commits and of the outbox, which refuse a statement with parameters of other types.
      for _ in 0..<2 {
        _ = try await store.commit(EventBatch(events: [event("a"), event("b", of: 1)]))
        try await store.check()
      }
      _ = try await store.claimAbandoned(limit: 10)
    }
    let commands = CommitCheck.commands(SummaryRebuild(signals: DecisionRules().signals), keepsRawBodies: true)
    #expect(Set(commands.map(\.0.name)).count == commands.count)
  }

  @Test func aTableOfRawBodiesThatRefusesRowsIsFound() async throws {
    for isKept in [true, false] {
      let raw = RawBodies(writer: isKept ? PlainRawWriter() : nil, retentionDays: 30)
      try await withStores(rules: [DecisionRules()], raw: raw) { stores, other in
        try await stores[0].check()
        #expect(try await other.rows("SELECT count(*) FROM journey_raw_batches") == ["0"])
        try await other.run("REVOKE INSERT ON journey_raw_batches FROM journey_adapter")
        var problem: String?
        do throws(StoreError) { try await stores[0].check() } catch { problem = "\(error)" }
        #expect((problem != nil) == isKept)
      }
    }
  }

  struct Change: Sendable, CustomTestStringConvertible {
    var name: String
    var sql: String
    var sqlState: String
    var testDescription: String { name }
  }

  @Test(arguments: [
    Change(
      name: "a privilege is missing", sql: "REVOKE INSERT ON client_journey_events FROM journey_adapter",
      sqlState: "42501"),
    Change(name: "a column is missing", sql: "ALTER TABLE contacts DROP COLUMN phone", sqlState: "42703"),
    Change(
      name: "a column is of another type", sql: "ALTER TABLE contacts ALTER COLUMN ai_score TYPE text",
      sqlState: "42883"),
    Change(
      name: "a function is missing",
      sql: "REVOKE EXECUTE ON FUNCTION journey_lock_organizations(uuid[]) FROM PUBLIC, journey_adapter",
      sqlState: "42501"),
    Change(
      name: "a trigger of the statement refuses it",
      sql: """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '42501'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON client_journey_events EXECUTE FUNCTION refuse()
        """, sqlState: "42501"),
  ])
  func whatWouldNotPassIsFound(_ change: Change) async throws {
    try await withStore { store, other in
      try await store.check()
      try await other.run(change.sql)
      let error = await #expect(throws: StoreError.self) { try await store.check() }
      #expect(error?.kind == .permanent)
      #expect(error?.reason.contains(change.sqlState) == true, "\(error as Any)")
    }
  }

  /// A column type that hosts use.
  @Test func anAddressWithoutCasePasses() async throws {
    try await withStore { store, other in
      try await other.run(
        "CREATE EXTENSION IF NOT EXISTS citext; ALTER TABLE contacts ALTER COLUMN email TYPE citext, ALTER COLUMN name TYPE varchar(200)"
      )
      try await store.check()
      expect(try await store.commit(EventBatch(events: [event("a")])), ["met"])
      expect(try await store.commit(EventBatch(events: [event("a")])), ["stored"])
    }
  }
}
