import Dispatch
import FoundationEssentials
import Journey
import JourneyPipeline
import JourneyStore
import PostgresClient
import TestServers
import Testing

/// What a batch commit does beside other transactions, and with events that are the same.
@Suite struct CommitTests {
  private static let org = UUID()
  private static let clients = [UUID(), UUID()]

  /// A database with two clients, a ledger, and a connection that is in the ledger's way.
  private func withLedger(_ body: (PostgresLedger, PostgresWorker) async throws -> Void) async throws {
    let url = try await TestServers.shared().makeDatabase()
    try await withDatabase(url) { other in
      try await other.migrate()
      try await other.run("INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Roth')")
      for client in Self.clients { try await other.run("INSERT INTO contacts (id, org_id, name) VALUES ('\(client)', '\(Self.org)', 'Ada')") }
      let decider = Decider(rules: DecisionRules()) { action in
        ActionMessage(
          id: action.id, routingKey: "a.b", priority: action.priority, expiresAt: action.expiresAt, causeID: action.causeID, traceparent: nil, body: [])
      }
      let settings = try PostgresSettings(conninfo: url, role: "journey_adapter")
      let ledger = try await PostgresLedger.open(settings, lanes: 2, decider: decider, clock: SystemClock())
      let result: Result<Void, any Error>
      do { result = .success(try await body(ledger, other)) } catch { result = .failure(error) }
      await ledger.close()
      try result.get()
    }
  }

  private func event(_ id: String, of client: Int = 0) -> StagedEvent { event(id, of: ClientReference(id: Self.clients[client])) }

  private func event(_ id: String, of client: ClientReference, org: UUID = org) -> StagedEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let event = JourneyEvent(
      orgID: org, source: "crm", sourceEventID: id, client: client, type: "note_added", stage: .billing, occurredAt: now,
      metadata: Array("{}".utf8))
    return StagedEvent(id: UUID.v7(at: now, using: &random), event: event, signals: Signals())
  }

  private func codes(_ receipt: CommitReceipt) -> [String] {
    receipt.results.map { result in
      switch result {
      case .stored: "stored"
      case .duplicate: "duplicate"
      case .deferred: "deferred"
      case .met: "met"
      case .rejected(let rejection): rejection.code.rawValue
      }
    }
  }

  /// Runs `body` while another transaction has executed a statement. It commits once somebody waits for its locks.
  private func withTransaction(_ statement: String, on other: PostgresWorker, _ body: () async throws -> Void) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    async let transaction: Void = other.perform { connection in
      defer { start.finish() }
      try connection.execute("BEGIN")
      try connection.execute(statement)
      start.finish()
      try connection.execute(
        """
        DO $$ BEGIN
          WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))) LOOP PERFORM pg_sleep(0.01); END LOOP;
        END $$
        """)
      try connection.execute("COMMIT")
    }
    for await _ in started {}
    try await body()
    try await transaction
  }

  /// Runs `body` while another transaction that has executed a statement stays open.
  private func withOpenTransaction(_ statement: String, on other: PostgresWorker, _ body: () async throws -> Void) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let gate = DispatchSemaphore(value: 0)
    async let transaction: Void = other.perform { connection in
      defer { start.finish() }
      try connection.execute("BEGIN")
      try connection.execute(statement)
      start.finish()
      gate.wait()
      try connection.execute("COMMIT")
    }
    for await _ in started {}
    let result: Result<Void, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    gate.signal()
    try await transaction
    try result.get()
  }

  @Test func `an event that is there already, or comes twice, is stored once`() async throws {
    try await withLedger { ledger, other in
      let first = try await ledger.take([event("b"), event("a"), event("b", of: 1), event("a")])
      #expect(codes(first) == ["stored", "stored", "duplicate", "duplicate"])
      // Equivalent to Unicode, yet other bytes.
      let second = try await ledger.commit(EventBatch(events: [event("a"), event("\u{e9}"), event("e\u{301}"), event("b", of: 1), event("\u{e9}")]))
      #expect(codes(second) == ["duplicate", "stored", "stored", "duplicate", "duplicate"])
      #expect(try await other.rows("SELECT count(*), count(DISTINCT source_event_id) FROM client_journey_events") == ["4|4"])
    }
  }

  @Test func `an event of a client that is met for the first time is left for another batch, and holds up none of this one`() async throws {
    try await withLedger { ledger, other in
      _ = try await ledger.take([event("1")])
      let events = [event("2"), event("3", of: 1), event("4", of: ClientReference(externalID: "nobody")), event("5", of: 1)]
      #expect(codes(try await ledger.commit(EventBatch(events: events))) == ["stored", "met", "unknown_client", "met"])
      #expect(codes(try await ledger.commit(EventBatch(events: events))) == ["duplicate", "stored", "unknown_client", "stored"])
      #expect(try await other.rows("SELECT count(*) FROM client_journey_events") == ["4"])
    }
  }

  @Test func `a client that cannot be met comes again with others, and alone is an error`() async throws {
    try await withLedger { ledger, other in
      _ = try await ledger.take([event("1")])
      try await other.run("REVOKE INSERT ON journey_client_state FROM journey_adapter")
      #expect(codes(try await ledger.commit(EventBatch(events: [event("2"), event("3", of: 1)]))) == ["stored", "deferred"])
      do throws(LedgerError) {
        _ = try await ledger.commit(EventBatch(events: [event("3", of: 1)]))
        Issue.record("a state was added without the right to")
      } catch {
        #expect(error.kind == .permanent, "\(error)")
      }
      try await other.run("GRANT INSERT ON journey_client_state TO journey_adapter")
      #expect(codes(try await ledger.take([event("3", of: 1)])) == ["stored"])
    }
  }

  @Test(.timeLimit(.minutes(5))) func `what is committed is not held up by a client that the host application is still writing about`() async throws {
    try await withLedger { ledger, other in
      _ = try await ledger.take([event("1")])
      let insert = """
        INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, occurred_at)
        VALUES (gen_random_uuid(), '\(Self.clients[1])', '\(Self.org)', 'retention', 'renewed', now() + interval '1 hour')
        """
      try await withOpenTransaction(insert, on: other) {
        let receipt = try await ledger.commit(EventBatch(events: [event("2"), event("3", of: 1)]))
        #expect(codes(receipt) == ["stored", "deferred"])
      }
      #expect(codes(try await ledger.commit(EventBatch(events: [event("3", of: 1)]))) == ["stored"])
      #expect(try await other.rows("SELECT stage FROM journey_client_state WHERE client_id = '\(Self.clients[1])'") == ["retention"])
    }
  }

  @Test(.timeLimit(.minutes(5))) func `a client that another transaction works on is passed over, or waited for`() async throws {
    try await withLedger { ledger, other in
      _ = try await ledger.take([event("1"), event("2", of: 1)])
      let lock = "SELECT 1 FROM journey_client_state WHERE client_id = '\(Self.clients[0])' FOR UPDATE"
      try await withTransaction(lock, on: other) {
        let events = [event("3"), event("4", of: 1), event("1")]
        let first = try await ledger.commit(EventBatch(events: events))
        #expect(codes(first) == ["deferred", "stored", "deferred"])
        let second = try await ledger.commit(EventBatch(events: events, waitsForClients: true))
        #expect(codes(second) == ["stored", "duplicate", "duplicate"])
      }
      #expect(try await other.rows("SELECT count(*) FROM client_journey_events") == ["4"])
    }
  }

  @Test(.timeLimit(.minutes(5))) func `an event that another transaction stores for another client meanwhile is not stored twice`() async throws {
    try await withLedger { ledger, other in
      _ = try await ledger.take([event("1"), event("2", of: 1)])
      let insert = """
        INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, source, source_event_id)
        VALUES (gen_random_uuid(), '\(Self.clients[1])', '\(Self.org)', 'billing', 'note_added', 'crm', '3')
        """
      let batch = EventBatch(events: [event("3"), event("4")])
      try await withTransaction(insert, on: other) {
        do throws(LedgerError) {
          _ = try await ledger.commit(batch)
          Issue.record("the event was stored twice")
        } catch {
          #expect(error.kind == .transient, "\(error)")
        }
      }
      let again = try await ledger.commit(batch)
      #expect(codes(again) == ["duplicate", "stored"])
    }
  }

  @Test(.timeLimit(.minutes(5))) func `an event that the host application is writing is part of a client's first evaluation`() async throws {
    try await withLedger { ledger, other in
      let insert = """
        INSERT INTO client_journey_events (id, client_id, org_id, stage, event_type, occurred_at)
        VALUES (gen_random_uuid(), '\(Self.clients[0])', '\(Self.org)', 'retention', 'renewed', now() + interval '1 hour')
        """
      try await withTransaction(insert, on: other) {
        let first = try await ledger.take([event("1")])
        #expect(codes(first) == ["stored"])
      }
      #expect(try await other.rows("SELECT stage FROM journey_client_state WHERE client_id = '\(Self.clients[0])'") == ["retention"])
    }
  }

  @Test(.timeLimit(.minutes(5))) func `a commit does not wait for one client for ever`() async throws {
    try await withLedger { ledger, other in
      _ = try await ledger.take([event("1")])
      try await withOpenTransaction("SELECT 1 FROM journey_client_state FOR UPDATE", on: other) {
        let waiting = try await ledger.commit(EventBatch(events: [event("2")], waitsForClients: true))
        #expect(codes(waiting) == ["deferred"])
      }
      let again = try await ledger.commit(EventBatch(events: [event("2")]))
      #expect(codes(again) == ["stored"])
    }
  }

  @Test func `however a batch names its clients, each event goes to the right one, and to none of another organisation`() async throws {
    try await withLedger { ledger, other in
      let (foreignOrg, foreignClient) = (UUID(), UUID())
      try await other.run("INSERT INTO organizations (id, name) VALUES ('\(foreignOrg)', 'Blau')")
      try await other.run("INSERT INTO contacts (id, org_id, name) VALUES ('\(foreignClient)', '\(foreignOrg)', 'Bob')")
      for (org, id, client) in [(Self.org, "crm-0", Self.clients[0]), (Self.org, "crm-1", Self.clients[1]), (foreignOrg, "crm-0", foreignClient)] {
        try await other.run("INSERT INTO journey_identities (org_id, source, external_id, client_id) VALUES ('\(org)', 'crm', '\(id)', '\(client)')")
      }
      func batch(_ round: Int) -> [StagedEvent] {
        [
          event("\(round)a"), event("\(round)b", of: ClientReference(externalID: "crm-0")), event("\(round)c", of: ClientReference(externalID: "crm-1")),
          event("\(round)d", of: ClientReference(externalID: "crm-0"), org: foreignOrg),
          event("\(round)e", of: ClientReference(id: foreignClient), org: foreignOrg),
          // Its client is locked for the two before it.
          event("\(round)f", of: ClientReference(id: foreignClient)),
          event("\(round)g", of: ClientReference(id: Self.clients[0]), org: foreignOrg),
          event("\(round)h", of: ClientReference(externalID: "nobody")),
          // An id in the form of a client's own that only the source knows.
          event("\(round)i", of: ClientReference(id: UUID(), externalID: "crm-1")),
          event("\(round)j", of: ClientReference(id: foreignClient, externalID: "crm-1")),
        ]
      }
      // Clients that were not met yet, then clients that are known.
      for round in 1...2 {
        let receipt = try await ledger.take(batch(round))
        #expect(
          codes(receipt)
            == ["stored", "stored", "stored", "stored", "stored", "foreign_client", "foreign_client", "unknown_client", "stored", "stored"])
      }
      let wanted: [(UUID, UUID, Int)] = [(Self.clients[0], Self.org, 4), (Self.clients[1], Self.org, 6), (foreignClient, foreignOrg, 4)]
      for (client, org, count) in wanted {
        let stored = try await other.rows("SELECT org_id, count(*) FROM client_journey_events WHERE client_id = '\(client)' GROUP BY org_id")
        #expect(stored == ["\(org.uuidString.lowercased())|\(count)"])
      }
    }
  }
}

extension PostgresLedger {
  /// Commits events, and those again whose clients it has just met, as a lane does.
  func take(_ events: [StagedEvent], published: [UUID] = []) async throws(LedgerError) -> CommitReceipt {
    var receipt = try await commit(EventBatch(events: events, published: published))
    let again = receipt.results.indices.filter { if case .met = receipt.results[$0] { true } else { false } }
    guard !again.isEmpty else { return receipt }
    let rest = try await take(again.map { events[$0] })
    for (index, result) in zip(again, rest.results) { receipt.results[index] = result }
    let actions = [receipt.outbox, rest.outbox].compactMap(\.self)
    receipt.outbox = actions.last.map { OutboxBatch(id: $0.id, actions: actions.flatMap(\.actions)) }
    return receipt
  }
}
