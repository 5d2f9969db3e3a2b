import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Faults of the database: crashes, terminated sessions, failover, freezes.
extension Scenario {
  static var databases: [Scenario] {
    [
      Scenario("database-stopped-at-once", long: 5) { row, rounds, random in
        try await crashed(row, rounds, &random) { try await $0.stop(.postgres, immediately: true) }
      },
      Scenario("database-killed", long: 5) { row, rounds, random in
        try await crashed(row, rounds, &random) { try await $0.kill(.postgres) }
      },
      Scenario("commitUnknown", short: 4, long: 40, sessionsEnded),
      Scenario("pgFailover", short: 1, long: 3, failedOver),
      Scenario("poisonRow", short: 1, long: 3, poisonRow),
      Scenario("slowSink", short: 1, long: 1, slowSink),
    ]
  }

  /// The database crashes under load and comes back after recovery.
  private static func crashed(
    _ row: Row, _ rounds: Int, _ random: inout SeededRandom, _ inject: (TestServers) async throws -> Void
  ) async throws {
    let servers = try await TestServers.dedicated()
    try await FaultRun.run(row, .init(events: rounds * 200, servers: servers), &random) { faultRun in
      let program = try await faultRun.serve()
      for _ in 0..<rounds {
        try await faultRun.publish(120)
        try await faultRun.progress(by: 1...80)
        try await inject(servers)
        try await faultRun.publish(75)
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...1500, using: &faultRun.random)))
        try await servers.start(.postgres)
        try await faultRun.progress(by: 40...60)
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
    try await servers.stop()
  }

  /// The server terminates the session around COMMIT: before it arrives, or after it is done but before its answer
  /// arrives.
  private static func sessionsEnded(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: max(200, rounds * 44), isProxied: true), &random) { faultRun in
      let program = try await faultRun.serve()
      let proxy = try #require(faultRun.postgres)
      let environment = faultRun.environment
      for round in 0..<rounds {
        let before = proxy.fired
        let point: Point = round % 2 == 0 ? .beforeCommit : .afterCommit
        proxy.set(Trap(point: point, countdown: Int.random(in: 1...2, using: &faultRun.random)) {})
        try await faultRun.publish(40)
        try await eventually("a commit held up", state: { program.standardError }) { proxy.fired > before }
        // Before COMMIT all sessions are in a transaction; after it the held session is idle.
        try await environment.execute(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'journey'"
        )
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
  }

  /// The primary is killed and its synchronous standby promoted; DATABASE_URL lists both.
  private static func failedOver(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for _ in 0..<rounds {
      let servers = try await TestServers.replicated(hasStandby: true)
      try await FaultRun.run(row, .init(events: 500, servers: servers), &random) { faultRun in
        let program = try await faultRun.serve()
        try await faultRun.publish(250)
        try await faultRun.progress(by: 20...200)
        try await servers.kill(.postgres)
        try await faultRun.publish(100)
        // The standby is read-only: nothing is stored until it is promoted.
        try await eventually("a failed commit", state: { program.standardError }) {
          program.standardError.contains("the database does not take a batch")
        }
        try await servers.promoteStandby()
        try await faultRun.progress(by: 50...80)
        #expect(program.ending == nil, "\(program.standardError)")
      }
      try await servers.stop()
    }
  }

  /// The database refuses one event among five hundred. Only that event becomes a dead letter.
  private static func poisonRow(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for _ in 0..<rounds {
      let settings = ["PIPELINE_BATCH_SIZE": "500", "INGEST_PREFETCH": "1000", "PIPELINE_WORKERS": "1"]
      try await FaultRun.run(row, .init(events: 499, settings: settings), &random) { faultRun in
        try await faultRun.environment.execute(
          "ALTER TABLE client_journey_events ADD CONSTRAINT harmless CHECK (source_event_id NOT LIKE 'poison%')")
        try await faultRun.publish(.max, poisoned: true)
        try await faultRun.serve()
      }
    }
  }

  /// The database is frozen for many heartbeats. The broker's connections stay open, and no message is delivered twice.
  private static func slowSink(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let servers = try await TestServers.dedicated()
    let setup = FaultRun.Setup(
      events: rounds * 300, servers: servers, brokerQuery: "?heartbeat=\(FaultSettings.isLong ? 5 : 1)")
    try await FaultRun.run(row, setup, &random) { faultRun in
      let program = try await faultRun.serve()
      for _ in 0..<rounds {
        try await faultRun.publish(200)
        try await faultRun.progress(by: 1...60)
        try await servers.pause(.postgres)
        // About twelve heartbeats.
        try await Task.sleep(for: .seconds(FaultSettings.isLong ? 300 : 12))
        try await servers.resume(.postgres)
        try await faultRun.progress(by: 50...50)
      }
      #expect(!program.standardError.contains("is lost"), "\(program.standardError)")
    }
    try await servers.stop()
  }
}
