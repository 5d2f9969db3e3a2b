import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// The archive of dead letters never contains credentials, and deletes dead letters after their retention time.
@Suite struct DeadLetterPrivacyTests {
  private static let headers: FieldTable = [
    "Authorization": "Bearer s3cr3t", "Cookie": "session=s3cr3t", "X-Api-Key": "s3cr3t",
    "Stripe-Signature": "t=1,v1=s3cr3t",
    "x-hub-signature-256": "sha256=s3cr3t", "x-shopify-hmac-sha256": "s3cr3t", "x-source": "fax", "x-request": "kept",
    "http": .table(["authorization": "Basic s3cr3t", "accept": "kept"]),
  ]

  private func publish(_ environment: TestEnvironment, _ headers: FieldTable = headers) async throws {
    try await environment.publish([
      OutboundMessage(
        exchange: "journey.events", routingKey: "fax.page",
        properties: MessageProperties(contentType: "application/json", headers: headers, messageID: "m"),
        body: Array(#"{"page":1}"#.utf8))
    ])
  }

  private func deadLetters(_ count: Int, _ environment: TestEnvironment, _ program: ChildProcess) async throws {
    try await eventually("\(count) dead letters", state: { String(program.standardError.suffix(3000)) }) {
      try await environment.number("SELECT count(*) FROM journey_dead_letters") == count
    }
  }

  @Test func credentialsAreNeitherKeptNorShown() async throws {
    try await APIEnvironment.with { api in
      let environment = api.environment
      try await publish(environment)
      try await deadLetters(1, environment, api.program)
      let id = try await environment.rows("SELECT id FROM journey_dead_letters")[0][0]
      let row = try await environment.rows("SELECT d::text FROM journey_dead_letters d")[0][0]
      #expect(!row.contains("s3cr3t") && row.contains("kept"), "\(row)")
      let exported = try await environment.succeed(["dlq", "export"])
      let shown = try await environment.succeed(["dlq", "show", id])
      let answer = try await api.get(
        "/api/operations/dead-letters/\(id)", APIEnvironment.token(UUID().uuidString, operations: true))
      for text in [exported, shown, answer.body] {
        #expect(!text.contains("s3cr3t") && !text.contains(Data("s3cr3t".utf8).base64EncodedString()), "\(text)")
        for name in ["Authorization", "Cookie", "X-Api-Key", "Stripe-Signature", "http.authorization", "x-request"] {
          #expect(text.contains(name), "\(name): \(text)")
        }
      }
      #expect((answer.json["redactedHeaders"] as? [String])?.count == 7, "\(answer)")
      #expect(shown.contains("redacted"))

      // A replay works without them. The returning message is the same dead letter, also if the source signs it again.
      try await environment.succeed(["dlq", "replay", id])
      try await eventually("its return") {
        try await environment.number("SELECT count(*) FROM journey_dead_letter_log WHERE action = 'failed_again'") == 1
      }
      var again = Self.headers
      again["Stripe-Signature"] = "t=2,v1=other"
      try await publish(environment, again)
      try await eventually("the archive's taking it") { api.program.standardError.contains("known=1") }
      try await deadLetters(1, environment, api.program)

      // Exports of an earlier version may still contain them.
      let old = exported.replacing(
        #""headers":["#, with: #""headers":[{"name":"Authorization","type":"string","value":"Bearer s3cr3t"},"#)
      #expect(old != exported)
      try await environment.succeed(["dlq", "delete", "--all", "--reason", "test"])
      try await environment.succeed(["dlq", "import", "-"], input: Array(old.utf8))
      let imported = try await environment.rows("SELECT d::text FROM journey_dead_letters d")
      #expect(imported.count == 1 && !imported[0][0].contains("s3cr3t"), "\(imported)")
    }
  }

  @Test func whatIsACredentialCanBeSet() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(
        .defaultProfile, ["DEAD_LETTERS_ARCHIVE": "true", "DEAD_LETTERS_REDACT_HEADERS": "x-request,HTTP"])
      try await publish(environment)
      try await deadLetters(1, environment, program)
      let row = try await environment.rows(
        "SELECT redacted_headers, headers::text LIKE '%s3cr3t%', headers::text LIKE '%kept%' FROM journey_dead_letters")
      #expect(row == [[#"["http", "x-request"]"#, "t", "f"]])
      try await environment.stop(program)
    }
  }

  /// Dead letters that were archived before credentials were left out.
  @Test func anUpgradeTakesCredentialsOutOfTheArchive() async throws {
    try await TestEnvironment.with(isMigrated: false) { environment in
      let directory = FileManager.default.temporaryDirectory.appendingPathComponent("migrations-\(UUID().uuidString)")
        .path
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(atPath: directory) }
      for file in try FileManager.default.contentsOfDirectory(atPath: "\(Repository.root)/migrations")
      where file < "110" {
        try FileManager.default.copyItem(
          atPath: "\(Repository.root)/migrations/\(file)", toPath: "\(directory)/\(file)")
      }
      let before = try await environment.run(["migrate"], environment: ["MIGRATIONS_DIRECTORY": directory])
      try #require(before.status == 0, "\(before.errors)")
      try await environment.execute(
        """
        INSERT INTO journey_dead_letters (id, fingerprint, code, reason, exchange, routing_key, body, body_size, first_failed_at, failed_at, headers)
        SELECT gen_random_uuid(), int4send(n), 'rejected', 'r', 'journey.events', 'k', '{}', 2, now(), now(), h::jsonb
        FROM unnest(ARRAY[
          '[{"name":"AUTHORIZATION","type":"string","value":"s3cr3t"},{"name":"x-source","type":"string","value":"token"}]', '[]',
          '[{"name":"x-hub-signature","type":"string","value":"s3cr3t"}]', '[{"name":"a","type":"string","value":"b"}]',
          '[{"name":"t","type":"table","value":[{"name":"api_key","type":"string","value":"s3cr3t"},{"name":"n","type":"int","value":1}]},
            {"name":"l","type":"array","value":[{"type":"table","value":[{"name":"cookie","type":"string","value":"s3cr3t"}]}]}]'
        ]) WITH ORDINALITY AS x(h, n)
        """.replacing("int4send(n)", with: "int8send(n)"))
      try await environment.succeed(["migrate"])
      let rows = try await environment.rows(
        "SELECT headers, redacted_headers FROM journey_dead_letters ORDER BY fingerprint")
      #expect(
        rows == [
          [#"[{"name": "x-source", "type": "string", "value": "token"}]"#, #"["AUTHORIZATION"]"#], ["[]", "[]"],
          ["[]", #"["x-hub-signature"]"#],
          [#"[{"name": "a", "type": "string", "value": "b"}]"#, "[]"],
          [
            #"[{"name": "t", "type": "table", "value": [{"name": "n", "type": "int", "value": 1}]}, "#
              + #"{"name": "l", "type": "array", "value": [{"type": "table", "value": []}]}]"#,
            #"["t.api_key", "l.cookie"]"#,
          ],
        ])
    }
  }

  /// Inserts one dead letter per state and age in days.
  private func insert(_ environment: TestEnvironment, days: [Int]) async throws {
    try await environment.execute(
      """
      INSERT INTO journey_dead_letter_replays (actor, filter) VALUES ('ann', '{}');
      INSERT INTO journey_dead_letters (id, fingerprint, code, reason, exchange, routing_key, body, body_size, first_failed_at, failed_at, received_at,
        settled_at, state, replay_id)
      SELECT gen_random_uuid(), convert_to(s || n, 'UTF8'), 'c' || n, 'r', 'journey.events', 'k', convert_to('ada@example.com ' || s || n, 'UTF8'), 20,
        now() - n * interval '1 day', now() - n * interval '1 day', now() - n * interval '1 day',
        CASE WHEN s IN ('replayed', 'discarded') THEN now() - n * interval '1 day' END, s, CASE WHEN s = 'replaying' THEN 1 END
      FROM unnest(ARRAY['new', 'replaying', 'replayed', 'discarded']) s, unnest(ARRAY[\(days.map(String.init).joined(separator: ","))]) n
      """)
  }

  private func left(_ environment: TestEnvironment) async throws -> Set<String> {
    Set(try await environment.rows("SELECT state || substr(code, 2) FROM journey_dead_letters").map { $0[0] })
  }

  @Test(
    arguments: [
      ([:], ["new10", "new100", "new400", "replaying10", "replaying100", "replaying400", "replayed10", "discarded10"]),
      (
        ["DEAD_LETTERS_RETENTION_DAYS": "0", "DEAD_LETTERS_OPEN_RETENTION_DAYS": "200"],
        [
          "new10", "new100", "replaying10", "replaying100", "replaying400", "replayed10", "replayed100", "replayed400",
          "discarded10", "discarded100",
          "discarded400",
        ]
      ),
    ] as [([String: String], [String])])
  func deadLettersAreDeletedWhenTheirTimeIsOver(_ settings: [String: String], _ kept: [String]) async throws {
    try await TestEnvironment.with { environment in
      try await insert(environment, days: [10, 100, 400])
      let program = try await environment.serve(
        .defaultProfile, settings.merging(["DEAD_LETTERS_ARCHIVE": "true"]) { $1 })
      try await eventually("the deletion", state: { program.standardError }) {
        program.standardError.contains("dead letters deleted")
      }
      #expect(try await left(environment) == Set(kept))
      let record = try await environment.rows(
        "SELECT DISTINCT action, actor, why LIKE 'deadLetters.%Days is %', count(*) OVER () FROM journey_dead_letter_log"
      )
      #expect(record == [["deleted", "journey serve", "t", "\(12 - kept.count)"]])
      try await environment.stop(program)
    }
  }

  @Test func deadLettersAreDeletedOnDemand() async throws {
    try await TestEnvironment.with { environment in
      try await insert(environment, days: [1, 2])
      for wrong in [
        ["--reason", "x"], ["--all"], ["--all", "--reason", " "], ["--all", "--reason", "x", "--state", "replaying"],
      ] {
        let refused = try await environment.run(["dlq", "delete"] + wrong)
        #expect([64, 65].contains(refused.status) && refused.output.isEmpty, "\(wrong): \(refused)")
      }
      let order = [
        "dlq", "delete", "--text", "ada@example.com", "--state", "all", "--reason", "asked to be forgotten", "--actor",
        "ann",
      ]
      let rehearsed = try await environment.succeed(order + ["--dry-run"])
      #expect(rehearsed == "would delete 6 dead letters permanently\n")
      #expect(try await left(environment).count == 8)
      let deleted = try await environment.succeed(order + ["--json"])
      #expect(
        deleted.contains(#""deleted":6"#) || deleted.contains(#""deleted" : 6"#) || deleted.contains(#""deleted": 6"#),
        "\(deleted)")
      #expect(try await left(environment) == ["replaying1", "replaying2"])
      let record = try await environment.rows(
        "SELECT action, actor, why, result FROM journey_dead_letter_log GROUP BY 1, 2, 3, 4 ORDER BY 4")
      #expect(
        record == ["discarded", "new", "replayed"].map { ["deleted", "ann", "asked to be forgotten", "was \($0)"] })
      let taken = try await environment.rows("SELECT id FROM journey_dead_letters LIMIT 1")[0][0]
      let refused = try await environment.run(["dlq", "delete", taken, "--state", "all", "--reason", "x"])
      #expect(refused.status == 1 && refused.errors.contains("\(taken) is replaying"), "\(refused)")
    }
  }
}
