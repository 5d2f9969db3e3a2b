import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// After the host application corrects or deletes events, the state is as if they had always been so.
@Suite struct CorrectedHistoryTests: CommitTesting {
  private static let keys = "'\(clients[0])', '\(org)'"

  private func rows(_ sql: String, _ worker: PostgresWorker) async throws -> [[String]] {
    try await worker.perform { connection in
      let result = try connection.execute(sql)
      return try (0..<result.rowCount).map { row in
        try (0..<result.columnCount).map { try result.textIfPresent(row, $0) ?? "" }
      }
    }
  }

  private func forgotten(_ worker: PostgresWorker) async throws -> [String] {
    try await rows(
      "SELECT client_id FROM journey_client_state WHERE summary = '' AND check_at <= clock_timestamp() ORDER BY client_id",
      worker
    ).map { $0[0] }
  }

  private func evaluate(_ store: PostgresEventStore) async throws {
    while try await store.evaluateDue(limit: 100, passingOver: PassedOver()).looked > 0 {}
  }

  @Test func eachColumnThatIsCorrectedCounts() async throws {
    try await withStores { stores, other in
      expect(try await stores[0].commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      try await evaluate(stores[0])
      let changes = [
        "stage = 'churn_risk'", "occurred_at = occurred_at - interval '40 days'", "event_type = 'called'",
        "metadata = '{\"usage\": 3}'",
        "sets_stage = NOT sets_stage",
      ]
      for change in changes {
        try await other.run("UPDATE client_journey_events SET \(change) WHERE client_id = '\(Self.clients[0])'")
        #expect(try await forgotten(other) == ["\(Self.clients[0].text)"], "\(change)")
        try await evaluate(stores[0])
        #expect(try await forgotten(other).isEmpty)
      }
    }
  }

  @Test func anEventThatMovesConcernsBothClients() async throws {
    try await withStores { stores, other in
      expect(
        try await stores[0].commitAll([event("e1"), event("e2"), event("f1", of: 1)]), ["stored", "stored", "stored"])
      try await evaluate(stores[0])
      try await other.run(
        "UPDATE client_journey_events SET client_id = '\(Self.clients[1])' WHERE source_event_id = 'e2'")
      #expect(try await forgotten(other) == Self.clients.map(\.text).sorted())
      try await evaluate(stores[0])
      #expect(try await stores[0].evaluateDue(limit: 10, passingOver: PassedOver()).looked == 0)
    }
  }

  @Test func aDeletedEventNeverWas() async throws {
    try await withStores { stores, other in
      expect(try await stores[0].commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      try await other.run(
        "INSERT INTO client_journey_events (client_id, org_id, stage, event_type) VALUES (\(Self.keys), 'churn_risk', 'complained')"
      )
      try await evaluate(stores[0])
      let stages = "SELECT COALESCE(stage, '') FROM journey_client_state WHERE client_id = '\(Self.clients[0])'"
      #expect(try await rows(stages, other) == [["churn_risk"]])
      try await other.run("DELETE FROM client_journey_events WHERE source IS NULL")
      #expect(try await forgotten(other) == [Self.clients[0].text])
      try await evaluate(stores[0])
      #expect(try await rows(stages, other) == [["billing"]])
      try await other.run("TRUNCATE client_journey_events")
      try await evaluate(stores[0])
      #expect(try await rows(stages, other) == [[""]])
    }
  }

  /// The events of a deleted client are deleted with it, and nothing remains to be rebuilt. Deleting whole
  /// organisations is not slowed down.
  @Test func aClientIsDeletedWithItsEvents() async throws {
    try await withStores { stores, other in
      expect(try await stores[0].commitAll([event("e1"), event("f1", of: 1)]), ["stored", "stored"])
      try await other.run(
        "DELETE FROM journey_client_state WHERE client_id = '\(Self.clients[1])'; DELETE FROM contacts WHERE id = '\(Self.clients[1])'"
      )
      #expect(try await rows("SELECT client_id FROM journey_client_state", other) == [[Self.clients[0].text]])
      try await other.run("DELETE FROM journey_client_state; DELETE FROM organizations")
      #expect(try await rows("SELECT client_id FROM journey_client_state", other).isEmpty)
    }
  }

  @Test func anInvoiceWhoseNoticeIsGoneIsGone() async throws {
    try await withStores { stores, other in
      let notice = "(\(Self.keys), 'billing', 'invoice_overdue', '{\"invoiceId\": \"%\"}')"
      let insert = "INSERT INTO client_journey_events (client_id, org_id, stage, event_type, metadata) VALUES "
      try await other.run(insert + ["a", "b", "c"].map { notice.replacing("%", with: $0) }.joined(separator: ", "))
      try await evaluate(stores[0])
      let invoices = "SELECT invoice_id, settled_at IS NULL FROM journey_invoices ORDER BY invoice_id"
      #expect(try await rows(invoices, other) == [["a", "t"], ["b", "t"], ["c", "t"]])
      let risks = "SELECT 'late_invoices' = ANY(risks) FROM journey_client_state WHERE client_id = '\(Self.clients[0])'"
      #expect(try await rows(risks, other) == [["t"]])
      try await other.run(
        "UPDATE client_journey_events SET event_type = 'invoice_paid' WHERE metadata->>'invoiceId' = 'a'")
      try await other.run(
        "UPDATE client_journey_events SET metadata = '{\"invoiceId\": \"d\"}' WHERE metadata->>'invoiceId' = 'b'")
      try await evaluate(stores[0])
      #expect(try await rows(invoices, other) == [["a", "f"], ["c", "t"], ["d", "t"]])
      try await other.run("DELETE FROM client_journey_events WHERE event_type = 'invoice_overdue'")
      try await evaluate(stores[0])
      #expect(try await rows(invoices, other) == [["a", "f"]])
      #expect(try await rows(risks, other) == [["f"]])
    }
  }

  /// An event of the host writes its own invoice and no other.
  @Test func otherInvoicesAreNotWrittenAgain() async throws {
    try await withStores { stores, other in
      let insert = "INSERT INTO client_journey_events (client_id, org_id, stage, event_type, metadata) "
      try await other.run(
        insert
          + "SELECT \(Self.keys), 'billing', 'invoice_overdue', jsonb_build_object('invoiceId', n::text) FROM generate_series(1, 50) n"
      )
      try await evaluate(stores[0])
      let versions = "SELECT invoice_id, xmin::text FROM journey_invoices WHERE invoice_id <> '7' ORDER BY invoice_id"
      let before = try await rows(versions, other)
      #expect(before.count == 49)
      try await other.run(insert + "VALUES (\(Self.keys), 'billing', 'invoice_paid', '{\"invoiceId\": \"7\"}')")
      try await evaluate(stores[0])
      #expect(try await rows(versions, other) == before)
      #expect(
        try await rows("SELECT settled_at IS NULL FROM journey_invoices WHERE invoice_id = '7'", other) == [["f"]])
    }
  }
}
