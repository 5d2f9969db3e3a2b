import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// `/live`, `/ready` and `/startup` on the probes' address answer within a second, whatever hangs.
@Suite(.serialized) struct HealthTests {
  private struct Answer: Equatable {
    var status: Int
    var body: String
  }

  /// Asks on a thread, as a supervisor does, and requires the answer within a second.
  private func ask(_ path: String, _ port: UInt16, method: String = "GET") throws -> Answer {
    let began = ContinuousClock.now
    let wire = try Wire(port)
    wire.send("\(method) \(path) HTTP/1.1\r\nHost: x\r\n\r\n")
    let answer = try #require(WireAnswer.parse(wire.all().text, [method]).answers.first)
    #expect(.now - began < .seconds(1), "\(method) \(path)")
    return Answer(status: answer.status, body: answer.body)
  }

  private func statuses(_ port: UInt16) throws -> [Int] {
    for path in ["/live", "/ready", "/startup"] {
      let head = try ask(path, port, method: "HEAD")
      #expect(head.body.isEmpty)
    }
    return try ["/live", "/ready", "/startup"].map { try ask($0, port).status }
  }

  @Test func whateverHangsEachAnswersWithinASecond() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      let program = try await environment.serve(.defaultProfile, ["PIPELINE_DRAIN_SECONDS": "5"])
      let port = try await HTTPPort.find("probes=", program)
      try await eventually("ready", state: { program.standardError }) { try statuses(port) == [200, 200, 200] }
      for frozen in [[TestServers.Kind.postgres], [.rabbitmq], [.postgres, .rabbitmq]] {
        for server in frozen { try await servers.pause(server) }
        let end = ContinuousClock.now + .seconds(8)
        var last: [Int] = []
        while .now < end {
          last = try statuses(port)
          #expect(last[0] == 200, "the process lives: a new start would not help")
          #expect(last[2] == 200)
        }
        if frozen.contains(.postgres) {
          #expect(last[1] == 503)
          #expect(try ask("/ready", port).body.contains(#""database":false"#))
        }
        for server in frozen { try await servers.resume(server) }
        try await eventually("ready again", within: .seconds(90), state: { program.standardError }) {
          try statuses(port) == [200, 200, 200]
        }
      }
      try await environment.stop(program)
    }
    try await servers.stop()
  }

  @Test func aStartThatHangsSaysAtWhichCheck() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await servers.pause(.postgres)
      let program = try environment.start(["serve", "--config", Profile.literal.configuration])
      let port = try await HTTPPort.find("probes=", program)
      #expect(try statuses(port) == [200, 503, 503])
      let startup = try ask("/startup", port)
      #expect(
        startup.body
          == #"{"status":"starting","problems":[{"part":"start","reason":"not started yet; under way: the database's sessions"}]}"#
      )
      try await servers.resume(.postgres)
      try await eventually("started", state: { program.standardError }) { try statuses(port) == [200, 200, 200] }
      #expect(try ask("/startup", port).body == #"{"status":"started"}"#)
      try await environment.stop(program)
    }
    try await servers.stop()
  }
}
