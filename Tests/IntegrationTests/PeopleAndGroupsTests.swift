import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// From message to database: merges that are undone, and events of companies.
@Suite struct PeopleAndGroupsTests {
  private static let org = "0193a6f2-0000-7000-8000-000000000001"
  private static let ada = "0193a6f2-0000-7000-8000-0000000000a1"

  private static let mapping = """
    source: helpCentre
    envelope:
      id: $.id
      type: $.kind
      time: {path: $.at, unit: s}
      client: {from: [$.user, $.device], known: true, refuse: ["anon-*"]}
      group: $.company
      org: "header:x-org-id"
    rules:
      - {name: merged, when: {type: merged}, event: {type: client_merged, stage: keep, create: {}, merge: $.old}}
      - {name: overdue, when: {type: overdue}, event: {type: invoice_overdue, stage: billing, metadata: {invoiceId: $.invoice}}}
      - {name: note, when: {type: note}, event: {type: note_added, stage: keep, create: {}}}
    """

  private static func message(_ body: String) -> OutboundMessage {
    var properties = MessageProperties(contentType: "application/json")
    properties.headers["x-source"] = .string("helpCentre")
    properties.headers["x-org-id"] = .string(org)
    return OutboundMessage(
      exchange: "journey.events", routingKey: "helpCentre.event", properties: properties, body: Array(body.utf8))
  }

  /// Each `id`, `kind` and further members.
  private static func messages(_ events: (String, String, String)...) -> [OutboundMessage] {
    events.map { message(#"{"id":"\#($0)","kind":"\#($1)","at":1762000000,\#($2)}"#) }
  }

  private func withHelpCentre(
    _ settings: [String: String] = [:], _ body: (TestEnvironment) async throws -> Void
  ) async throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "helpCentre-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try Data(Self.mapping.utf8).write(to: directory.appending(path: "helpCentre.yaml"))
    try await TestEnvironment.with { environment in
      try await environment.execute("INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Roth')")
      try await environment.execute(
        "INSERT INTO contacts (id, org_id, name, email) VALUES ('\(Self.ada)', '\(Self.org)', 'Ada', 'ada@roth.example')"
      )
      let program = try await environment.serve(
        .defaultProfile, settings.merging(["MAPPINGS_DIRECTORIES": directory.path]) { $1 })
      try await body(environment)
      try await environment.stop(program)
    }
  }

  private func client(_ id: String, _ environment: TestEnvironment) async throws -> String {
    try await environment.rows("SELECT client_id FROM journey_identities WHERE external_id = '\(id)'")[0][0]
  }

  @Test func aMergeIsUndone() async throws {
    try await withHelpCentre { environment in
      try await environment.publish(
        Self.messages(("e1", "note", #""user":"u1""#), ("e2", "note", #""user":"u2""#)))
      try await environment.settles(events: 2)
      let (first, second) = (try await client("u1", environment), try await client("u2", environment))
      let merge = Self.messages(("e3", "merged", #""user":"u1","old":"u2""#))
      try await environment.publish(merge)
      try await environment.settles(events: 3)
      try await environment.publish(
        Self.messages(("e4", "overdue", #""user":"u2","invoice":"i1""#), ("e5", "note", #""user":"u1""#)))
      try await environment.settles(events: 5)
      let split = ["identity", "split", second, "--org", Self.org, "--reason", "two people"]
      let rehearsal = try await environment.succeed(split + ["--dry-run"])
      #expect(rehearsal.contains("2 events") && rehearsal.contains("nothing was changed"), "\(rehearsal)")
      let done = try await environment.succeed(split)
      #expect(
        done.contains("2 events") && done.contains("1 id, 1 invoice went back")
          && done.contains("the states of both are rebuilt"), "\(done)")
      #expect(try await environment.succeed(split).contains("is part of no other client"))
      let named = try await environment.run(["identity", "split", Self.ada, "--org", Self.org, "--reason", "x"])
      #expect(named.status == 0, "\(named)")
      let json = try await environment.succeed(split + ["--json"])
      #expect(json.contains("\"split\":false"), "\(json)")
      // The merge that arrives again, and a new one, change nothing: a person has split the two.
      try await environment.publish(merge + Self.messages(("e6", "merged", #""user":"u1","old":"u2""#)))
      try await environment.settles(events: 6)
      let owners = try await environment.rows(
        "SELECT source_event_id, client_id FROM client_journey_events ORDER BY 1")
      #expect(owners.map { $0[1] } == [first, second, first, second, first, first])
      let states = try await environment.rows(
        "SELECT stage FROM journey_client_state WHERE client_id = '\(second)'")
      #expect(states == [["billing"]])
      let history = try await environment.succeed(["identity", "history", "--org", Self.org, "--client", second])
      #expect(history.contains("split") && history.contains("two people"), "\(history)")
      try await environment.succeed(["identity", "merge", second, first, "--org", Self.org])
      let inside = try await environment.run(["identity", "split", first, "--org", Self.org, "--reason", "x"])
      #expect(inside.status == 65 && inside.errors.contains(second), "\(inside)")
      #expect(
        Set(try await environment.rows("SELECT client_id FROM client_journey_events").map { $0[0] }) == [first])
    }
  }

  @Test func aCompanysEventsWaitForTheOwner() async throws {
    try await withHelpCentre { environment in
      try await environment.publish(
        Self.messages(
          ("g1", "overdue", #""company":"acme","invoice":"i1""#),
          ("g2", "overdue", #""company":"acme","invoice":"i2","user":"anon-7""#)))
      try await eventually("the kept events") {
        try await environment.number("SELECT count(*) FROM journey_group_events") == 2
      }
      let listed = try await environment.succeed(["identity", "group", "list", "--org", Self.org, "--kept"])
      #expect(listed.contains("acme"), "\(listed)")
      let shown = try await environment.succeed(["identity", "group", "show", "helpCentre", "acme", "--org", Self.org])
      #expect(
        shown.contains("owner    (none)") && shown.contains("g1") && shown.contains("kept     2 events"), "\(shown)")
      let own = ["identity", "group", "owner", "helpCentre", "acme"]
      let options = ["--org", Self.org, "--reason", "pays"]
      let rehearsal = try await environment.succeed(own + ["ada@roth.example", "--dry-run"] + options)
      #expect(rehearsal.contains("2 kept events would go to the owner"), "\(rehearsal)")
      let done = try await environment.succeed(own + ["ada@roth.example"] + options)
      // serve's own round may hold the client at this moment: then they follow.
      #expect(
        done.contains("2 kept events went to the owner") || done.contains("2 kept events will follow"), "\(done)")
      #expect(done.contains("helpCentre acme is owned by \(Self.ada)"), "\(done)")
      try await environment.settles(events: 2)
      try await environment.publish(Self.messages(("g3", "overdue", #""company":"acme","invoice":"i3""#)))
      try await environment.settles(events: 3)
      #expect(
        Set(try await environment.rows("SELECT client_id FROM client_journey_events").map { $0[0] }) == [Self.ada])
      let cleared = try await environment.succeed(own + ["--clear"] + options)
      #expect(cleared.contains("no longer"), "\(cleared)")
      let unknown = try await environment.run(own + ["nobody@roth.example"] + options)
      #expect(unknown.status == 65 && unknown.errors.contains("has no client"), "\(unknown)")
      let foreign = try await environment.run(["identity", "group", "show", "helpCentre", "nobody", "--org", Self.org])
      #expect(foreign.status == 65 && foreign.errors.contains("group list shows"), "\(foreign)")
      #expect(try await environment.number("SELECT count(*) FROM journey_identities") == 0)
      // The first member gets what is kept without a command.
      try await environment.publish(Self.messages(("g4", "overdue", #""company":"lang","invoice":"i4""#)))
      try await eventually("the kept event") {
        try await environment.number("SELECT count(*) FROM journey_group_events") == 1
      }
      try await environment.publish(Self.messages(("m1", "note", #""company":"lang","device":"d1""#)))
      try await environment.settles(events: 5)
      #expect(try await environment.number("SELECT count(*) FROM journey_group_events") == 0)
    }
  }

  @Test func theSettingRejectsThem() async throws {
    try await withHelpCentre(["GROUPS_EVENTS": "reject"]) { environment in
      try await environment.publish(Self.messages(("g1", "overdue", #""company":"acme""#)))
      try await eventually("the dead letter") {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 1
      }
      let deadLetter = try #require(try await environment.drain("journey.dead-letters").first)
      #expect(deadLetter.properties.headers["x-journey-reason-code"]?.stringValue == "missing_field")
      #expect(deadLetter.properties.headers["x-journey-reason"]?.stringValue?.contains("only a group") == true)
    }
  }
}
