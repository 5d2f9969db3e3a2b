import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Events arrive twice, in any order, with wrong clocks, before their clients.
extension Scenario {
  static var inputs: [Scenario] {
    [
      Scenario("duplicates-of-everything", short: 1, long: 5, duplicates),
      Scenario("shuffled-everything", short: 2, long: 8, shuffled),
      Scenario("clock-skew", short: 1, long: 5, skewed),
      Scenario("unknown-client-comes-later", short: 1, long: 3, clientsLater),
    ]
  }

  /// Every message three times, to two instances.
  private static func duplicates(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for round in 0..<rounds {
      try await FaultRun.run(row, .init(events: 400, profile: round % 2 == 0 ? .literal : .defaultProfile), &random) {
        faultRun in
        try await faultRun.serve()
        try await faultRun.serve()
        try await faultRun.publish(200)
        try await faultRun.publishAgain()
        try await faultRun.publish()
        try await faultRun.publishAgain()
      }
    }
  }

  /// The same workload in different orders, batch sizes and numbers of instances: the clients' states are equal every
  /// time.
  private static func shuffled(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let fixed = Workload(events: 400, &random)
    var states: Set<[[String]]> = []
    var setup = FaultRun.Setup(events: 1)
    setup.change = { workload, _ in workload = fixed }
    for round in 0..<max(2, rounds) {
      try await FaultRun.run(row, setup, &random) { faultRun in
        faultRun.random = SeededRandom(stream: UInt64(1000 + round))
        faultRun.shuffle()
        let batch = Int.random(in: 1...200, using: &faultRun.random)
        for _ in 0...(round % 3) { try await faultRun.serve(["PIPELINE_BATCH_SIZE": "\(batch)"]) }
        while faultRun.hasMore {
          try await faultRun.publish(Int.random(in: 1...150, using: &faultRun.random), unmappable: 0)
        }
        try await faultRun.environment.settles(events: faultRun.workload.events.count, faultRun.programs.first)
        states.insert(
          try await Invariants(faultRun.environment, faultRun.workload, faultRun.setup.profile).fingerprint())
      }
    }
    #expect(states.count == 1, "JOURNEY_TEST_SEED=\(SeededRandom.seed)")
  }

  /// Sources whose clocks are hours ahead, within the limit, or days behind.
  private static func skewed(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for round in 0..<rounds {
      let hours = Double.random(in: 1...20, using: &random)
      var setup = FaultRun.Setup(events: 400, profile: round % 2 == 0 ? .literal : .defaultProfile)
      setup.change = { workload, random in
        let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
        for index in workload.events.indices {
          switch workload.events[index].source {
          case "/crm/acme" where random.chance(30):
            workload.events[index].at = now + Int64(hours * 3_600_000_000) + Int64(index)
          case "/support": workload.events[index].at -= Int64(hours * 24 * 3_600_000_000)
          default: break
          }
        }
      }
      try await FaultRun.run(row, setup, &random) { faultRun in
        try await faultRun.serve()
        try await faultRun.publish()
      }
    }
  }

  /// Events arrive before their client exists and wait in the retry queues. The program is killed while they wait.
  private static func clientsLater(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for _ in 0..<rounds {
      let setup = FaultRun.Setup(
        events: 200, settings: ["RETRY_UNKNOWN_CLIENT": "true", "RETRY_TIERS": "10s", "RETRY_ATTEMPTS_PER_TIER": "20"])
      try await FaultRun.run(row, setup, &random) { faultRun in
        // Without clients that their own lead_created event creates.
        let late = faultRun.workload.clients.filter { !$0.types.contains("lead_created") }.prefix(20)
        let ids = late.map { "'\($0.id)'" }.joined(separator: ",")
        try await faultRun.environment.execute("DELETE FROM contacts WHERE id IN (\(ids))")
        let waiting = Set(late.map(\.id))
        let known = faultRun.workload.events.count { !waiting.contains($0.client.id) }
        let first = try faultRun.start()
        try await faultRun.publish()
        try await faultRun.progress(by: 1...50)
        first.send(SIGKILL)
        _ = await first.ended(within: .seconds(10))
        let second = try await faultRun.serve()
        try await eventually("the events of known clients", state: { second.standardError }) {
          try await faultRun.stored() == known
        }
        let rows = late.map { "('\($0.id)', '\($0.org)', 'Client', '\($0.id)@example.com', \($0.aiScore ?? "NULL"))" }
        try await faultRun.environment.execute(
          "INSERT INTO contacts (id, org_id, name, email, ai_score) VALUES \(rows.joined(separator: ","))")
      }
    }
  }
}
