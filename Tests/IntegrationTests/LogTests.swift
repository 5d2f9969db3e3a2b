import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport
@testable import JourneyCLI

/// Untrusted text in logs and on terminals is escaped and stays on its line, and message contents are not logged.
@Suite struct LogTests {
  private static let org = "0a000000-0000-4000-8000-00000000000a", client = "0c000000-0000-4000-8000-0000000000a1"
  /// A forged log line, a terminal title, colours, cursor movement, text direction changes, and forged fields.
  private static let hostile =
    "x\n2026-01-01T00:00:00+0000 critical journey: all is lost\r\u{1B}]0;owned\u{07}\u{1B}[31mred\u{9B}2J\u{202E}txet\u{2066}\u{2028}y code=forged"

  private func hostile(in text: String, isLog: Bool = false) -> [String] {
    var problems: [String] = []
    for (number, line) in text.split(separator: "\n").enumerated() {
      if line.hasPrefix("2026-01-01") || isLog && line.contains("code=forged") && !line.contains("\"") {
        problems.append("line \(number) is forged: \(line)")
      }
    }
    for scalar in text.unicodeScalars where scalar != "\n" && scalar != "\t" && !scalar.isPlainText {
      problems.append("U+\(String(scalar.value, radix: 16)) stands in it")
    }
    return problems
  }

  private func seed(_ environment: TestEnvironment) async throws {
    try await environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Alpha');
      INSERT INTO contacts (id, org_id, name, email) VALUES ('\(Self.client)', '\(Self.org)', E'Ada\\n2026-01-01 \\u001b[31m\\u202e', E'a@b\\u009b2J');
      """)
  }

  private func event(_ id: String, type: String = "ticket_opened", data: String = "{}", routingKey: String = "crm.x")
    -> OutboundMessage
  {
    func json(_ text: String) -> String { String(decoding: (try? JSONEncoder().encode(text)) ?? Data(), as: UTF8.self) }
    let body = """
      {"specversion":"1.0","id":\(json(id)),"source":"/crm","type":\(json(type)),"time":"2026-11-20T10:00:00Z","subject":"\(Self.client)",\
      "orgid":"\(Self.org)","data":\(data)}
      """
    return OutboundMessage(
      exchange: "journey.events", routingKey: routingKey,
      properties: MessageProperties(contentType: "application/cloudevents+json"), body: Array(body.utf8))
  }

  @Test func othersTextForgesNoLineAndSteersNoTerminal() async throws {
    try await TestEnvironment.with { environment in
      try await seed(environment)
      let program = try await environment.serve(.defaultProfile, ["DEAD_LETTERS_ARCHIVE": "true"])
      let key = String(Self.hostile.prefix(200))
      func raw(_ body: String, _ type: String, _ headers: FieldTable = [:]) -> OutboundMessage {
        OutboundMessage(
          exchange: "journey.events", routingKey: key,
          properties: MessageProperties(contentType: type, headers: headers), body: Array(body.utf8))
      }
      let name = String(decoding: try JSONEncoder().encode(Self.hostile), as: UTF8.self)
      try await environment.publish([
        event("good"), event("bad-0-\(Self.hostile)"), event("bad-1", type: Self.hostile, routingKey: key),
        raw("{\(name):nonsense}", "application/cloudevents+json"),
        raw("{\(name):{\(name):[1,nonsense]}}", "application/cloudevents+json"),
        raw("{}", "text/\(key)"), raw("{}", "application/json", ["x-source": .string(Self.hostile)]),
        raw("{}", "application/json", ["x-source": .string("stripe"), "x-org-id": .string(Self.hostile)]),
      ])
      try await eventually("the dead letters", state: { program.standardError }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters") == 7
      }
      try await environment.settles(events: 1, program)
      try await environment.stop(program)
      #expect(program.standardError.contains("dead letter"))
      for problem in hostile(in: program.standardError, isLog: true) { Issue.record("log: \(problem)") }
      let ids = try await environment.rows("SELECT id FROM journey_dead_letters").map { $0[0] }
      var commands = [
        ["explain", Self.client], ["dlq", "list"], ["dlq", "stats"], ["dlq", "list", "--json"],
        ["explain", Self.client, "--json"], ["doctor"],
      ]
      for id in ids { commands += [["dlq", "show", id], ["dlq", "show", id, "--json"]] }
      for command in commands {
        let finished = try await environment.run(command)
        for problem in hostile(in: finished.output + finished.errors) {
          Issue.record("\(command.joined(separator: " ")): \(problem)")
        }
        if command.contains("--json") { _ = try JSONSerialization.jsonObject(with: Data(finished.output.utf8)) }
      }
    }
  }

  @Test func noContentOfAMessageStandsInTheLog() async throws {
    try await TestEnvironment.with { environment in
      try await seed(environment)
      try await environment.execute(
        """
        CREATE FUNCTION host_says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.event_type = 'refused' THEN RAISE EXCEPTION 'not this: %', NEW.metadata; END IF;
          IF NEW.event_type = 'denied' THEN RAISE EXCEPTION 'nor that: %', NEW.metadata USING ERRCODE = '42501'; END IF;
          RETURN NEW; END $$;
        CREATE TRIGGER host_says BEFORE INSERT ON client_journey_events FOR EACH ROW EXECUTE FUNCTION host_says();
        """)
      let program = try await environment.serve(
        .defaultProfile, ["DEAD_LETTERS_ARCHIVE": "true", "LOG_LEVEL": "debug"])
      let secret = #"{"kanarivogel":"kanarivogel"}"#
      let types = try await environment.rows("SELECT 1").isEmpty ? [] : ["ticket_opened", "meeting_scheduled"]
      var messages = types.map { event("good-\($0)", type: $0, data: secret) }
      // In the adapter's own format, which allows any type.
      for type in ["refused", "denied"] {
        let body =
          #"{"id":"e-\#(type)","orgId":"\#(Self.org)","clientId":"\#(Self.client)","stage":"retention","eventType":"\#(type)","#
          + #""occurredAt":"2026-11-20T10:00:00Z","metadata":\#(secret)}"#
        messages.append(
          OutboundMessage(
            exchange: "journey.events", routingKey: "own.\(type)",
            properties: MessageProperties(
              contentType: "application/json", headers: ["x-source": .string("journey"), "x-org-id": .string(Self.org)]),
            body: Array(body.utf8)))
      }
      messages.append(
        OutboundMessage(
          exchange: "journey.events", routingKey: "crm.bad",
          properties: MessageProperties(contentType: "application/cloudevents+json"),
          body: Array(#"{"kanarivogel":{"kanarivogel":kanarivogel}}"#.utf8)))
      try await environment.publish(messages)
      try await eventually("the dead letters", within: .seconds(90), state: { program.standardError }) {
        // Other events arrive meanwhile. They show which event causes the failure.
        try await environment.publish([event("more-\(UUID().uuidString)")])
        return try await environment.number("SELECT count(*) FROM journey_dead_letters") >= 3
      }
      try await environment.stop(program)
      #expect(!program.standardError.contains("kanarivogel"), "\(program.standardError)")
      // The reader of the dead letter sees the details.
      #expect(
        try await environment.number(
          "SELECT count(*) FROM journey_dead_letters WHERE reason LIKE '%kanarivogel%' AND code = 'refused_by_database'"
        ) >= 1)
    }
  }

  @Test func aFloodOfDeadLettersIsAFewLines() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(
        .defaultProfile, ["DEAD_LETTERS_ARCHIVE": "true", "LOG_FORMAT": "json", "LOG_STATISTICS_SECONDS": "0"])
      let count = 5000
      try await environment.publish(
        (0..<count).map {
          OutboundMessage(
            exchange: "journey.events", routingKey: "fax.page",
            properties: MessageProperties(contentType: "application/json", headers: ["x-source": .string("fax")]),
            body: Array(#"{"page":\#($0)}"#.utf8))
        })
      try await eventually("the dead letters", within: .seconds(90), state: { program.standardError }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters") == count
      }
      try await environment.stop(program)
      struct Line: Decodable {
        var message: String
        var repeats: Int?
      }
      let lines = try program.standardError.split(separator: "\n").map {
        try JSONDecoder().decode(Line.self, from: Data($0.utf8))
      }
      let dead = lines.filter { $0.message == "dead letter" }
      #expect(dead.reduce(0) { $0 + ($1.repeats ?? 1) } == count, "each is counted once")
      #expect(lines.count < 40, "\(lines.count) lines")
    }
  }

  @Test func noCommandPrintsPartsOfAPassword() async throws {
    try await TestEnvironment.with { environment in
      for password in ["kanari?vogel9@amsel3", "kanari#vogel9", "1/kanari@vogel9", "1?kanari=vogel9"] {
        let url = "user:\(password)@127.0.0.1:1/"
        for (command, variables) in [
          (["doctor"], ["AMQP_URL": "amqp://\(url)", "DATABASE_URL": "postgresql://\(url)"]),
          (["dlq", "stats"], ["DATABASE_URL": "host=127.0.0.1 port=1 password=\(password) x"]),
          (
            ["serve", "--config", Profile.defaultProfile.configuration],
            ["API_JWKS_URL": "https://\(url)", "API_JWT_ALGORITHM": "RS256", "API_JWT_SECRET": ""]
          ),
        ] {
          let child = try environment.start(command, environment: variables)
          _ = try #require(await child.ended(within: .seconds(40)), "\(command) refuses \(variables)")
          for word in ["kanari", "vogel9", "amsel3"] {
            #expect(
              !(child.standardOutput + child.standardError).contains(word),
              "\(command) \(variables): \(child.standardOutput) \(child.standardError)")
          }
        }
      }
    }
  }
}

extension Unicode.Scalar {
  fileprivate var isPlainText: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: false
    default: true
    }
  }
}
