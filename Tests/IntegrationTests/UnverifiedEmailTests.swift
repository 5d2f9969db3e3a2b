import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Anonymous users who enter another person's address, and how an operator corrects wrongly linked ids.
@Suite struct UnverifiedEmailTests {
  private static let org = "0193a6f2-0000-7000-8000-000000000001"
  private static let ada = "0193a6f2-0000-7000-8000-0000000000a1"
  private static let address = "Ada@roth.example"

  private static func seed(_ environment: TestEnvironment) async throws {
    try await environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(org)', 'Roth');
      INSERT INTO contacts (id, org_id, name, email) VALUES ('\(ada)', '\(org)', 'Ada', '\(address)')
      """)
  }

  private static func message(_ source: String, _ body: String) -> OutboundMessage {
    var properties = MessageProperties(contentType: "application/json", messageID: UUID().uuidString)
    properties.headers["x-source"] = .string(source)
    properties.headers["x-org-id"] = .string(org)
    return OutboundMessage(
      exchange: "journey.events", routingKey: "\(source).event", properties: properties, body: Array(body.utf8))
  }

  private static func segment(_ id: String, _ event: String, user: String, email: String) -> OutboundMessage {
    message(
      "segment",
      #"{"messageId":"\#(id)","type":"track","event":"\#(event)","userId":"\#(user)","timestamp":"2026-01-02T03:04:05Z","properties":{"email":"\#(email)"}}"#
    )
  }

  private static func stripe(_ id: String, customer: String, email: String) -> OutboundMessage {
    message(
      "stripe",
      #"{"id":"\#(id)","type":"invoice.sent","created":1762000000,"data":{"object":{"id":"in_\#(id)","customer":"\#(customer)","customer_email":"\#(email)"}}}"#
    )
  }

  /// What an anonymous user can make each source send with the address.
  private static let typed: [(source: String, body: String)] = [
    (
      "segment",
      #"{"messageId":"s1","type":"track","event":"Subscription Cancelled","userId":"evil","timestamp":"2026-01-02T03:04:05Z","properties":{"email":"@@"}}"#
    ),
    (
      "delighted",
      #"{"event_type":"survey_response.created","event_id":"d1","event_data":{"id":"d1","person":{"id":"evil","email":"@@"},"score":0,"created_at":1762000000}}"#
    ),
    (
      "front",
      #"{"id":"f1","type":"inbound","emitted_at":1762000000.5,"conversation":{"id":"c1","recipient":{"handle":"@@"}}}"#
    ),
    (
      "freshdesk",
      #"{"ticket_id":7,"requester_id":"evil","requester_email":"@@","triggered_event":"{status:{from:4,to:2}}"}"#
    ),
  ]

  /// One request with a victim's address used to link a foreign id permanently, and to change the stage.
  @Test(arguments: typed.map(\.source)) func aTypedAddressLinksNothingAndChangesNoStage(_ source: String) async throws {
    let body = try #require(Self.typed.first { $0.source == source }?.body.replacing("@@", with: Self.address))
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      let program = try await environment.serve(.defaultProfile)
      try await environment.publish([Self.message(source, body)])
      try await eventually("the dead letter", state: { String(program.standardError.suffix(2000)) }) {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 1
      }
      let deadLetter = try #require(try await environment.drain("journey.dead-letters").first)
      #expect(deadLetter.properties.headers["x-journey-reason-code"]?.stringValue == "unknown_client")
      #expect(
        deadLetter.properties.headers["x-journey-reason"]?.stringValue?.contains(
          "does not say that the source verifies it (emailVerified)") == true)
      #expect(try await environment.number("SELECT count(*) FROM journey_identities") == 0)
      #expect(try await environment.number("SELECT count(*) FROM client_journey_events") == 0)
      #expect(try await environment.number("SELECT count(*) FROM contacts") == 1)
      try await environment.stop(program)
    }
  }

  /// The host's trigger rewrites the address. The stored address counts.
  @Test func anAddressThatTheHostRewritesFindsNoClientEither() async throws {
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      try await environment.execute(
        """
        CREATE FUNCTION host_tidy() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN NEW.email := replace(NEW.email, '+x', ''); RETURN NEW; END $$;
        CREATE TRIGGER host_tidy BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION host_tidy()
        """)
      let program = try await environment.serve(.defaultProfile)
      try await environment.publish([Self.segment("s1", "Signed Up", user: "evil", email: "later+x@roth.example")])
      try await environment.settles(events: 1, program)
      try await environment.stop(program)
      #expect(try await environment.rows("SELECT email FROM journey_unverified_emails") == [["later@roth.example"]])
      let refused = try await environment.run([
        "identity", "link", "zendesk", "zu1", "later@roth.example", "--org", Self.org,
      ])
      #expect(refused.status == 65, "\(refused)")
    }
  }

  /// A user who signs up with another person's address becomes a separate client with its own id. The owner of the
  /// address is still found by it.
  @Test func aTypedAddressIsKeptAndFindsNoClient() async throws {
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      let program = try await environment.serve(.defaultProfile)
      try await environment.publish([
        Self.segment("s1", "Signed Up", user: "evil", email: Self.address),
        Self.segment("s2", "Subscription Cancelled", user: "evil", email: Self.address),
        Self.segment("s3", "Signed Up", user: "evil2", email: "later@roth.example"),
      ])
      try await environment.settles(events: 3, program)
      let clients = try await environment.rows("SELECT client_id, stage FROM journey_client_state ORDER BY stage")
      #expect(
        clients.count == 2 && !clients.contains { $0[0] == Self.ada }
          && clients.map { $0[1] } == ["churn_risk", "onboarding"], "\(clients)")
      let kept = try await environment.rows(
        "SELECT c.email FROM contacts c JOIN journey_unverified_emails u ON u.client_id = c.id ORDER BY 1")
      #expect(kept == [[Self.address], ["later@roth.example"]])

      // The address finds Ada only; the other user's address finds no client.
      try await environment.publish([
        Self.stripe("e1", customer: "cus_ada", email: "ada@roth.example"),
        Self.stripe("e2", customer: "cus_late", email: "later@roth.example"),
      ])
      try await environment.settles(events: 4, program)
      try await eventually("the dead letter") {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 1
      }
      let linked = try await environment.rows(
        "SELECT client_id, via, event_id FROM journey_identities WHERE source = 'stripe'")
      #expect(linked == [[Self.ada, "email", "e1"]])
      let record = try await environment.rows(
        "SELECT action, source, external_id, client_id, event_id, actor, login <> '', at > now() - interval '1 hour' FROM journey_identity_log"
      )
      #expect(record == [["linked", "stripe", "cus_ada", Self.ada, "e1", "journey serve", "t", "t"]])
      // An operator's command does not mistake the other user for the owner either.
      let refused = try await environment.run([
        "identity", "link", "zendesk", "zu1", "later@roth.example", "--org", Self.org,
      ])
      #expect(
        refused.status == 65 && refused.errors.contains("an address that no source has verified is not searched"),
        "\(refused)")
      // An address that the host has set counts as verified.
      try await environment.execute("UPDATE contacts SET email = 'new@roth.example' WHERE email = 'later@roth.example'")
      try await environment.succeed(["identity", "link", "zendesk", "zu1", "new@roth.example", "--org", Self.org])
      try await environment.stop(program)
    }
  }

  @Test func anOperatorUnlinksAndTheRecordSaysWhatHadLinked() async throws {
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      let program = try await environment.serve(.defaultProfile)
      try await environment.publish([Self.stripe("e1", customer: "cus_1", email: Self.address)])
      try await environment.settles(events: 1, program)
      let unlink = [
        "identity", "unlink", "stripe", "cus_1", "--org", Self.org, "--actor", "ann", "--reason", "not her",
      ]
      let rehearsed = try await environment.succeed(unlink + ["--dry-run"])
      #expect(
        rehearsed.contains("stripe cus_1 is linked to \(Self.ada) Ada since")
          && rehearsed.contains("via email by the event e1"), "\(rehearsed)")
      #expect(try await environment.number("SELECT count(*) FROM journey_identities") == 1)
      let unlinked = try await environment.succeed(unlink + ["--json"])
      #expect(
        unlinked.contains(#""clientId""#) && unlinked.contains(Self.ada) && unlinked.contains("e1"), "\(unlinked)")
      let again = try await environment.run(unlink)
      #expect(again.status == 65 && again.errors.contains("stripe cus_1 is not linked to a client"), "\(again)")
      #expect(
        try await environment.run(["identity", "unlink", "stripe", "cus_1", "--org", Self.org, "--reason", " "]).status
          == 65)

      // Later events of the id look up their client again; earlier events stay with the old client.
      try await environment.publish([Self.stripe("e2", customer: "cus_1", email: "")])
      try await eventually("the dead letter") {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 1
      }
      let events = try await environment.rows("SELECT source_event_id, client_id FROM client_journey_events")
      #expect(events == [["e1", Self.ada]])
      try await environment.succeed([
        "identity", "link", "stripe", "cus_1", Self.ada, "--org", Self.org, "--actor", "ann", "--reason", "it was her",
      ])
      let history = try await environment.succeed([
        "identity", "history", "--org", Self.org, "--client", Self.ada, "--json",
      ])
      let entries = try #require(try JSONSerialization.jsonObject(with: Data(history.utf8)) as? [[String: Any]])
      #expect(entries.map { $0["action"] as? String } == ["linked", "unlinked", "linked"])
      #expect(entries.map { $0["actor"] as? String } == ["ann", "ann", "journey serve"])
      #expect(entries.map { $0["why"] as? String } == ["it was her", "not her", "found by its e-mail address"])
      #expect(entries[1]["eventId"] as? String == "e1" && entries[2]["eventId"] as? String == "e1")
      let listed = try await environment.succeed(["identity", "list", "--org", Self.org])
      #expect(listed.contains("operator"), "\(listed)")
      try await environment.stop(program)
    }
  }

  /// Clients that an event merges, and the event that caused it.
  @Test func aMergeIsInTheRecord() async throws {
    try await TestEnvironment.with { environment in
      try await Self.seed(environment)
      let program = try await environment.serve(.defaultProfile)
      func user(_ id: String) -> OutboundMessage {
        Self.message(
          "zendesk",
          #"{"id":"u\#(id)","type":"zen:event-type:user.created","time":"2025-11-20T10:00:00Z","account_id":1,"detail":{"id":"\#(id)","role":"end-user","name":"N\#(id)"},"event":{}}"#
        )
      }
      try await environment.publish([user("1"), user("2")])
      try await environment.settles(events: 2, program)
      try await environment.publish([
        Self.message(
          "zendesk",
          #"{"id":"m1","type":"zen:event-type:user.merged","time":"2025-11-21T10:00:00Z","account_id":1,"detail":{"id":"1","role":"end-user"},"event":{"user":{"id":"2"}}}"#
        )
      ])
      try await environment.settles(events: 3, program)
      let record = try await environment.rows(
        "SELECT action, source, external_id, event_id, client_id <> other_client_id FROM journey_identity_log")
      #expect(record == [["merged", "zendesk", "2", "m1", "t"]])
      try await environment.stop(program)
    }
  }
}
