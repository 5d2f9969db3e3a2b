import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// Faults of the network: resets, silence, refused connections, slowness.
extension Scenario {
  static var networks: [Scenario] {
    [
      Scenario("connection-lost-anywhere", short: 9, long: 90) { row, rounds, random in
        try await lost(row, rounds, &random)
      },
      Scenario("network-cut", short: 3, long: 30, cut),
      Scenario("half-open", short: 2, long: 10, halfOpen),
      Scenario("slow-network", short: 1, long: 3, slow),
      Scenario("memory-alarm", long: 5, memoryAlarm),
    ]
  }

  // Short reconnect delays: repeated short connections would make the delays grow.
  private static let impatient = [
    "AMQP_RECONNECT_SECONDS": "1", "DATABASE_RECONNECT_SECONDS": "1", "PIPELINE_RETRY_SECONDS": "1",
  ]

  /// The connection is reset when a point is passed. The program keeps running.
  private static func lost(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: max(200, rounds * 44), isProxied: true, settings: impatient), &random) {
      faultRun in
      let program = try await faultRun.serve()
      for round in 0..<rounds {
        let point = Point.ofWorkload[round % Point.ofWorkload.count]
        let proxy = try #require(point.wire == .amqp ? faultRun.amqp : faultRun.postgres)
        let before = proxy.fired
        proxy.set(Trap(point: point) { proxy.cut() })
        try await faultRun.publish(40)
        try await eventually("a cut at \(point.rawValue)", state: { program.standardError }) { proxy.fired > before }
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
  }

  private static func cut(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(
      row, .init(events: max(300, rounds * 60), profile: .defaultProfile, isProxied: true, settings: impatient), &random
    ) { faultRun in
      let program = try await faultRun.serve()
      for round in 0..<rounds {
        try await faultRun.publish(55)
        try await faultRun.progress(by: 1...40)
        let hit = [[faultRun.amqp], [faultRun.postgres], [faultRun.amqp, faultRun.postgres]][round % 3].compactMap(
          \.self)
        let isRefused = Bool.random(using: &faultRun.random)
        for proxy in hit {
          if isRefused { proxy.weather = .refusing }
          proxy.cut()
        }
        if isRefused {
          try await Task.sleep(for: .milliseconds(Int.random(in: 100...1500, using: &faultRun.random)))
          for proxy in hit { proxy.weather = .fair }
        }
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
  }

  /// No data passes and no connection is closed, so only timeouts detect it.
  private static func halfOpen(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let settings = [
      "DATABASE_STATEMENT_SECONDS": "2", "DATABASE_LOCK_SECONDS": "2", "DATABASE_ANSWER_SECONDS": "3",
      "DATABASE_IDLE_TRANSACTION_SECONDS": "4",
      "AMQP_RECONNECT_SECONDS": "2",
    ]
    let setup = FaultRun.Setup(
      events: max(300, rounds * 100), isProxied: true, settings: settings,
      brokerQuery: "?heartbeat=1&connection_timeout=2000")
    try await FaultRun.run(row, setup, &random) { faultRun in
      let program = try await faultRun.serve()
      for round in 0..<rounds {
        try await faultRun.publish(95)
        try await faultRun.progress(by: 1...30)
        let proxy = try #require(round % 2 == 0 ? faultRun.amqp : faultRun.postgres)
        proxy.weather = .silent
        let wanted = round % 2 == 0 ? "the ingest queue is lost" : "the database does not take a batch"
        let known = program.standardError.occurrences(of: wanted)
        try await eventually("\(wanted), once more", within: .seconds(20), state: { program.standardError }) {
          program.standardError.occurrences(of: wanted) > known
        }
        proxy.weather = .fair
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
  }

  private static func slow(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for _ in 0..<rounds {
      let delay = Duration.milliseconds(Int.random(in: 5...30, using: &random))
      let bytes = Int.random(in: 200...4000, using: &random)
      try await FaultRun.run(row, .init(events: 150, isProxied: true), &random) { faultRun in
        try await faultRun.serve()
        faultRun.amqp?.weather = .slow(delay: delay, bytes: bytes)
        faultRun.postgres?.weather = .slow(delay: delay, bytes: bytes)
        try await faultRun.publish()
        try await faultRun.progress(by: 100...100)
        faultRun.amqp?.weather = .fair
        faultRun.postgres?.weather = .fair
      }
    }
  }

  /// The broker raises a memory alarm: actions wait, and are published afterwards.
  private static func memoryAlarm(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let servers = try await TestServers.dedicated()
    try await FaultRun.run(row, .init(events: rounds * 200, servers: servers), &random) { faultRun in
      let program = try await faultRun.serve()
      for _ in 0..<rounds {
        let blocked = program.standardError.occurrences(of: "takes no messages for now")
        try await faultRun.publish(60)
        try await faultRun.progress(by: 1...40)
        // The alarm blocks the source as well, so the events must be in the queue before.
        program.send(SIGSTOP)
        try await faultRun.publish(130)
        try await servers.erlang("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")
        program.send(SIGCONT)
        try await eventually("a blocked publisher", state: { program.standardError }) {
          program.standardError.occurrences(of: "takes no messages for now") > blocked
        }
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...2000, using: &faultRun.random)))
        try await servers.erlang("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")
        try await faultRun.progress(by: 20...60)
      }
    }
    try await servers.stop()
  }
}

extension String {
  func occurrences(of text: String) -> Int { components(separatedBy: text).count - 1 }
}
