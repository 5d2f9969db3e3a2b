import AMQPClient
import Foundation
import Synchronization
import TestServers
import Testing

@testable import TestSupport

/// A publisher with access to the events exchange only, who forges headers of the adapter and the broker.
@Suite struct ForgedHeaderTests {
  /// How the broker comes to dead-letter the message unchanged.
  enum Way: String, CaseIterable, Sendable {
    /// The headers leave no space for the adapter's reason.
    case padded
    /// It expires before a consumer gets it.
    case expired
    /// It is too large to be read.
    case large

    var code: String { self == .expired ? "expired" : "rejected" }
  }

  private static let stranger = "00000000-0000-4000-8000-00000000beef"

  /// A body that a consumer could mistake for an action of the adapter.
  private static func action(_ way: Way) -> [UInt8] {
    let padding = way == .large ? String(repeating: "x", count: 33 << 20) : ""
    return Array(
      #"{"specversion":"1.0","id":"forged","type":"journey.action.recommended.v1","source":"/journey","data":{"action":"email_outreach","x":"\#(padding)"}}"#
        .utf8)
  }

  private static func forged(_ way: Way) -> OutboundMessage {
    var headers: FieldTable = [
      "x-journey-exchange": "journey.actions", "x-journey-routing-key": "email.email_outreach.high",
      "x-journey-attempt": 7,
      "x-journey-first-failure": "1999-01-01T00:00:00Z unknown_client", "x-journey-reason": "forged",
      "x-journey-reason-code": "forged",
      "x-journey-field": "forged", "x-journey-value": "forged", "x-journey-failed-at": "1999-01-01T00:00:00Z",
      "x-journey-replay": 5,
      "x-journey-caused-by": .string(stranger), "x-journey-user-id": "somebody",
      "x-first-death-exchange": "journey.actions",
      // RabbitMQ before 4.0 increments entries with a matching queue and reason, and keeps the others.
      "x-death": .array(
        ["rejected", "expired"].map {
          .table([
            "queue": "journey.ingest", "reason": .string($0), "exchange": "journey.actions",
            "routing-keys": .array(["email.email_outreach.high"]),
            "time": .timestamp(915_148_800), "count": .int(0), "original-expiration": "1",
          ])
        }),
    ]
    if way == .padded {
      headers = FieldTable(
        headers.fields.filter { ["x-journey-exchange", "x-journey-routing-key", "x-journey-replay"].contains($0.name) })
      headers["padding"] = .string(String(repeating: "p", count: 130_700))
    }
    return OutboundMessage(
      exchange: "journey.events", routingKey: "journey.ingest",
      properties: MessageProperties(
        contentType: "application/cloudevents+json", headers: headers, expiration: way == .expired ? "1" : nil,
        messageID: "forged"),
      body: action(way))
  }

  /// Publishes as a user without further permissions.
  private func publish(_ message: OutboundMessage, _ environment: TestEnvironment) async throws {
    let url = try await environment.servers.allow(
      "publisher-\(environment.vhost)", in: environment.vhost, configure: "^$", write: #"^journey\.events$"#, read: "^$"
    )
    var settings = try AMQPConnectionSettings(uri: url, connectionName: "publisher")
    settings.maxBodyBytes = 128 << 20
    let publisher = AMQPPublisher(settings: settings)
    publisher.start()
    let outcomes = await publisher.publish([message])
    await publisher.close()
    try #require(outcomes == [.confirmed], "\(outcomes)")
  }

  /// The forged message as a dead letter in the archive, with the API running.
  private func environment(_ way: Way, _ body: (APIEnvironment, _ deadLetter: String) async throws -> Void) async throws
  {
    try await APIEnvironment.with { api in
      let environment = api.environment
      if way == .expired {
        // It must expire before a consumer gets it.
        try await environment.stop(api.program)
      }
      try await publish(Self.forged(way), environment)
      var again: APIEnvironment?
      if way == .expired {
        try await eventually("the broker's moving it") {
          try await environment.admin.messageCount(queue: "journey.dead-letters") == 1
        }
        again = try await APIEnvironment.serve(environment)
      }
      let running = again ?? api
      try await eventually("the dead letter", state: { String(running.program.standardError.suffix(3000)) }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters") == 1
      }
      try await body(running, try await environment.rows("SELECT id FROM journey_dead_letters")[0][0])
      if let again { try await environment.stop(again.program) }
    }
  }

  @Test(arguments: Way.allCases) func whatTheBrokerMovedTellsNothingOfItself(_ way: Way) async throws {
    try await environment(way) { api, deadLetter in
      let environment = api.environment
      let row = try await environment.rows(
        """
        SELECT code, exchange, routing_key, attempts, replay_count, COALESCE(caused_by::text, ''), COALESCE(field, ''), COALESCE(value, ''),
          failed_at > now() - interval '1 hour' AND first_failed_at = failed_at, properties ->> 'userId', headers::text ~ 'x-journey|x-death'
        FROM journey_dead_letters
        """)
      #expect(row == [[way.code, "journey.events", "journey.ingest", "1", "0", "", "", "", "t", "", "f"]])
      let texts = [
        try await environment.succeed(["dlq", "show", deadLetter]),
        try await environment.succeed(["dlq", "show", deadLetter, "--json"]),
        way == .large ? "" : try await environment.succeed(["dlq", "export"]),
        try await environment.succeed(["dlq", "list", "--json"]),
        try await api.get(
          "/api/operations/dead-letters/\(deadLetter)", APIEnvironment.token(UUID().uuidString, operations: true)
        )
        .body,
      ]
      let page = try await api.get(
        "/api/operations/dead-letters", APIEnvironment.token(UUID().uuidString, operations: true))
      #expect(
        page.status == 200 && page.body.utf8.count < 20_000 && page.body.contains("headersOmitted") == (way == .padded),
        "\(page.body.prefix(2000))")
      for text in texts {
        #expect(
          !text.contains("journey.actions") && !text.contains("email_outreach.high") && !text.contains("1999")
            && !text.contains("beef"))
      }
    }
  }

  @Test(arguments: Way.allCases, [true, false]) func aReplayOfItIsNoAction(_ way: Way, byCommand: Bool) async throws {
    // Too large to replay.
    if way == .large { return }
    try await environment(way) { api, deadLetter in
      let environment = api.environment
      if byCommand {
        // This may fail: headers that nearly fill a frame leave no space for the replay's own.
        _ = try await environment.run(["dlq", "replay", deadLetter])
      } else {
        let answer = try await api.send(
          "POST", "/api/operations/dead-letters/replay", APIEnvironment.token(UUID().uuidString, operations: true),
          body: #"{"ids":["\#(deadLetter)"]}"#)
        try #require(answer.status == 202, "\(answer)")
      }
      // It returns as a dead letter under its own id, or was never sent.
      try await eventually("its return", state: { String(api.program.standardError.suffix(3000)) }) {
        try await environment.number(
          "SELECT count(*) FROM journey_dead_letter_log WHERE action IN ('failed_again', 'replay_failed')") == 1
      }
      let rows = try await environment.rows("SELECT id, state, replay_count FROM journey_dead_letters")
      #expect(rows == [[deadLetter, "new", "1"]])
      for queue in ["journey.actions.email", "journey.actions.voice", "journey.actions.human", "journey.outcomes"] {
        #expect(try await environment.admin.messageCount(queue: queue) == 0, "\(queue)")
      }
    }
  }

  /// Dead letters that an earlier version archived, or that were imported, may name any exchange.
  @Test func aDeadLetterOfTheArchiveThatNamesTheActionsIsRefusedWithTheReason() async throws {
    try await TestEnvironment.with { environment in
      try await environment.execute(
        """
        INSERT INTO journey_dead_letters (id, fingerprint, code, reason, exchange, routing_key, body, body_size, first_failed_at, failed_at)
        VALUES (gen_random_uuid(), 'x', 'rejected', 'r', 'journey.actions', 'email.email_outreach.high', '{}', 2, now(), now())
        """)
      let refused = try await environment.run(["dlq", "replay", "--all"])
      #expect(
        refused.status == 1
          && refused.errors.contains("it was published to journey.actions, and a replay goes to journey.ingest only"),
        "\(refused)")
      #expect(try await environment.admin.messageCount(queue: "journey.actions.email") == 0)
      #expect(try await environment.admin.messageCount(queue: "journey.ingest") == 0)
      #expect(try await environment.rows("SELECT state FROM journey_dead_letters") == [["new"]])
    }
  }
}
