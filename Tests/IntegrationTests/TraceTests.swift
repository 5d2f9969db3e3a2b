import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `journey trace` beside `journey serve`: each place where an event can be.
@Suite struct TraceTests {
  @Test func eachPlaceIsNamed() async throws {
    try await TraceSample.withServers { environment, settings in
      func trace(_ id: String, _ more: String...) async throws -> TraceSample.Answer {
        try await environment.trace(id, settings, more)
      }
      try await environment.publish([TraceSample.message("x", "e1")])
      let waiting = try await trace("e1")
      #expect(waiting.found.isEmpty && waiting.ingestQueue.messages == 1)

      let program = try await environment.serve(.defaultProfile, settings)
      try await environment.settles(events: 1, program)
      let published = try #require(try await trace("e1").found.first)
      #expect(published.place == "action_published" && published.id == "e1")
      #expect(
        published.steps.map(\.step) == ["occurred", "received", "stored", "evaluated", "decided", "published"])
      // By each of its ids.
      for id in [published.eventId, published.actionId, "m-e1", published.eventId?.uppercased()] {
        let same = try await trace(try #require(id))
        #expect(same.found.map(\.eventId) == [published.eventId], "\(id ?? "")")
      }
      for id in ["c1", try #require(published.clientId)] {
        #expect(try await trace(id).places == ["client", "action_published"], "\(id)")
      }

      // Without the broker it says what the database knows.
      let away = try await environment.trace("e1", settings.merging(["AMQP_URL": "amqp://a:b@127.0.0.1:1/"]) { $1 })
      #expect(away.places == ["action_published"] && away.ingestQueue.messages == nil)

      try await environment.publish([
        TraceSample.message("y", "e2"), TraceSample.message("z", "e3"), TraceSample.message("u", "e4", who: "nobody"),
        TraceSample.message("u", "e5", body: #"{"id":"e5","kind":"u","at":"soon","who":"c1"}"#),
        TraceSample.message("u", "e6"),
      ])
      try await eventually("the messages without events are kept", state: { program.standardError }) {
        try await environment.number("SELECT COALESCE(sum(messages), 0) FROM journey_raw_batches") == 4
      }
      #expect(try await trace("e2").places == ["ignored"])
      #expect(try await trace("m-e3").places == ["unlisted"])
      #expect(try await trace("e6").places == ["evaluated"])
      try await eventually("the message is parked") {
        try await environment.admin.messageCount(queue: "journey.retry.1h") == 1
      }
      for id in ["e4", "m-e4"] {
        let parked = try await trace(id).found
        #expect(parked.map(\.place) == ["parked"] && parked[0].code == "unknown_client" && parked[0].tier == "1h")
      }
      try await eventually("the dead letter is archived") {
        try await environment.number("SELECT count(*) FROM journey_dead_letters") == 1
      }
      let dead = try await trace("e5").found
      #expect(dead.map(\.place) == ["dead_letter"] && dead[0].code == "invalid_field")
      #expect(try await trace(try #require(dead.first?.deadLetterId)).places == ["dead_letter"])

      // No queue takes the action of another client.
      let binding = Binding(queue: "journey.actions.human", exchange: "journey.actions", routingKey: "human.#")
      try await environment.admin.unbind(binding)
      try await environment.publish([TraceSample.message("x", "e7", who: "c2")])
      try await eventually("the action is returned", state: { program.standardError }) {
        try await environment.number("SELECT count(*) FROM journey_outbox WHERE failure IS NOT NULL") == 1
      }
      let unpublished = try await trace("e7").found
      #expect(unpublished.map(\.place) == ["action_unpublished"] && unpublished[0].now.contains("tried again"))
      try await environment.admin.bind(binding)

      for id in ["e1", "m-e1", "c1", "e2", "m-e3", "e4", "e5", published.actionId!, dead[0].deadLetterId!] {
        #expect(try await trace(id, "--org", TraceSample.otherOrg).found.isEmpty, "\(id) of another organisation")
        #expect(try await !trace(id, "--org", TraceSample.org).found.isEmpty, "\(id) of its organisation")
      }
      _ = try await environment.run(
        ["events", "void", "--source", "abacus", "--event", "e6", "--reason", "test", "--yes"], environment: settings)
      #expect(try await trace("e6").places == ["voided"])
      try await environment.stop(program)
    }
  }

  /// What a message is parked for heals: its event tells the way.
  @Test func aParkedMessageReturnsAndIsStored() async throws {
    try await TraceSample.withServers { environment, settings in
      var settings = settings
      settings["RETRY_TIERS"] = "10s"
      let program = try await environment.serve(.defaultProfile, settings)
      try await environment.publish([TraceSample.message("u", "e1", who: "c1")])
      try await eventually("it is parked", state: { program.standardError }) {
        try await environment.trace("e1", settings).places == ["parked"]
      }
      try await environment.publish([TraceSample.message("x", "e2", who: "c1")])
      try await environment.settles(events: 2, program)
      let answer = try await environment.trace("e1", settings)
      #expect(answer.places == ["evaluated"])
      #expect(answer.found.first?.steps.map(\.step) == ["occurred", "received", "parked", "stored", "evaluated"])
      try await environment.stop(program)
    }
  }

  @Test(arguments: [
    "'; DROP TABLE contacts; --", "\"}]", "\u{1b}[31mred\u{7}", "\u{202e}gnp", String(repeating: "x", count: 10_240),
    "%", "\\u0000", "a\u{1}b", "🦊", "-1", "00000000-0000-0000-0000-000000000000", "{e1,e2}",
  ])
  func hostileIdsAreAnswered(_ id: String) async throws {
    try await TraceSample.withServers { environment, settings in
      for more in [[], ["--json"]] {
        let arguments = ["trace", "--config", Profile.defaultProfile.configuration] + more + ["--", id]
        let finished = try await environment.run(arguments, environment: settings)
        #expect(finished.status == 1 && finished.errors.contains("is not found"), "\(finished)")
        #expect(
          !(finished.output + finished.errors).unicodeScalars.contains { [0x1b, 0x7, 0x202e].contains($0.value) })
        #expect(finished.errors.utf8.count < 2000)
      }
      #expect(try await environment.number("SELECT count(*) FROM contacts") == 0)
    }
  }

  // MARK: Publishing

  private struct Published: Decodable {
    struct Message: Decodable {
      var became: String
      var text: String
    }
    var confirmed: Int
    var messages: [Message]
  }

  @Test func publishTellsWhatBecameOfEachMessage() async throws {
    try await TraceSample.withServers { environment, settings in
      func publish(_ lines: [String], timeout: String, status: Int32) async throws -> [Published.Message] {
        try await withTemporaryDirectory { directory in
          let file = directory + "/events.jsonl"
          try lines.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
          let finished = try await environment.run(
            [
              "publish", file, "--source", "abacus", "--org", TraceSample.org, "--wait", "--timeout", timeout, "--json",
              "--config", Profile.defaultProfile.configuration,
            ], environment: settings)
          #expect(finished.status == status, "\(finished)")
          return try JSONDecoder().decode(Published.self, from: Data(finished.output.utf8)).messages
        }
      }
      let program = try await environment.serve(.defaultProfile, settings)
      let first = TraceSample.body("x", "e1")
      let all = try await publish(
        [
          first, first, TraceSample.body("y", "e2"), TraceSample.body("u", "e3", who: "nobody"),
          #"{"id":"e4","kind":"x"}"#,
        ],
        timeout: "60s", status: 1)
      #expect(all.map(\.became) == ["stored", "duplicate", "ignored", "parked", "dead_letter"])
      #expect(all[0].text.contains("cancel_requested of client c1") && all[0].text.contains("action"))
      #expect(all[3].text.contains("unknown_client") && all[4].text.contains("missing_field"))
      let good = try await publish(
        [first, TraceSample.body("x", "e5"), TraceSample.body("z", "e6")], timeout: "60s", status: 0)
      #expect(good.map(\.became) == ["duplicate", "stored", "ignored"])
      // The same dead letter comes again.
      #expect(
        try await publish([#"{"id":"e4","kind":"x"}"#], timeout: "60s", status: 1).map(\.became) == ["dead_letter"])
      try await environment.stop(program)

      let late = try await publish([TraceSample.body("x", "e7")], timeout: "1s", status: 1)
      #expect(late.map(\.became) == ["unknown"] && late[0].text.contains("1 message waits in journey.ingest"))
    }
  }
}
