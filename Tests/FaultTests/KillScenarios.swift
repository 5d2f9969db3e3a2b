import Glibc
import Synchronization
import TestServers
import Testing

@testable import TestSupport

/// The program is killed, stopped, frozen; alone and beside others.
extension Scenario {
  static var kills: [Scenario] {
    [
      Scenario("kill-anywhere", short: 9) { row, rounds, random in
        try await killed(at: Point.allCases, row, rounds, &random)
      }
    ]
      + Point.allCases.map { point in
        Scenario("kill-\(point.rawValue)", long: 50) { row, rounds, random in
          try await killed(at: [point], row, rounds, &random)
        }
      } + [
        Scenario("two-instances-killed-in-turn", short: 4, long: 20) { row, rounds, random in
          try await killedInTurn(2, row, rounds, &random)
        },
        Scenario("three-instances-killed-in-turn", long: 20) { row, rounds, random in
          try await killedInTurn(3, row, rounds, &random)
        },
        Scenario("sigterm-under-load", short: 2, long: 20, terminated),
        Scenario("sigstop-sigcont", short: 1, long: 2, frozen),
      ]
  }

  /// Killed where the network shows that a point is passed; then started again.
  private static func killed(at points: [Point], _ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await Campaign.run(row, .init(events: max(200, rounds * 44), isProxied: true), &random) { campaign in
      for round in 0..<rounds {
        let point = points[round % points.count]
        let proxy = point.wire == .amqp ? campaign.amqp : campaign.postgres
        let victim = Victim()
        let several = [.afterReceive, .beforePublish].contains(point) ? 20 : 1
        proxy?.set(
          Trap(point: point, countdown: Int.random(in: 1...several, using: &campaign.random)) { victim.kill() })
        let program = try campaign.start()
        victim.program = program
        try await campaign.publish(40)
        try await eventually("a kill at \(point.rawValue)", state: { program.standardError }) { program.ending != nil }
        #expect(program.ending == .signalled(SIGKILL), "\(program.standardError)")
      }
    }
  }

  private static func killedInTurn(_ count: Int, _ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await Campaign.run(row, .init(events: max(400, rounds * 100)), &random) { campaign in
      var running: [ChildProcess] = []
      for _ in 0..<count { running.append(try campaign.start()) }
      for round in 0..<rounds {
        try await campaign.publish(95)
        try await campaign.progress(by: 5...70)
        let victim = running[round % count]
        victim.send(SIGKILL)
        #expect(await victim.ended(within: .seconds(10)) == .signalled(SIGKILL), "\(victim.standardError)")
        running[round % count] = try campaign.start()
      }
      for program in running {
        try await eventually("consuming", state: { program.standardError }) {
          program.standardError.contains("consuming")
        }
      }
    }
  }

  private static func terminated(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await Campaign.run(row, .init(events: max(400, rounds * 120), profile: .standard), &random) { campaign in
      for _ in 0..<rounds {
        let program = try campaign.start()
        try await campaign.publish(115)
        try await campaign.progress(by: 1...60)
        try await campaign.stage.stop(program)
      }
    }
  }

  /// One of two is frozen for longer than any heartbeat, and thawed: what it held went to the other one meanwhile.
  private static func frozen(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let isLong = FaultSettings.isLong
    let setup = Campaign.Setup(
      events: max(400, rounds * 300), isProxied: false, brokerQuery: isLong ? "" : "?heartbeat=1")
    try await Campaign.run(row, setup, &random) { campaign in
      let programs = [try await campaign.serve(), try await campaign.serve()]
      for round in 0..<rounds {
        try await campaign.publish(150)
        try await campaign.progress(by: 1...60)
        let frozen = programs[round % 2]
        frozen.send(SIGSTOP)
        try await campaign.publish(140)
        try await Task.sleep(for: isLong ? .seconds(60) : .seconds(5))
        frozen.send(SIGCONT)
        try await campaign.progress(by: 60...60, within: .seconds(120))
      }
    }
  }
}

/// The program that a trap kills; the trap is set before the program starts.
private final class Victim: Sendable {
  private let box = Mutex<ChildProcess?>(nil)
  var program: ChildProcess? {
    get { box.withLock(\.self) }
    set { box.withLock { $0 = newValue } }
  }
  func kill() { program?.send(SIGKILL) }
}
