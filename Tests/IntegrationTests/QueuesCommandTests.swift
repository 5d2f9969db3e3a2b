import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `journey queues`.
@Suite struct QueuesCommandTests {
  private struct Row: Decodable, Equatable {
    var queue: String
    var contents: String
    var ready: Int?
    var consumers: Int?
    var perSecond: Int?
    var missing: Bool
  }
  private struct Look: Decodable {
    var at: String
    var queues: [Row]
  }

  private func rows(_ text: some StringProtocol) throws -> [Row] {
    try JSONDecoder().decode([Row].self, from: Data(text.utf8))
  }

  @Test func allQueuesAreShownAndNoneIsTouched() async throws {
    try await TestEnvironment.with { environment in
      let messages = ["journey.events", "journey.events", "journey.dead"].map {
        OutboundMessage(exchange: $0, routingKey: "a.b", properties: MessageProperties(), body: [])
      }
      try await environment.publish(messages)
      let shown = try rows(try await environment.succeed(["queues", "--json"]))
      #expect(
        shown.map(\.queue) == [
          "journey.ingest", "journey.retry.10s", "journey.retry.1m", "journey.retry.10m", "journey.retry.1h",
          "journey.dead-letters", "journey.actions.email", "journey.actions.voice", "journey.actions.human",
          "journey.outcomes",
        ])
      #expect(shown.map(\.ready) == [2, 0, 0, 0, 0, 1, 0, 0, 0, 0] && shown.allSatisfy { $0.consumers == 0 })
      let table = try await environment.succeed(["queues"])
      #expect(table.contains("journey.retry.10m") && table.contains("10 min after a failure"), "\(table)")
      // Looking is not delivering.
      let event = try #require(try await environment.admin.get(queue: "journey.ingest", mode: .peek))
      #expect(!event.isRedelivered)

      let program = try await environment.serve(.defaultProfile)
      try await eventually("consumers") {
        try rows(try await environment.succeed(["queues", "--json"])).first?.consumers ?? 0 > 0
      }
      try await environment.stop(program)

      let watching = try environment.start(["queues", "--watch", "--json"])
      try await eventually("two looks") { watching.standardOutput.split(separator: "\n").count >= 2 }
      watching.send(SIGINT)
      _ = await watching.ended(within: .seconds(10))
      let lines = try watching.standardOutput.split(separator: "\n").map {
        try JSONDecoder().decode(Look.self, from: Data($0.utf8))
      }
      #expect(lines[0].at < lines[1].at)
      let looks = lines.map(\.queues)
      #expect(looks[0].allSatisfy { $0.perSecond == nil } && looks[1].allSatisfy { $0.perSecond == 0 })
    }
  }

  @Test func whatIsMissingIsSaid() async throws {
    try await TestEnvironment.with { environment in
      try await environment.admin.deleteQueue("journey.actions.voice")
      let found = try await environment.run(["queues"])
      #expect(found.status == 78 && found.output.contains("missing"), "\(found.output)")
      #expect(found.errors.contains("journey topology apply"), "\(found.errors)")
      let listed = try rows(try await environment.run(["queues", "--json"]).output)
      #expect(listed.filter(\.missing).map(\.queue) == ["journey.actions.voice"])
      let gone = try await environment.run(["queues"], environment: ["AMQP_URL": "amqp://u:p@127.0.0.1:1/"])
      #expect(gone.status == 69, "\(gone.errors)")
    }
  }
}
