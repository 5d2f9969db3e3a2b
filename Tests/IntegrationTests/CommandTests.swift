import Journey
import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// The commands' machine-readable output is valid JSON with correct content.
@Suite struct CommandTests {
  private func json<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
    try JSONDecoder().decode(type, from: Data(text.utf8))
  }

  private struct Mapped: Decodable {
    struct Element: Decodable {
      struct Event: Decodable {
        var id: String
        var type: String
        var stage: String?
        var occurredAt: String
        var clientId: String?
        var client: String?
      }
      var outcome: String
      var rule: String?
      var event: Event?
      var field: String?
      var value: String?
    }
    var source: String
    var elements: [Element]
  }

  @Test func map() async throws {
    try await TestEnvironment.with { environment in
      let client = "6f9619ff-8b86-4d01-b42d-00c04fc964ff", org = "11111111-2222-4333-8444-555555555555"
      let event = """
        {"specversion":"1.0","id":"e1","source":"/crm","type":"cancel_requested","time":"2026-11-20T10:00:00.5Z","subject":"\(client)",\
        "orgid":"\(org)"}
        """
      let text = try await environment.succeed(
        ["map", "-", "--source", "cloudevents", "--json"], input: Array(event.utf8))
      let mapped = try json(Mapped.self, text)
      let first = try #require(mapped.elements.first)
      #expect(mapped.elements.count == 1 && first.outcome == "event" && first.rule == "subscription in danger")
      #expect(
        first.event?.id == "e1" && first.event?.type == "cancel_requested" && first.event?.stage == "churn_risk")
      #expect(first.event?.occurredAt == "2026-11-20T10:00:00.500Z" && first.event?.clientId == client)

      let mixed = "[\(event), \(event.replacingOccurrences(of: "cancel_requested", with: "frobnicated"))]"
      let refused = try await environment.run(
        ["map", "-", "--source", "cloudevents", "--json"], input: Array(mixed.utf8))
      let elements = try json(Mapped.self, refused.output).elements
      #expect(refused.status == 65 && elements.map(\.outcome) == ["event", "rejected"], "\(refused.errors)")
      #expect(elements.last?.field == "$.type" && elements.last?.value == "frobnicated")

      let unknown = try await environment.run(["map", "-", "--source", "fax"], input: Array("{}".utf8))
      #expect(unknown.status == 65 && unknown.errors.contains("fax") && unknown.errors.contains("stripe"))
    }
  }

  private struct Published: Decodable, Equatable {
    var read: Int
    var confirmed: Int
    var failed: Int
  }
  private struct Explained: Decodable {
    struct Score: Decodable {
      struct Explanation: Decodable {
        struct Contribution: Decodable { var points: Double }
        struct Cause: Decodable { var id: String }
        var contributions: [Contribution]
        var cause: Cause
        var ruleVersion: String
      }
      var score: Double
      var riskLevel: String
      var explanation: Explanation
    }
    struct Action: Decodable {
      var id: String
      var action: String
      var publishedAt: String?
      var state: String
    }
    struct Event: Decodable { var id: String }
    var clientId: String
    var orgId: String
    var stage: String
    var eventCount: Int
    var scores: [Score]
    var actions: [Action]
    var events: [Event]
  }

  @Test func publishServeAndExplain() async throws {
    var random = SeededRandom(stream: 11)
    let workload = Workload(events: 40, clients: 1, orgs: 1, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      try await withTemporaryDirectory { directory in
        let lines = workload.events.map { String(decoding: $0.message.body, as: UTF8.self) }
        let file = directory + "/events.jsonl"
        try lines.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
        let dry = try await environment.succeed(["publish", file, "--dry-run", "--json"])
        #expect(try json(Published.self, dry) == Published(read: 40, confirmed: 0, failed: 0))
        #expect(try await environment.admin.messageCount(queue: "journey.ingest") == 0)
        let published = try await environment.succeed(["publish", file, "--json"])
        #expect(try json(Published.self, published) == Published(read: 40, confirmed: 40, failed: 0))
        try "{\"specversion\":\"1.0\"".write(toFile: file, atomically: true, encoding: .utf8)
        let refused = try await environment.run(["publish", file])
        #expect(refused.status == 65 && refused.errors.contains("line 1"), "\(refused.errors)")
      }
      let program = try await environment.serve(.defaultProfile)
      try await environment.settles(events: workload.events.count, program)
      try await environment.stop(program)

      let client = workload.clients[0]
      for name in [client.id, "\(client.id)@example.com"] {
        let explained = try json(Explained.self, try await environment.succeed(["explain", name, "--json"]))
        let moment = try await environment.rows(
          "SELECT (extract(epoch FROM generated_at) * 1000000)::bigint FROM client_journey_scores ORDER BY generated_at DESC LIMIT 1"
        )
        let wanted = Reference(
          .defaultProfile, workload.events, aiScore: client.aiScore, now: try #require(Int64(moment[0][0])))
        let score = try #require(explained.scores.first)
        #expect(
          explained.clientId == client.id && explained.orgId == client.org
            && explained.stage == wanted.stage)
        #expect(explained.eventCount == 40 && explained.events.count == 10)
        #expect(abs(score.score - wanted.score) < 1e-9 && score.riskLevel == wanted.level)
        #expect(abs(score.explanation.contributions.map(\.points).reduce(0, +) - wanted.score) < 1e-9)
        #expect(score.explanation.ruleVersion == "default-1")
        #expect(workload.events.contains { $0.id == score.explanation.cause.id })
        #expect(explained.actions.allSatisfy { $0.state == "published" && $0.publishedAt != nil })
      }
      let nobody = try await environment.run(["explain", "nobody@example.com", "--json"])
      #expect(nobody.status == 1 && nobody.errors.contains("nobody@example.com"))
    }
  }

  private struct Finding: Decodable {
    var subject: String
    var verdict: String
    var text: String
    var advice: String?
  }

  @Test func doctor() async throws {
    try await TestEnvironment.with(isMigrated: false) { environment in
      let before = try await environment.run(["doctor", "--json"])
      let ill = try json([Finding].self, before.output)
      #expect(before.status == 78)
      #expect(ill.first { $0.subject == "queues" }?.verdict == "failure")
      #expect(ill.first { $0.subject == "schema" }?.advice?.contains("journey migrate") == true)
      try await environment.succeed(["migrate"])
      try await environment.succeed(["topology", "apply"])
      let well = try json([Finding].self, try await environment.succeed(["doctor", "--json"]))
      #expect(well.allSatisfy { $0.verdict != "failure" }, "\(well)")
      for subject in [
        "settings", "mappings", "decisions", "broker", "queues", "schema", "database", "tenancy", "outbox",
      ] {
        #expect(well.contains { $0.subject == subject && $0.verdict == "ok" }, "\(subject): \(well)")
      }
    }
  }

  private struct Shape: Decodable {
    struct Named: Decodable { var name: String }
    struct Queue: Decodable {
      struct Arguments: Decodable {
        var kind: String
        enum CodingKeys: String, CodingKey { case kind = "x-queue-type" }
      }
      var name: String
      var arguments: Arguments
    }
    struct Binding: Decodable, Hashable {
      var exchange: String
      var queue: String
      var routingKey: String
    }
    var exchanges: [Named]
    var queues: [Queue]
    var bindings: [Binding]
  }
  private struct Change: Decodable {
    var name: String
    var outcome: String
  }

  @Test func topology() async throws {
    try await TestEnvironment.with(isMigrated: false) { environment in
      let shape = try json(Shape.self, try await environment.succeed(["topology", "show", "--json"]))
      #expect(
        Set(shape.exchanges.map(\.name)).isSuperset(of: [
          "journey.events", "journey.dead", "journey.actions", "journey.outcomes",
        ]))
      #expect(shape.queues.allSatisfy { $0.arguments.kind == "quorum" })
      #expect(
        shape.bindings.contains(
          Shape.Binding(exchange: "journey.actions", queue: "journey.actions.voice", routingKey: "voice.#")))
      let missing = try await environment.run(["topology", "verify", "--json"])
      #expect(missing.status == 78)
      let applied = try json([Change].self, try await environment.succeed(["topology", "apply", "--json"]))
      #expect(Set(applied.filter { $0.outcome == "created" }.map(\.name)).isSuperset(of: shape.queues.map(\.name)))
      for queue in shape.queues { #expect(try await environment.admin.messageCount(queue: queue.name) == 0) }
      #expect(try await environment.succeed(["topology", "verify", "--json"]) == "[]\n")
      let again = try json([Change].self, try await environment.succeed(["topology", "apply", "--json"]))
      #expect(again.allSatisfy { $0.outcome != "created" })
    }
  }
}
