import TestSupport
import Foundation
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// Lists state the time up to which all clients are evaluated: the earliest due time of an unevaluated client,
/// otherwise now.
@Suite struct EvaluatedUntilTests: CommitTesting {
  private static let other = "0b000000-0000-4000-8000-00000000000b"
  private static let otherClient = "0c000000-0000-4000-8000-00000000000b"
  private static let thirdClient = "0c000000-0000-4000-8000-00000000000c"
  private static let page = PageRequest(limit: 50)

  /// Every list that shows evaluations of clients.
  private static func lists(_ org: UUID?) -> [(String, JourneyQuery)] {
    [
      ("clients", .clients(ClientFilter(orgID: org), page)),
      ("clients of a stage", .clients(ClientFilter(orgID: org, stage: .billing), page)),
      ("high risk", .highRisk(org: org, BoardRequest(limit: 50))),
      ("upsell", .upsell(org: org, BoardRequest(limit: 50))),
      ("the rest of high risk", .highRisk(org: org, BoardRequest(.after([UUID()]), limit: 50))),
      ("actions", .actions(ActionFilter(orgID: org), page)),
      ("actions of a client", .actions(ActionFilter(orgID: org, clientID: clients[0]), page)),
      ("map", .map(org: org, days: 30)), ("statistics", .statistics(org: org, days: 30)),
    ]
  }

  /// Two clients of the reader's organisation and two of another one, none of them due.
  private func withFixture(
    _ body:
      @escaping (_ read: (JourneyQuery) async throws -> String, PostgresEventStore, PostgresWorker) async throws -> Void
  ) async throws {
    let url = try await MigratedDatabase.make()
    try await withStore(in: url) { store, worker in
      try await worker.run(
        """
        INSERT INTO organizations (id, name) VALUES ('\(Self.other)', 'Other');
        INSERT INTO contacts (id, org_id) SELECT id, '\(Self.other)'
          FROM unnest(ARRAY['\(Self.otherClient)', '\(Self.thirdClient)']::uuid[]) AS id;
        INSERT INTO user_organizations (user_id, org_id) VALUES ('\(HostSchema.user)', '\(Self.org)')
        """)
      let mine = (0..<2).map { event("e\($0)", of: $0) }
      expect(try await store.commitAll(mine), ["stored", "stored"])
      try await withReader(url) { read in try await body(read, store, worker) }
    }
  }

  private func asOf(_ answer: String) throws -> Date {
    let object = try #require(try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any])
    let text = try #require(object["asOf"] as? String, "no asOf in \(answer.prefix(200))")
    return try Date(text, strategy: .iso8601)
  }

  /// Sets a client's next check.
  private func setCheck(_ client: String, _ moment: String, _ worker: PostgresWorker) async throws {
    try await worker.run("UPDATE journey_client_state SET check_at = \(moment) WHERE client_id = '\(client)'")
  }

  @Test func whereNothingIsDueListsAreOfNow() async throws {
    try await withFixture { read, _, worker in
      // A later due time does not count.
      try await setCheck(Self.clients[0].text, "now() + interval '1 day'", worker)
      for (name, list) in Self.lists(Self.org) + Self.lists(nil) {
        let age = Date.now.timeIntervalSince(try asOf(try await read(list)))
        #expect(age > -1 && age < 20, "\(name): \(age)")
        #expect(
          try asOf(try await read(list)).timeIntervalSince1970.remainder(dividingBy: 10) == 0,
          "\(name) changes with every read")
      }
    }
  }

  @Test func whereASweepHasNotComeListsAreOfTheMomentWhenTheFirstFellDue() async throws {
    try await withFixture { read, store, worker in
      try await setCheck(Self.clients[0].text, "'2026-01-02 10:32:47.5+00'", worker)
      try await setCheck(Self.clients[1].text, "'2026-01-03 10:00:00+00'", worker)
      let due = try Date("2026-01-02T10:32:40Z", strategy: .iso8601)
      for (name, list) in Self.lists(Self.org) + Self.lists(nil) {
        #expect(try asOf(try await read(list)) == due, "\(name)")
      }
      #expect(try await store.evaluateDue(limit: 10, passingOver: PassedOver()).looked == 2)
      for (name, list) in Self.lists(Self.org) where name != "map" && name != "statistics" {
        #expect(try asOf(try await read(list)) > Date.now - 20, "\(name)")
      }
    }
  }

  /// The time is the same for all readers, and does not reveal which organisation has due clients.
  @Test func listsOfOneOrganisationAreOfTheSameMomentAsThoseOfAll() async throws {
    try await withFixture { read, _, worker in
      try await worker.run(
        """
        INSERT INTO journey_client_state (client_id, org_id)
          SELECT id, org_id FROM contacts WHERE org_id = '\(Self.other)'
        """)
      try await setCheck(Self.thirdClient, "NULL", worker)
      try await setCheck(Self.otherClient, "'2026-01-02 10:32:47.5+00'", worker)
      let due = try Date("2026-01-02T10:32:40Z", strategy: .iso8601)
      for (name, list) in Self.lists(Self.org) + Self.lists(nil) {
        let answer = try await read(list)
        #expect(try asOf(answer) == due, "\(name)")
        #expect(!answer.contains(Self.other) && !answer.contains(Self.otherClient), "\(name)")
      }
      // A client that was merged into another one is no longer due.
      try await worker.run(
        "UPDATE journey_client_state SET merged_into = '\(Self.thirdClient)' WHERE client_id = '\(Self.otherClient)'")
      #expect(try asOf(try await read(.clients(ClientFilter(), Self.page))) > Date.now - 20)
    }
  }

  /// Counts carry the time up to which clients were evaluated when they were counted, not when they are read.
  @Test func countsAreOfTheMomentOfTheirCounting() async throws {
    try await withFixture { read, store, worker in
      try await setCheck(Self.clients[0].text, "'2026-01-02 10:32:47.5+00'", worker)
      for name in ["map", "statistics"] { _ = try await read(Self.lists(nil).first { $0.0 == name }!.1) }
      #expect(try await store.evaluateDue(limit: 10, passingOver: PassedOver()).looked == 1)
      // Until they are counted again.
      try await worker.run("UPDATE journey_maps SET stages_took = '1 hour', flows_took = '1 hour'")
      let due = try Date("2026-01-02T10:32:40Z", strategy: .iso8601)
      for name in ["map", "statistics"] {
        #expect(try asOf(try await read(Self.lists(nil).first { $0.0 == name }!.1)) == due, "\(name)")
      }
      // Counts of a version that did not record the time get the time of counting.
      try await worker.run(
        """
        UPDATE journey_maps SET stages_as_of = NULL, flows_as_of = NULL,
          stages_took = '100 years', flows_took = '100 years',
          stages_at = '2026-01-05 00:00+00', flows_at = '2026-01-05 00:00+00'
        """)
      for name in ["map", "statistics"] {
        let counted = try Date("2026-01-05T00:00:00Z", strategy: .iso8601)
        #expect(try asOf(try await read(Self.lists(nil).first { $0.0 == name }!.1)) == counted, "\(name)")
      }
    }
  }

  @Test func whoMayNotReadListsMayNotAskForTheMoment() async throws {
    try await withFixture { _, _, worker in
      for (role, isAllowed) in [("authenticated", true), ("journey_adapter", true), ("anon", false), ("public", false)]
      {
        let held = try await worker.rows(
          "SELECT has_function_privilege('\(role)', 'journey_evaluated_until()', 'EXECUTE')")
        #expect(held == [isAllowed ? "t" : "f"], "\(role)")
      }
      // The function reads the owner's table, whatever the session's path and temporary tables are.
      let owned = "CREATE TEMPORARY TABLE journey_client_state (check_at timestamptz, merged_into uuid)"
      let moment = try await worker.rows(
        """
        SET search_path = pg_temp, public; \(owned); INSERT INTO pg_temp.journey_client_state VALUES ('2020-01-01');
        SELECT public.journey_evaluated_until() > now() - interval '1 minute'
        """)
      #expect(moment.last == "t")
    }
  }
}
