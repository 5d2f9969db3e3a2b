import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// The exit status of a stop.
@Suite struct StopTests {
  /// At every point of the start, from the first log line on.
  @Test(arguments: [0, 20, 50, 100, 200, 400, 800])
  func aSignalWhileItStartsStopsItInOrder(afterMilliseconds delay: Int) async throws {
    try await TestEnvironment.with { environment in
      let program = try environment.start(["serve"])
      try await isListening(program)
      try await Task.sleep(for: .milliseconds(delay))
      program.send(SIGTERM)
      #expect(await program.ended(within: .seconds(15)) == .exited(0), "\(program.standardError)")
    }
  }

  /// Before its first log line the program is loading libraries, and any signal ends it.
  private func isListening(_ program: ChildProcess) async throws {
    try await eventually("a program that listens", within: .seconds(5), state: { "\(program.ending as Any)" }) {
      guard let status = try? String(contentsOfFile: "/proc/\(program.id)/status", encoding: .utf8),
        let line = status.split(separator: "\n").first(where: { $0.hasPrefix("SigCgt:") }),
        let mask = UInt64(line.split(separator: "\t")[1], radix: 16)
      else { return false }
      return [SIGTERM, SIGINT, SIGHUP].allSatisfy { mask & (1 << UInt64($0 - 1)) != 0 }
    }
  }

  /// The database accepts the connection but never answers, so the start cannot finish.
  @Test(arguments: [SIGTERM, SIGINT])
  func aSignalWhileTheStartIsHeldUpStopsItInOrder(_ signal: Int32) async throws {
    let silent = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(silent) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(silent, $0, length) == 0 && getsockname(silent, $0, &length) == 0
      }
    }
    try #require(isBound && listen(silent, 8) == 0)
    try await TestEnvironment.with(isMigrated: false) { environment in
      let url = "postgresql://nobody@127.0.0.1:\(UInt16(bigEndian: address.sin_port))/nothing?connect_timeout=60"
      let program = try environment.start(["serve"], environment: ["DATABASE_URL": url])
      try await isListening(program)
      program.send(signal)
      #expect(await program.ended(within: .seconds(10)) == .exited(0), "\(program.standardError)")
    }
  }

  @Test func reloadingWhileItStartsDoesNotEndIt() async throws {
    try await TestEnvironment.with { environment in
      let program = try environment.start(["serve", "--config", Profile.defaultProfile.configuration])
      try await isListening(program)
      program.send(SIGHUP)
      try await eventually("work", state: { program.standardError }) { program.standardError.contains("consuming") }
      try await environment.stop(program)
    }
  }

  /// The database is unavailable: messages are requeued, and the exit status and the last log line say so.
  @Test func handingMessagesBackIsNotAFinish() async throws {
    var random = SeededRandom(stream: 131)
    let workload = Workload(events: 100, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(.defaultProfile)
      try await servers.stop(.postgres, immediately: true)
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await eventually("a failed commit", state: { program.standardError }) {
        program.standardError.contains("trying again")
      }
      program.send(SIGTERM)
      let ending = await program.ended(within: .seconds(30))
      #expect(ending == .exited(1), "\(program.standardError)")
      #expect(program.standardError.contains("handed back, to be delivered again"), "\(program.standardError)")
      try await servers.start(.postgres)
      let next = try await environment.serve(.defaultProfile)
      try await environment.settles(events: workload.events.count, next)
      try await environment.stop(next)
    }
    try await servers.stop()
  }

  /// No queue accepts the actions: the next instance publishes them, and the exit status and the last log line say so.
  @Test func leavingActionsUnpublishedIsNotAFinish() async throws {
    var random = SeededRandom(stream: 132)
    let workload = Workload(events: 100, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      for channel in ["email", "voice", "human"] {
        try await environment.admin.unbind(
          .init(queue: "journey.actions.\(channel)", exchange: "journey.actions", routingKey: "\(channel).#"))
      }
      let program = try await environment.serve(.literal)
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await eventually("stored events", state: { program.standardError }) {
        try await environment.number("SELECT count(*) FROM client_journey_events") == workload.events.count
      }
      program.send(SIGTERM)
      #expect(await program.ended(within: .seconds(30)) == .exited(1), "\(program.standardError)")
      #expect(program.standardError.contains("not known to be published"), "\(program.standardError)")
    }
  }
}
