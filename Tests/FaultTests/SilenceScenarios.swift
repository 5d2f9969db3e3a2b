import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// Clients become silent while events of others arrive. Each is evaluated over time exactly once, whatever happens to
/// the instances and their servers.
extension Scenario {
  static var silences: [Scenario] {
    [
      Scenario("silent-clients-three-instances-killed", short: 4, long: 30) { row, rounds, random in
        try await silent(row, rounds, servers: nil, &random) { faultRun in
          for proxy in [faultRun.amqp, faultRun.postgres] { proxy?.weather = .refusing }
          for proxy in [faultRun.amqp, faultRun.postgres] { proxy?.cut() }
          try await Task.sleep(for: .seconds(1))
          for proxy in [faultRun.amqp, faultRun.postgres] { proxy?.weather = .fair }
        }
      },
      Scenario("silent-clients-database-killed", long: 8) { row, rounds, random in
        try await silent(row, rounds, servers: try await TestServers.dedicated(), &random) { faultRun in
          try await faultRun.environment.servers.kill(.postgres)
          try await faultRun.environment.servers.start(.postgres)
        }
      },
      Scenario("silent-clients-broker-killed", long: 8) { row, rounds, random in
        try await silent(row, rounds, servers: try await TestServers.dedicated(), &random) { faultRun in
          try await faultRun.environment.servers.kill(.rabbitmq)
          try await faultRun.environment.servers.start(.rabbitmq)
        }
      },
    ]
  }

  private static func consuming(_ program: ChildProcess) async throws {
    try await eventually("consuming", state: { program.standardError }) { program.standardError.contains("consuming") }
  }

  /// - Parameters:
  ///   - servers: servers for this scenario, which are stopped at the end; nil: the shared ones.
  ///   - inject: injects the fault, once, halfway.
  private static func silent(
    _ row: Row, _ rounds: Int, servers: TestServers?, _ random: inout SeededRandom,
    _ inject: (FaultRun) async throws -> Void
  ) async throws {
    let setup = FaultRun.Setup(
      events: max(200, rounds * 50), profile: .defaultProfile, servers: servers, isProxied: servers == nil,
      settings: ["AMQP_RECONNECT_SECONDS": "1", "DATABASE_RECONNECT_SECONDS": "1", "PIPELINE_RETRY_SECONDS": "1"])
    try await FaultRun.run(row, setup, &random) { faultRun in
      var running: [ChildProcess] = []
      for _ in 0..<3 { running.append(try faultRun.start()) }
      for program in running { try await consuming(program) }
      let silence = Silence(rounds: rounds, of: faultRun.workload.orgs, &faultRun.random)
      try await faultRun.add(silence.clients, silence.events)
      try await faultRun.progress(by: silence.events.count...silence.events.count)
      try await eventually("the first silent client", within: .seconds(60), state: { faultRun.logs }) {
        try await silence.silent(faultRun) > 0
      }
      for round in 0..<rounds {
        try await faultRun.publish(40)
        let before = try await faultRun.patiently { try await silence.silent(faultRun) }
        let victim = running[round % 3]
        if round == rounds / 2 {
          // An instance that is still starting ends if its servers are down.
          for program in running { try await consuming(program) }
          try await inject(faultRun)
        }
        try await eventually("more silent clients", within: .seconds(60), state: { faultRun.logs }) {
          let now = (try? await silence.silent(faultRun)) ?? before
          return now > before || now == silence.clients.count
        }
        // While the next clients are being evaluated.
        victim.send(SIGKILL)
        #expect(await victim.ended(within: .seconds(10)) == .signalled(SIGKILL), "\(victim.standardError)")
        running[round % 3] = try faultRun.start()
      }
      try await silence.check(faultRun)
    }
    try await servers?.stop()
  }
}

/// Clients with three events that leave the 30-day window some seconds from now, at a different time for each client.
private struct Silence {
  private(set) var clients: [WorkloadClient] = []
  private(set) var events: [WorkloadEvent] = []

  /// A score that no other client has.
  private static let aiScore = "41.5"

  init(rounds: Int, of orgs: [String], _ random: inout SeededRandom) {
    let begin = Int64((Date().timeIntervalSince1970 + 10) * 1_000_000)
    let count = 60 * rounds
    for number in 0..<count {
      let client = WorkloadClient(
        id: random.uuid(), org: orgs[number % orgs.count], aiScore: Self.aiScore, quietDays: 30,
        types: ["invoice_paid"], weight: 1)
      clients.append(client)
      // Two seconds for each round.
      let silentAt = begin + Int64(number) * Int64(rounds) * 2_000_000 / Int64(count)
      for n in 0..<3 {
        events.append(
          WorkloadEvent(
            id: "silent_\(number)_\(n)", source: "/crm/acme", client: client, type: "invoice_paid",
            at: silentAt - 30 * 86_400_000_000 + Int64(n) * 10))
      }
    }
  }

  private static let isSilent = "JOIN contacts c ON c.id = s.client_id WHERE c.ai_score = \(aiScore)"
  private static let evaluations = """
    SELECT client_id, count(*) FROM client_journey_scores WHERE event_id IS NULL AND explanation->'cause'->>'type' = 'time_passed' GROUP BY 1
    """

  /// How many clients are stored as silent.
  func silent(_ faultRun: FaultRun) async throws -> Int {
    try await faultRun.environment.number(
      "SELECT count(*) FROM journey_client_state s \(Self.isSilent) AND 'low_engagement' = ANY(s.risks)")
  }

  /// All clients were evaluated once, and none is due.
  func check(_ faultRun: FaultRun) async throws {
    let environment = faultRun.environment
    let due = "SELECT count(*) FROM journey_client_state WHERE check_at <= now() AND merged_into IS NULL"
    try await eventually("no client due", within: .seconds(60), state: { faultRun.logs }) {
      let silent = try await silent(faultRun)
      let waiting = try await environment.number(due)
      return silent == clients.count && waiting == 0
    }
    // On a slow machine the last event may be evaluated after that time, so no further evaluation is needed.
    let late = Set(
      try await environment.rows(
        """
        SELECT s.client_id FROM client_journey_scores s JOIN (
            SELECT client_id, (array_agg(occurred_at ORDER BY occurred_at))[1] + interval '30 days' AS moment FROM client_journey_events GROUP BY 1) e
          ON e.client_id = s.client_id AND s.generated_at > e.moment \(Self.isSilent.replacing("WHERE", with: "AND")) WHERE s.event_id IS NOT NULL
        """
      ).map { $0[0] })
    #expect(
      late.count < clients.count / 2,
      "too slow: \(late.count) of \(clients.count) clients were silent before their first evaluation")
    let times = Dictionary(try await environment.rows(Self.evaluations).map { ($0[0], $0[1]) }) { first, _ in first }
    for client in clients.map(\.id) where !late.contains(client) {
      #expect(
        times[client] == "1",
        "client \(client) was evaluated \(times[client] ?? "0") times; JOURNEY_TEST_SEED=\(SeededRandom.seed)")
    }
    let actions =
      "SELECT count(*) FROM client_journey_scores s \(Self.isSilent) AND s.event_id IS NULL AND s.action = 'send_voice_message'"
    #expect(try await environment.number(actions) > clients.count / 2, "the silent get a message")
  }
}
