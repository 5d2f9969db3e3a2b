import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `journey events` beside `journey serve`: from a wrong rule to events as they should have been.
@Suite struct EventsCommandTests {
  private static let org = "0193a6f2-0000-7000-8000-00000000000e"

  private static func message(_ type: String, _ id: Int) -> OutboundMessage {
    var properties = MessageProperties(contentType: "application/json", messageID: "m\(id)")
    properties.headers["x-source"] = "abacus"
    properties.headers["x-org-id"] = .string(org)
    properties.headers["x-api-token"] = "hush"
    let body = #"{"id":"e\#(id)","kind":"\#(type)","at":\#(1_762_000_000 + id),"who":"c1","mail":"ada@example.com"}"#
    return OutboundMessage(
      exchange: "journey.events", routingKey: "abacus.\(type)", properties: properties, body: Array(body.utf8))
  }

  private static func mapping(_ stage: String, _ second: String) -> String {
    """
    source: abacus
    envelope:
      {id: $.id, type: $.kind, time: {path: $.at, unit: s}, client: $.who, org: "header:x-org-id", metadata: $, redact: mail}
    rules:
      - {name: one, when: {type: x}, event: {type: deal_won, stage: \(stage), create: {name: $.who}}}
      - {name: two, when: {type: y}, \(second)}
    """
  }

  private struct Answer: Decodable {
    var dryRun: Bool
    var complete: Bool
    var unchanged: Int
    var changed: Int
    var new: Int
    var gone: Int
    var actions: Int
  }

  @Test func aWrongRuleIsCorrectedForThePast() async throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "events-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    func write(_ stage: String, _ second: String) throws {
      try Data(Self.mapping(stage, second).utf8).write(to: directory.appending(path: "abacus.yaml"), options: .atomic)
    }
    let settings = ["MAPPINGS_DIRECTORIES": directory.path, "JOURNEY_ACTOR": "ann"]
    try write("retention", "ignore: not used")
    try await TestEnvironment.with { environment in
      func events(_ arguments: String..., status: Int32 = 0) async throws -> String {
        let all = ["events"] + arguments + ["--config", Profile.defaultProfile.configuration]
        let finished = try await environment.run(all, environment: settings)
        #expect(finished.status == status, "\(arguments): \(finished.output) \(finished.errors)")
        return finished.output
      }
      func remap(_ arguments: String...) async throws -> Answer {
        let all = ["events", "remap", "--source", "abacus", "--json", "--config", Profile.defaultProfile.configuration]
        let finished = try await environment.run(all + arguments, environment: settings)
        try #require(finished.status == 0, "\(finished.errors)")
        return try JSONDecoder().decode(Answer.self, from: Data(finished.output.utf8))
      }
      try await environment.execute("INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Roth')")
      let program = try await environment.serve(.defaultProfile, settings)
      try await environment.publish([Self.message("x", 1), Self.message("y", 2), Self.message("x", 3)])
      try await environment.settles(events: 2, program)
      try await eventually("the ignored message is kept") {
        try await environment.number("SELECT sum(messages) FROM journey_raw_batches") == 3
      }
      let raw = "SELECT count(*) FROM journey_raw_batches WHERE encode(records, 'escape') ~ "
      #expect(try await environment.number(raw + "'ada@|hush'") == 0)
      #expect(try await environment.number(raw + "'redacted'") > 0)
      try await eventually("actions are settled") {
        try await environment.number("SELECT count(*) FROM journey_outbox WHERE confirmed_at IS NULL") == 0
      }
      let actions = try await environment.number("SELECT count(*) FROM journey_actions")

      try write("churn_risk", "event: {type: note_added, stage: keep, create: {name: $.who}}")
      program.send(SIGHUP)
      try await eventually("the reload", state: { program.standardError }) {
        program.standardError.contains("mappings reloaded")
      }
      let shown = try await events("remap", "--source", "abacus", "--since", "1d", "--dry-run")
      #expect(shown.contains("3 messages: 0 unchanged, 2 changed, 1 new, 0 gone") && shown.contains("changed: stage 2"))
      // Without a terminal nobody can confirm.
      _ = try await events("remap", "--source", "abacus", status: 65)
      #expect(try await environment.number("SELECT count(*) FROM journey_event_changes") == 0)
      let done = try await remap("--yes", "--reason", "won deals")
      #expect(done.complete && done.changed == 2 && done.new == 1 && done.actions == 0)
      let again = try await remap("--yes")
      #expect(again.unchanged == 3 && again.changed + again.new + again.gone == 0)
      let rows =
        "SELECT source_event_id, event_type, stage FROM client_journey_events WHERE voided_at IS NULL ORDER BY 1"
      let wanted = [
        ["e1", "deal_won", "churn_risk"], ["e2", "note_added", "churn_risk"], ["e3", "deal_won", "churn_risk"],
      ]
      #expect(try await environment.rows(rows) == wanted)
      #expect(try await environment.rows("SELECT stage FROM journey_client_state") == [["churn_risk"]])
      #expect(try await environment.number("SELECT count(*) FROM journey_actions") == actions)

      _ = try await events("void", "--source", "abacus", "--event", "e2", "--reason", "a test", "--yes")
      try await environment.publish([Self.message("y", 2)])
      try await environment.settles(events: 3, program)
      #expect(try await environment.rows(rows) == [wanted[0], wanted[2]])
      #expect(try await events("list", "--source", "abacus", "--voided").contains("note_added"))
      _ = try await events("restore", "--source", "abacus", "--reason", "no test", "--yes")
      #expect(try await environment.rows(rows) == wanted)
      let audit =
        "SELECT action, actor, why FROM journey_event_changes GROUP BY run, action, actor, why ORDER BY min(id)"
      #expect(
        try await environment.rows(audit) == [
          ["remap", "ann", "won deals"], ["void", "ann", "a test"], ["restore", "ann", "no test"],
        ])
      try await environment.stop(program)
    }
  }
}
