import AMQPClient
import Glibc
import Synchronization
import TestServers
import Testing

@testable import TestSupport

/// The program is killed, stopped or frozen, alone and beside other instances.
extension Scenario {
  static var kills: [Scenario] {
    [
      Scenario("kill-anywhere", short: 9) { row, rounds, random in
        try await killed(at: Point.ofWorkload, row, rounds, &random)
      }
    ]
      + Point.ofWorkload.map { point in
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
        Scenario("paused-and-killed", short: 3, long: 20, pausedAndKilled),
        Scenario("sigterm-under-load", short: 2, long: 20, terminated),
        Scenario("sigstop-sigcont", short: 1, long: 2, frozen),
      ]
  }

  /// The program is killed when the proxy sees it pass a point, and restarted.
  private static func killed(at points: [Point], _ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: max(200, rounds * 44), isProxied: true), &random) { faultRun in
      for round in 0..<rounds {
        let point = points[round % points.count]
        let proxy = point.wire == .amqp ? faultRun.amqp : faultRun.postgres
        let victim = Victim()
        let several = [.afterReceive, .beforePublish].contains(point) ? 20 : 1
        proxy?.set(
          Trap(point: point, countdown: Int.random(in: 1...several, using: &faultRun.random)) { victim.kill() })
        let program = try faultRun.start()
        victim.program = program
        try await faultRun.publish(40)
        try await eventually("a kill at \(point.rawValue)", state: { program.standardError }) { program.ending != nil }
        #expect(program.ending == .signalled(SIGKILL), "\(program.standardError)")
      }
    }
  }

  private static func killedInTurn(_ count: Int, _ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: max(400, rounds * 100)), &random) { faultRun in
      var running: [ChildProcess] = []
      for _ in 0..<count { running.append(try faultRun.start()) }
      for round in 0..<rounds {
        try await faultRun.publish(95)
        try await faultRun.progress(by: 5...70)
        let victim = running[round % count]
        victim.send(SIGKILL)
        #expect(await victim.ended(within: .seconds(10)) == .signalled(SIGKILL), "\(victim.standardError)")
        running[round % count] = try faultRun.start()
      }
      for program in running {
        try await eventually("consuming", state: { program.standardError }) {
          program.standardError.contains("consuming")
        }
      }
    }
  }

  /// Two instances are paused and resumed under load, one or both. Some are killed meanwhile; their successors keep to
  /// the pause.
  private static func pausedAndKilled(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: max(400, rounds * 110)), &random) { faultRun in
      let environment = faultRun.environment
      var running: [ChildProcess] = []
      for name in ["a", "b"] { running.append(try await faultRun.serve(["INSTANCE_NAME": name])) }
      for round in 0..<rounds {
        try await faultRun.publish(45)
        try await faultRun.progress(by: 1...40)
        let victim = round % 2, isOfAll = !round.isMultiple(of: 3), name = ["a", "b"][victim]
        let target = isOfAll ? ["--all"] : ["--instance", name]
        if Bool.random(using: &faultRun.random) {
          running[victim].send(SIGKILL)
          #expect(await running[victim].ended(within: .seconds(10)) == .signalled(SIGKILL))
        }
        try await environment.succeed(["pause", "--reason", "round \(round)"] + target)
        if running[victim].ending == nil {
          running[victim].send(SIGKILL)
          #expect(await running[victim].ended(within: .seconds(10)) == .signalled(SIGKILL))
        }
        let successor = try faultRun.start(["INSTANCE_NAME": name])
        running[victim] = successor
        try await eventually("a paused successor", state: { successor.standardError }) {
          try await environment.succeed(["instances", "--json"]).contains(#""id":"\#(name)","state":"paused""#)
        }
        try await faultRun.publish(45)
        if isOfAll {
          #expect(try await environment.admin.messageCount(queue: "journey.ingest") >= 45, "nobody takes anything")
        } else {
          try await faultRun.progress(by: 10...30)
        }
        try await environment.succeed(["resume"] + target)
        try await faultRun.progress(by: 5...60)
      }
    }
  }

  private static func terminated(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: max(400, rounds * 120), profile: .defaultProfile), &random) { faultRun in
      for _ in 0..<rounds {
        let program = try faultRun.start()
        try await faultRun.publish(115)
        try await faultRun.progress(by: 1...60)
        try await faultRun.environment.stop(program)
      }
    }
  }

  /// One of two instances is frozen for longer than any heartbeat, and continued. Its messages go to the other instance
  /// meanwhile.
  private static func frozen(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let isLong = FaultSettings.isLong
    let setup = FaultRun.Setup(
      events: max(400, rounds * 300), isProxied: false, brokerQuery: isLong ? "" : "?heartbeat=1")
    try await FaultRun.run(row, setup, &random) { faultRun in
      let programs = [try await faultRun.serve(), try await faultRun.serve()]
      for round in 0..<rounds {
        try await faultRun.publish(150)
        try await faultRun.progress(by: 1...60)
        let frozen = programs[round % 2]
        frozen.send(SIGSTOP)
        try await faultRun.publish(140)
        try await Task.sleep(for: isLong ? .seconds(60) : .seconds(5))
        frozen.send(SIGCONT)
        try await faultRun.progress(by: 60...60, within: .seconds(120))
      }
    }
  }
}

/// The program that a trap kills. The trap is set before the program starts.
final class Victim: Sendable {
  private let box = Mutex<ChildProcess?>(nil)
  var program: ChildProcess? {
    get { box.withLock(\.self) }
    set { box.withLock { $0 = newValue } }
  }
  func kill() { program?.send(SIGKILL) }
}
