import AMQPClient
import Foundation
import Glibc
import PostgresClient
import TestServers
import Testing

@testable import TestSupport

/// Faults of the host application, which owns the tables: it locks rows, deletes them, and has faulty triggers; its
/// members write unusual values.
extension Scenario {
  static var hosts: [Scenario] {
    [
      Scenario("host-locks", short: 1, long: 3, locked),
      Scenario("host-deletes", short: 1, long: 3, deleted),
      Scenario("permanent-error", short: 2, long: 4, permanentError),
      Scenario("large-bodies-under-outage", short: 1, long: 3, largeBodies),
      Scenario("broken-outbox-row", short: 1, long: 3, brokenOutboxRow),
    ]
  }

  /// The host locks two clients and an organisation. All other events are stored meanwhile, and these after the lock is
  /// released.
  private static func locked(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for _ in 0..<rounds {
      // Deferred events stay in the adapter, so the prefetch has to leave capacity beside them.
      try await FaultRun.run(row, .init(events: 600, settings: ["INGEST_PREFETCH": "2000"], mayGiveUp: false), &random)
      { faultRun in
        let program = try await faultRun.serve()
        let environment = faultRun.environment, workload = faultRun.workload
        // Some clients are known by then; others are new when they are locked.
        try await faultRun.publish(60)
        try await faultRun.progress(by: 30...60)
        let org = workload.orgs[3], clients = workload.clients.filter { $0.org != org }.prefix(2).map(\.id)
        let isHeld = { (event: WorkloadEvent) in event.client.org == org || clients.contains(event.client.id) }
        let session = try await HostSession.holding(
          environment,
          [
            "SELECT FROM contacts WHERE id IN ('\(clients[0])', '\(clients[1])') ORDER BY id FOR UPDATE",
            "SELECT FROM organizations WHERE id = '\(org)' FOR UPDATE",
          ])
        let start = ContinuousClock.now
        let stored =
          "SELECT count(*) FILTER (WHERE NOT held), count(*) FILTER (WHERE held) FROM (SELECT org_id = '\(org)' OR client_id IN "
          + "('\(clients[0])', '\(clients[1])') AS held FROM client_journey_events) e"
        let before = try #require(Int(try await environment.rows(stored)[0][1]))
        try await faultRun.publish()
        let free = workload.events.count { !isHeld($0) }
        try await eventually(
          "\(free) events of clients that are not locked", within: .seconds(20), state: { faultRun.logs }
        ) {
          Int(try await environment.rows(stored)[0][0]) == free
        }
        let rest = .seconds(FaultSettings.isLong ? 60 : 5) - start.duration(to: .now)
        if rest > .zero { try await Task.sleep(for: rest) }
        #expect(
          Int(try await environment.rows(stored)[0][1]) == before, "events of locked rows must not be stored")
        try await session.letGo()
        try await environment.settles(events: workload.events.count, within: .seconds(30), program)
        #expect(program.ending == nil, "\(program.standardError)")
      }
    }
  }

  /// The host deletes organisations and thousands of clients while their events arrive. Each delete succeeds, and no
  /// other transaction waits.
  private static func deleted(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for _ in 0..<rounds {
      try await FaultRun.run(row, .init(events: 600, mayGiveUp: false), &random) { faultRun in
        let program = try await faultRun.serve()
        let environment = faultRun.environment, home = faultRun.workload.orgs[0]
        let orgs = (0..<(FaultSettings.isLong ? 12 : 5)).map { _ in faultRun.random.uuid() }
        let count = FaultSettings.isLong ? 5000 : 2000
        try await environment.execute(
          """
          INSERT INTO organizations (id, name) SELECT unnest('{\(orgs.joined(separator: ","))}'::uuid[]), 'Doomed';
          INSERT INTO contacts (org_id, name, email)
          SELECT o, 'Doomed', gen_random_uuid() || '@example.com' FROM unnest('{\(orgs.joined(separator: ","))}'::uuid[]) o, generate_series(1, 40);
          INSERT INTO contacts (org_id, name, email) SELECT '\(home)', 'Doomed', gen_random_uuid() || '@example.com' FROM generate_series(1, \(count))
          """)
        let doomed = try await environment.rows(
          "SELECT id, org_id FROM contacts WHERE name = 'Doomed' ORDER BY random()"
        ).map { (id: $0[0], org: $0[1]) }
        faultRun.outsiders = Set(doomed.map(\.id))
        func events(_ clients: some Sequence<(id: String, org: String)>, _ name: String) -> [OutboundMessage] {
          clients.enumerated().map { .doomed("\(name)_\($0)", client: $1.id, org: $1.org) }
        }
        // Many events of these clients are in progress during the delete.
        try await faultRun.deliver(
          events(doomed.filter { $0.org != home } + doomed.filter { $0.org == home }.prefix(400), "during"))
        async let deletes: Void = {
          for org in orgs { try await environment.execute("DELETE FROM organizations WHERE id = '\(org)'") }
          for _ in 0..<4 {
            try await environment.execute(
              "DELETE FROM contacts WHERE id IN (SELECT id FROM contacts WHERE org_id = '\(home)' AND name = 'Doomed' ORDER BY id LIMIT \(count / 4))"
            )
          }
        }()
        while faultRun.hasMore {
          try await faultRun.publish(100)
          try await faultRun.deliver(
            events(doomed.shuffled(using: &faultRun.random).prefix(100), "meanwhile\(faultRun.sentEvents)"))
          try await faultRun.stored(faultRun.sentEvents, within: .seconds(20))
        }
        try await deletes
        let last = events(doomed.prefix(100), "after")
        try await faultRun.deliver(last)
        try await eventually("\(last.count) dead letters", state: { faultRun.logs }) {
          try await environment.number("SELECT count(*) FROM journey_dead_letters WHERE message_id LIKE 'after%'")
            == last.count
        }
        let codes = try await environment.rows(
          "SELECT DISTINCT code FROM journey_dead_letters WHERE message_id NOT LIKE 'unmappable%'"
        ).map { $0[0] }
        #expect(Set(codes).isSubset(of: ["unknown_client", "unknown_organization"]), "\(codes)")
        #expect(!program.standardError.contains("deadlock"), "\(program.standardError)")
        #expect(program.ending == nil, "\(program.standardError)")
      }
    }
  }

  /// A trigger of the host lacks a privilege, for all or for some events, and is fixed while the adapter runs. The
  /// program is killed meanwhile, and restarted whenever it has ended.
  private static func permanentError(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for round in 0..<rounds {
      let isForAll = round % 2 == 0
      try await FaultRun.run(row, .init(events: 500, mayGiveUp: false), &random) { faultRun in
        let environment = faultRun.environment
        try await faultRun.serve()
        try await faultRun.publish(100)
        try await faultRun.stored(faultRun.sentEvents, within: .seconds(30))
        try await environment.execute(
          """
          CREATE TABLE host_secrets (id int); REVOKE ALL ON host_secrets FROM PUBLIC;
          CREATE FUNCTION host_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM count(*) FROM host_secrets; RETURN NEW; END $$;
          CREATE TRIGGER host_trigger BEFORE INSERT ON client_journey_events FOR EACH ROW
          \(isForAll ? "" : "WHEN (NEW.source_event_id LIKE 'culprit%')") EXECUTE FUNCTION host_trigger()
          """)
        // A client outside the workload, which is deleted in the end.
        let culprit = faultRun.random.uuid()
        faultRun.outsiders = [culprit]
        try await environment.execute(
          "INSERT INTO contacts (id, org_id, name, email) VALUES ('\(culprit)', '\(faultRun.workload.orgs[0])', 'C', 'c@example.com')"
        )
        let culprits =
          isForAll
          ? []
          : (0..<5).map { OutboundMessage.doomed("culprit_\($0)", client: culprit, org: faultRun.workload.orgs[0]) }
        let before = faultRun.sentEvents
        try await faultRun.publish(200)
        try await faultRun.deliver(culprits)
        try await faultRun.supervised(kills: FaultSettings.isLong ? 12 : 5, starts: 30) {
          try await isForAll
            ? environment.number("SELECT count(*) FROM client_journey_events") == before
            : faultRun.stored() >= faultRun.sentEvents
        }
        if isForAll { try await environment.execute("GRANT SELECT ON host_secrets TO journey_adapter") }
        try await faultRun.publish(100)
        try await faultRun.supervised(kills: 0, starts: 30) { try await faultRun.stored() >= faultRun.sentEvents }
        if !isForAll {
          // The failing events become dead letters or wait; the others are stored all the time.
          while faultRun.hasMore {
            try await faultRun.publish(20, unmappable: 0)
            try await faultRun.stored(faultRun.sentEvents, within: .seconds(30))
          }
          try await environment.execute("GRANT SELECT ON host_secrets TO journey_adapter")
          let settled =
            "SELECT (SELECT count(*) FROM journey_dead_letters WHERE message_id LIKE 'culprit%' AND code = 'refused_by_database') "
            + "+ (SELECT count(*) FROM client_journey_events WHERE source_event_id LIKE 'culprit%')"
          try await eventually("dead letters of what was at fault, or its events", state: { faultRun.logs }) {
            try await environment.number(settled) == culprits.count
          }
        }
        try await environment.execute("DELETE FROM contacts WHERE id = '\(culprit)'")
      }
    }
  }

  /// More bytes than the adapter's buffer holds, while the database is frozen. The messages wait, and none is requeued
  /// until the broker dead-letters it.
  private static func largeBodies(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let servers = try await TestServers.dedicated()
    let settings = ["INGEST_PREFETCH": "2000", "PIPELINE_BATCH_SIZE": "500"]
    let setup = FaultRun.Setup(
      events: rounds * 200, servers: servers, settings: settings, bodyBytes: 878 << 10, mayGiveUp: false)
    try await FaultRun.run(row, setup, &random) { faultRun in
      let program = try await faultRun.serve()
      for _ in 0..<rounds {
        try await servers.pause(.postgres)
        try await faultRun.publish(200)
        try await Task.sleep(for: .seconds(5))
        try await servers.resume(.postgres)
        try await faultRun.stored(faultRun.sentEvents, within: .seconds(60))
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
    try await servers.stop()
  }

  /// Members change columns of unpublished actions, and make one of them unreadable. All others are published as they
  /// were decided.
  private static func brokenOutboxRow(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for _ in 0..<rounds {
      try await FaultRun.run(row, .init(events: 300, mayGiveUp: false), &random) { faultRun in
        let environment = faultRun.environment
        var program = try await faultRun.serve()
        try await environment.limitActionQueues()
        try await faultRun.publish(200)
        try await faultRun.stored(faultRun.sentEvents, within: .seconds(30))
        let columns = "score, risk_level, recommended_actions, generated_at"
        let unpublished = "outbox_id IN (SELECT id FROM journey_outbox WHERE confirmed_at IS NULL)"
        try await eventually("unpublished actions", state: { faultRun.logs }) {
          try await environment.number("SELECT count(*) FROM client_journey_scores WHERE \(unpublished)") >= 20
        }
        // Killed, so that unpublished actions are read from the tables.
        program.send(SIGKILL)
        _ = await program.ended(within: .seconds(10))
        try await environment.execute(
          "CREATE TABLE host_copy AS SELECT id, \(columns), explanation FROM client_journey_scores WHERE \(unpublished)"
        )
        let ids = try await environment.rows("SELECT id FROM host_copy ORDER BY id").map { $0[0] }
        try await environment.write(
          asMemberOf: faultRun.workload.orgs,
          "UPDATE client_journey_scores SET score = 999 WHERE id = ANY('{\(ids.joined(separator: ","))}')")
        try await environment.write(
          asMemberOf: faultRun.workload.orgs,
          "UPDATE client_journey_scores SET recommended_actions = NULL, risk_level = NULL WHERE id = ANY('{\(ids.prefix(5).joined(separator: ","))}')"
        )
        let broken = ids[ids.count / 2]
        try await environment.execute(
          "UPDATE client_journey_scores SET explanation = '{\"cause\": 7}' WHERE id = '\(broken)'")
        program = try await faultRun.serve()
        try await environment.liftLimit()
        try await eventually("all actions but the broken one published", within: .seconds(60), state: { faultRun.logs })
        {
          let left = try await environment.rows("SELECT id FROM journey_actions WHERE published_at IS NULL")
          return left.isEmpty || left == [[broken]]
        }
        // After the repair it is published as well, and all actions are compared with the decisions.
        try await environment.execute(
          """
          UPDATE client_journey_scores s SET (\(columns), explanation) = (c.score, c.risk_level, c.recommended_actions, c.generated_at, c.explanation)
          FROM host_copy c WHERE c.id = s.id;
          UPDATE journey_outbox SET next_attempt_at = now() WHERE confirmed_at IS NULL
          """)
        try await faultRun.publish()
        try await environment.settles(events: faultRun.sentEvents, within: .seconds(60), program)
        #expect(program.ending == nil, "\(program.standardError)")
      }
    }
  }
}
