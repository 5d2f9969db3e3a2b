import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Identities, from message to database: clients are found by e-mail address and by ids of their objects, and merged.
@Suite struct IdentityTests {
  private static let org = "0193a6f2-0000-7000-8000-000000000001"
  private static let ada = "0193a6f2-0000-7000-8000-0000000000a1"
  private static let bo = "0193a6f2-0000-7000-8000-0000000000b1"

  private static func seed(_ environment: TestEnvironment) async throws {
    try await environment.execute("INSERT INTO organizations (id, name) VALUES ('\(org)', 'Roth')")
    try await environment.execute(
      """
      INSERT INTO contacts (id, org_id, name, email) VALUES ('\(ada)', '\(org)', 'Ada', 'Ada@roth.example'), ('\(bo)', '\(org)', 'Bo', 'bo@roth.example'),
        (gen_random_uuid(), '\(org)', 'One', 'shared@roth.example'), (gen_random_uuid(), '\(org)', 'Two', 'shared@roth.example')
      """)
  }

  private static func message(_ source: String, _ body: String, id: String = UUID().uuidString) -> OutboundMessage {
    var properties = MessageProperties(contentType: "application/json")
    properties.headers["x-source"] = .string(source)
    properties.headers["x-org-id"] = .string(org)
    properties.messageID = id
    return OutboundMessage(
      exchange: "journey.events", routingKey: "\(source).event", properties: properties, body: Array(body.utf8))
  }

  /// A source that verifies addresses.
  private static func stripe(_ id: String, customer: String, email: String) -> OutboundMessage {
    message(
      "stripe",
      #"{"id":"\#(id)","type":"invoice.sent","created":1762000000,"data":{"object":{"id":"in_\#(id)","customer":"\#(customer)","customer_email":"\#(email)"}}}"#
    )
  }

  private static func zendesk(_ id: String, _ type: String, ticket: Int, requester: String?, event: String = "{}")
    -> OutboundMessage
  {
    let who = requester.map { #""requester_id":"\#($0)","# } ?? ""
    return message(
      "zendesk",
      #"{"id":"\#(id)","type":"zen:event-type:ticket.\#(type)","time":"2025-11-20T10:00:00Z","account_id":1,"detail":{\#(who)"id":"\#(ticket)"},"event":\#(event)}"#
    )
  }

  private static func owners(_ environment: TestEnvironment) async throws -> [String: String] {
    Dictionary(
      uniqueKeysWithValues: try await environment.rows("SELECT source_event_id, client_id FROM client_journey_events")
        .map {
          ($0[0], $0[1])
        })
  }

  @Test func findsClientsByEmailAndByTheirThings() async throws {
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      try await environment.succeed(["identity", "link", "zendesk", "zu7", "bo@roth.example", "--org", Self.org])
      let program = try await environment.serve(.defaultProfile)
      try await environment.publish([
        Self.stripe("d1", customer: "59", email: "ada@ROTH.example"),
        Self.stripe("d2", customer: "60", email: "shared@roth.example"),
        Self.zendesk("z1", "created", ticket: 5, requester: "zu7"),
      ])
      try await environment.settles(events: 2, program)
      // Now the person's id alone identifies the client, and the ticket identifies its client.
      try await environment.publish([
        Self.stripe("d3", customer: "59", email: ""),
        Self.zendesk(
          "z2", "status_changed", ticket: 5, requester: nil, event: #"{"current":"SOLVED","previous":"OPEN"}"#),
      ])
      try await environment.settles(events: 4, program)
      let owners = try await Self.owners(environment)
      #expect(owners["d1"] == Self.ada && owners["d3"] == Self.ada)
      #expect(owners["z1"] == Self.bo && owners["z2"] == Self.bo)
      try await eventually("the dead letter") {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 1
      }
      let deadLetter = try #require(try await environment.drain("journey.dead-letters").first)
      #expect(deadLetter.properties.headers["x-journey-reason-code"]?.stringValue == "ambiguous_client")
      #expect(deadLetter.properties.headers["x-journey-reason"]?.stringValue?.contains("share this address") == true)
      try await environment.stop(program)
    }
  }

  /// Promise 3 holds for merges too: in any order of arrival, all events belong to the remaining client, each once.
  @Test(arguments: [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]]) func aConversionMovesTheJourney(_ order: [Int])
    async throws
  {
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      let header = { (entity: String, id: String, change: String, tx: String, more: String) in
        Self.message(
          "salesforce",
          #"{"ChangeEventHeader":{"entityName":"\#(entity)","recordIds":["\#(id)"],"changeType":"\#(change)","transactionKey":"\#(tx)","sequenceNumber":1,"commitTimestamp":1762000000000},\#(more)}"#
        )
      }
      let messages = [
        header("Lead", "00Q1", "CREATE", "t1", #""Email":"new@lang.example","Company":"Lang""#),
        header("Contact", "003A", "CREATE", "t2", #""Name":"Lang","AccountId":"001A""#),
        header("Opportunity", "006A", "CREATE", "t3", #""ContactId":"003A","AccountId":"001A","StageName":"New""#),
        header(
          "Lead", "00Q1", "UPDATE", "t4",
          #""ConvertedContactId":"003A","ConvertedAccountId":"001A","ConvertedOpportunityId":"006A""#),
      ]
      let program = try await environment.serve(.defaultProfile)
      for index in order {
        try await environment.publish([messages[index]])
        // An event of an unknown client waits in a retry queue; the others are stored at once.
        try await eventually("an empty ingest queue") {
          try await environment.admin.messageCount(queue: "journey.ingest") == 0
        }
      }
      try await environment.settles(events: 4, within: .seconds(80), program)
      let owners = try await Self.owners(environment)
      #expect(Set(owners.keys) == ["t1-1", "t2-1", "t3-1", "t4-1"])
      #expect(Set(owners.values).count == 1, "\(owners)")
      #expect(
        try await environment.number(
          "SELECT count(DISTINCT client_id) FROM journey_identities WHERE source = 'salesforce'")
          == 1)
      let unexplained =
        "SELECT count(*) FROM journey_identities WHERE via IS NULL OR via <> 'created' AND event_id IS NULL"
      #expect(try await environment.number(unexplained) == 0, "each says how it came, and by which event")
      try await environment.publish(messages)
      try await eventually("an empty ingest queue") {
        try await environment.admin.messageCount(queue: "journey.ingest") == 0
      }
      try await environment.stop(program)
      #expect(try await environment.number("SELECT count(*) FROM client_journey_events") == 4)
    }
  }

  @Test func anOperatorMergesAndImports() async throws {
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      let csv = Array(
        "source,id,client\r\nzendesk,zu7,\(Self.ada)\nzendesk,\"zu8\",bo@roth.example\nzendesk,zu9,nobody@x.example\nzendesk,zu7,\(Self.bo)\nx\n"
          .utf8)
      // Ids that are invalid in events are reported with their line, and reading continues.
      for odd in [String(repeating: "i", count: 257), "e" + String(repeating: "\u{301}", count: 600), "a\u{1}b"] {
        let lines = Array("zendesk,\(odd),\(Self.ada)\n\(odd),zu,\(Self.ada)\nzendesk,only,nobody@x.example\n".utf8)
        let refused = try await environment.run(["identity", "import", "-", "--org", Self.org], input: lines)
        #expect(refused.status == 65, "\(refused)")
        #expect(refused.output.contains("0 linked, 0 linked already, 3 not linked"), "\(refused)")
        #expect(refused.errors.contains("-:1: no event could have this id"), "\(refused)")
        #expect(refused.errors.contains("-:2: no event could have this source"), "\(refused)")
        #expect(refused.errors.utf8.count < 4000)
        let alone = try await environment.run(["identity", "link", "zendesk", odd, Self.ada, "--org", Self.org])
        #expect(alone.status == 65 && alone.errors.contains("no event could have this id"), "\(alone)")
      }
      let imported = try await environment.run(["identity", "import", "-", "--org", Self.org], input: csv)
      #expect(
        imported.status == 65 && imported.output.contains("2 linked, 0 linked already, 3 not linked"), "\(imported)")
      #expect(
        imported.errors.contains("-:4: the organisation has no client nobody@x.example")
          && imported.errors.contains("-:5: zendesk zu7 is linked to the client")
          && imported.errors.contains("-:6: expected three fields"))
      let program = try await environment.serve(.defaultProfile)
      try await environment.publish([
        Self.zendesk("z1", "created", ticket: 5, requester: "zu7"),
        Self.zendesk("z2", "created", ticket: 6, requester: "zu8"),
      ])
      try await environment.settles(events: 2, program)
      try await environment.succeed(["identity", "merge", Self.ada, Self.bo, "--org", Self.org])
      let again = try await environment.run(["identity", "merge", Self.bo, Self.ada, "--org", Self.org])
      #expect(again.status == 65 && again.errors.contains("are merged already"))
      // Events for the old client, under either of its ids, belong to the new one.
      try await environment.publish([
        Self.zendesk("z3", "created", ticket: 7, requester: "zu7"),
        Self.message(
          "journey",
          #"{"id":"j1","clientId":"\#(Self.ada)","stage":"onboarding","eventType":"contract_signed","occurredAt":"2025-11-21T10:00:00Z"}"#
        ),
      ])
      try await environment.settles(events: 4, program)
      try await environment.stop(program)
      #expect(Set(try await Self.owners(environment).values) == [Self.bo])
      let state = try await environment.rows(
        "SELECT stage, risks::text FROM journey_client_state WHERE client_id = '\(Self.bo)'")
      #expect(state[0][0] == "onboarding" && state[0][1].contains("high_support_tickets") == false)
      let listed = try await environment.succeed(["identity", "list", "--org", Self.org, "--source", "zendesk"])
      #expect(listed.contains("zu7") && listed.contains("ticket:7") && !listed.contains(Self.ada))
    }
  }

  @Test func changedMappingsAreTakenIntoUseAndBrokenOnesAreNot() async throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "reload-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    func write(_ type: String) throws {
      let yaml = """
        source: abacus
        envelope: {id: $.id, type: $.kind, time: {path: $.at, unit: s}, client: $.who, org: "header:x-org-id"}
        rules:
          - {name: all, when: {type: x}, event: {type: \(type), stage: keep}}
        """
      try Data(yaml.utf8).write(to: directory.appending(path: "abacus.yaml"), options: .atomic)
    }
    try write("first_type")
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      let program = try await environment.serve(.defaultProfile, ["MAPPINGS_DIRECTORIES": directory.path])
      func send(_ id: Int) async throws {
        try await environment.publish([
          Self.message("abacus", #"{"id":\#(id),"kind":"x","at":1762000000,"who":"\#(Self.ada)"}"#)
        ])
      }
      try await send(1)
      try await environment.settles(events: 1, program)
      try write("second_type")
      program.send(SIGHUP)
      try await eventually("the reload", state: { program.standardError }) {
        program.standardError.contains("mappings reloaded")
      }
      try await send(2)
      try write("third_type, satge: keep")
      try await eventually("the refusal", state: { program.standardError }) {
        program.standardError.contains("mappings not reloaded, the old ones stay in use")
          && program.standardError.contains("did you mean stage?")
      }
      try await send(3)
      try await environment.settles(events: 3, program)
      try await environment.stop(program)
      let types = try await environment.rows("SELECT event_type FROM client_journey_events ORDER BY source_event_id")
      #expect(types == [["first_type"], ["second_type"], ["second_type"]])
    }
  }
}
