import AMQPClient
import Foundation
import Journey
import JourneyAMQP
import TestServers
import Testing

@testable import TestSupport

/// The adapter's real input and output conform to `contracts/`, checked by an independent validator.
@Suite struct ContractTests {
  @Test func messagesKeepToTheContracts() async throws {
    var random = SeededRandom(stream: 107)
    let workload = Workload(events: 400, clients: 25, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      var bad = MessageProperties(contentType: "application/cloudevents+json")
      bad.headers["x-test"] = "bad"
      try await environment.publish(workload.messages(&random))
      try await environment.publish([
        OutboundMessage(exchange: "journey.events", routingKey: "test.bad", properties: bad, body: Array("{".utf8))
      ])
      let followed = "test.changes"
      _ = try await environment.admin.declare(Topology(queues: [QueueDeclaration(name: followed)]))
      try await environment.admin.bind(Binding(queue: followed, exchange: "journey.changes", routingKey: "#"))
      let program = try await environment.serve(.defaultProfile, ["CHANGES_PUBLISH": "true"])
      try await environment.settles(events: workload.events.count, program)
      try await eventually("the dead letter") {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 1
      }
      try await environment.stop(program)

      var actions: [Delivery] = []
      for channel in ["email", "voice", "human"] {
        actions += try await environment.drain("journey.actions.\(channel)")
      }
      #expect(actions.count > 20)
      let revocations = actions.filter { $0.properties.type == RevocationEvent.type }
      if !revocations.isEmpty {
        try await validate("revoked", revocations.map { String(decoding: $0.body, as: UTF8.self) })
      }
      let recommended = actions.filter { $0.properties.type == ActionEvent.type }
      try await validate("action", recommended.map { String(decoding: $0.body, as: UTF8.self) })
      try await validate("inbound-event", workload.events.map { String(decoding: $0.message.body, as: UTF8.self) })
      for action in actions {
        let body = try #require(try JSONSerialization.jsonObject(with: Data(action.body)) as? [String: Any])
        #expect(body["id"] as? String == action.properties.messageID)
      }

      let changes = try await environment.drain(followed)
      #expect(changes.count > 20)
      try await validate("client-changed", changes.map { String(decoding: $0.body, as: UTF8.self) })
      for change in changes {
        let root = try JSONDocument(parsing: change.body).root, data = try #require(root["data"])
        let key = [data["stage"]?.string, data["riskLevel"]?.string?.lowercased()].compactMap(\.self)
        #expect(change.routingKey == key.joined(separator: "."))
        #expect(change.properties.messageID == root["id"]?.string)
      }

      let deadLetters = try await environment.drain("journey.dead-letters")
      try await validate("dead-letter", try deadLetters.map(Self.asObject))
    }
  }

  @Test func revocationsAndTheAdaptersOwnReportsKeepToTheContracts() async throws {
    let action = UUID(), now = Timestamp(seconds: 1_795_000_000)
    let revocations = [ActionState.revoked, .superseded].map { state in
      RevocationEvent.message(
        RevokedAction(
          id: action, orgID: UUID(), clientID: UUID(), action: .emailOutreach, channel: .email, priority: .high,
          state: state, reason: state == .revoked ? "paid" : nil, at: now, traceparent: nil))
    }
    try await validate("revoked", revocations.map { String(decoding: $0.body, as: UTF8.self) })
    let forwarding = OutcomeForwarding(names: MessagingNames(), own: OwnMessages(user: "journey"), clock: SystemClock())
    let example = try Data(contentsOf: URL(filePath: "\(Repository.root)/contracts/examples/action.email.json"))
    let delivery = Delivery(
      tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.outcomes", routingKey: "dead.email",
      isRedelivered: false, properties: MessageProperties(type: ActionEvent.type, userID: "journey"),
      body: Array(example), problem: nil)
    let reports = [forwarding.message(for: delivery), forwarding.listed(delivery)].compactMap(\.self)
    #expect(reports.map(\.properties.type) == [OutcomeEvent.type, OutcomeEvent.type])
    try await validate("outcome", reports.map { String(decoding: $0.body, as: UTF8.self) })
  }

  @Test func aTextThatViolatesAContractIsReported() async throws {
    try await validate("outcome", [#"{"specversion":"1.0"}"#], expected: 1)
  }

  private static func asObject(_ deadLetter: Delivery) throws -> String {
    var headers: [String: Any] = [:]
    for field in deadLetter.properties.headers.fields {
      if let text = field.value.stringValue {
        headers[field.name] = text
      } else if let number = field.value.intValue {
        headers[field.name] = number
      }
    }
    let data = try JSONSerialization.data(withJSONObject: ["routingKey": deadLetter.routingKey, "headers": headers])
    return String(decoding: data, as: UTF8.self)
  }
}

/// Checks texts against a schema of `contracts/`.
func validate(_ schema: String, _ texts: [String], expected: Int32 = 0) async throws {
  let lines = texts.map { $0.replacing("\n", with: " ") }.joined(separator: "\n")
  let child = try ChildProcess.start(
    "/usr/bin/env", ["python3", "\(Repository.root)/scripts/contracts", schema, "-"],
    environment: ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"],
    directory: Repository.root, input: Array(lines.utf8))
  let ending = await child.ended(within: .seconds(60))
  #expect(ending == .exited(expected), "\(schema): \(child.standardError.prefix(3000))")
}
