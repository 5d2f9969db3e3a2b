import AMQPClient
import Crypto
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// A dead letter that is far larger than what the adapter reads. Everything works except a replay, which fails at once
/// with a clear message.
@Suite struct LargeDeadLetterTests {
  private static let size = 40 << 20

  private static func noise(_ bytes: Int) -> String {
    var random = SeededRandom(stream: 41)
    var data = Data(capacity: bytes * 3 / 4)
    while data.count < bytes * 3 / 4 { withUnsafeBytes(of: random.next()) { data.append(contentsOf: $0) } }
    return data.base64EncodedString()
  }

  private func publish(_ environment: TestEnvironment, bytes: Int, id: String) async throws {
    var settings = try AMQPConnectionSettings(
      uri: environment.servers.amqpURL(vhost: environment.vhost), connectionName: "test publisher of large messages")
    settings.maxBodyBytes = 128 << 20
    let publisher = AMQPPublisher(settings: settings)
    publisher.start()
    let body = #"{"specversion":"1.0","id":"\#(id)","data":{"text":""# + Self.noise(bytes) + #""}}"#
    let outcomes = await publisher.publish([
      OutboundMessage(
        exchange: "journey.events", routingKey: "crm.large",
        properties: MessageProperties(contentType: "application/cloudevents+json", messageID: id),
        body: Array(body.utf8))
    ])
    await publisher.close()
    try #require(outcomes.allSatisfy { $0.isConfirmed }, "\(outcomes)")
  }

  /// The adapter with its API, and two dead letters in the archive: one of 40 MiB and a small one.
  private func environment(
    isKeptWhole: Bool = true, _ body: (APIEnvironment, _ large: String, _ small: String) async throws -> Void
  ) async throws {
    try await APIEnvironment.with(isKeptWhole ? ["DEAD_LETTERS_MAXIMUM_BODY_BYTES": "\(128 << 20)"] : [:]) { api in
      let environment = api.environment
      try await publish(environment, bytes: Self.size, id: "large")
      try await publish(environment, bytes: 100, id: "small")
      try await eventually("two dead letters", state: { String(api.program.standardError.suffix(3000)) }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters") == 2
      }
      let ids = try await environment.rows("SELECT id, body_size FROM journey_dead_letters ORDER BY body_size DESC")
      try #require(Int(ids[0][1])! > Self.size)
      try await body(api, ids[0][0], ids[1][0])
    }
  }

  @Test func aReplaySaysAtOnceThatItIsTooLarge() async throws {
    try await environment { api, large, small in
      let environment = api.environment
      for more in [[], ["--dry-run"], ["--force"]] {
        let refused = try await environment.run(["dlq", "replay", large, small] + more)
        #expect(refused.status == 1 && refused.output.isEmpty, "\(refused)")
        #expect(
          refused.errors.contains("dead letter \(large) has a body of")
            && refused.errors.contains("cannot be replayed: ingest.maximumBodyBytes is 1048576"),
          "\(refused)")
      }
      #expect(try await environment.number("SELECT count(*) FROM journey_dead_letter_replays") == 0)
      let note = "skipped: 1 dead letter too large to be replayed (ingest.maximumBodyBytes is 1048576)"
      let rehearsed = try await environment.succeed(["dlq", "replay", "--all", "--dry-run"])
      #expect(rehearsed.contains("would replay 1 dead letter; \(note)") && !rehearsed.contains(large), "\(rehearsed)")
      let replayed = try await environment.succeed(["dlq", "replay", "--all"])
      #expect(
        replayed.contains("replay 1: 1 dead letter; \(note)")
          && replayed.contains("1 of 1 dead letter published and confirmed"), "\(replayed)")
      // The replay did not claim it.
      #expect(
        try await environment.rows("SELECT state, replay_count FROM journey_dead_letters WHERE id = '\(large)'") == [
          ["new", "0"]
        ])
      let history = try await environment.number(
        "SELECT count(*) FROM journey_dead_letter_log WHERE letter_id = '\(large)'")
      #expect(history == 0)

      let operatorToken = APIEnvironment.token(UUID().uuidString, operations: true)
      let answer = try await api.send(
        "POST", "/api/operations/dead-letters/replay", operatorToken, body: #"{"ids":["\#(large)"],"force":true}"#)
      #expect(
        answer.status == 202 && answer.json["letters"] as? Int == 0 && answer.json["held"] as? Int == 1, "\(answer)")
      let failure = answer.json["failure"] as? String
      #expect(failure?.contains("1 dead letter too large to be replayed") == true, "\(answer)")
    }
  }

  @Test func itIsShownExportedImportedAndDiscarded() async throws {
    try await environment { api, large, _ in
      let environment = api.environment
      let shown = try await environment.succeed(["dlq", "show", large])
      #expect(
        shown.utf8.count < 20_000 && shown.contains("all of it: --raw")
          && shown.contains("[too_large] body: larger than"), "\(shown.prefix(20_000))")
      let raw = try await environment.succeed(["dlq", "show", "--raw", large])
      #expect(raw.utf8.count > Self.size)

      // The API returns everything except the rest of the body.
      let answer = try await api.get(
        "/api/operations/dead-letters/\(large)", APIEnvironment.token(UUID().uuidString, operations: true))
      #expect(
        answer.status == 200 && answer.body.utf8.count < 700_000 && answer.json["truncated"] as? Bool == true,
        "\(answer.body.prefix(20_000))")
      #expect((answer.json["bodyText"] as? String).map { raw.hasPrefix($0) && $0.utf8.count == 256 << 10 } == true)
      #expect(answer.json["bodySize"] as? Int == raw.utf8.count)

      let exported = try await environment.succeed(["dlq", "export", large])
      try await environment.succeed(["dlq", "discard", large, "--reason", "far too large"])
      #expect(
        try await environment.rows("SELECT state FROM journey_dead_letters WHERE id = '\(large)'") == [["discarded"]])
      let body = "SELECT encode(sha256(body), 'hex') FROM journey_dead_letters WHERE id = '\(large)'"
      let before = try await environment.rows(body)
      try await environment.execute("DELETE FROM journey_dead_letters WHERE id = '\(large)'")
      let imported = try await environment.run(["dlq", "import", "-"], input: Array(exported.utf8))
      #expect(imported.status == 0 && imported.output == "1 dead letter imported, 0 archived already\n", "\(imported)")
      #expect(try await environment.rows(body) == before)
    }
  }

  @Test func whatIsLargerThanIsKeptIsCutAndSaysSo() async throws {
    try await environment(isKeptWhole: false) { api, large, _ in
      let environment = api.environment
      let note = "only its beginning is archived"
      #expect(api.program.standardError.contains(note))
      let row = try await environment.rows(
        "SELECT length(body), body_size, encode(body_sha256, 'hex') FROM journey_dead_letters WHERE id = '\(large)'")[0]
      let sent = #"{"specversion":"1.0","id":"large","data":{"text":""# + Self.noise(Self.size) + #""}}"#
      let digest = SHA256.hash(data: Data(sent.utf8)).map { String(format: "%02x", $0) }.joined()
      #expect(row == ["65536", "\(sent.utf8.count)", digest])
      let shown = try await environment.succeed(["dlq", "show", large])
      #expect(
        shown.contains("body, \(sent.utf8.count) bytes, SHA-256 \(digest)")
          && shown.contains("only the beginning is archived"), "\(shown)")
      let raw = try await environment.run(["dlq", "show", "--raw", large])
      #expect(raw.status == 0 && raw.output == String(sent.prefix(65_536)))
      #expect(raw.errors.contains("the first 65536 bytes of \(sent.utf8.count)"), "\(raw.errors)")
      let answer = try await api.get(
        "/api/operations/dead-letters/\(large)", APIEnvironment.token(UUID().uuidString, operations: true))
      #expect(answer.json["truncated"] as? Bool == true && answer.json["bodySha256"] as? String == digest, "\(answer)")

      // Also if the limit is higher than when it was archived.
      let larger = ["INGEST_MAXIMUM_BODY_BYTES": "\(8 << 20)"]
      for more in [[], ["--force"], ["--edit", #"[{"op":"remove","path":"/data"}]"#]] {
        let refused = try await environment.run(["dlq", "replay", large] + more, environment: larger)
        #expect(
          refused.status == 1
            && refused.errors.contains("is archived (deadLetters.maximumBodyBytes)"), "\(refused)")
      }
      let all = try await environment.succeed(["dlq", "replay", "--all", "--dry-run"])
      #expect(all.contains("would replay 1 dead letter;"), "\(all)")

      // Export and import keep it unchanged.
      let exported = try await environment.succeed(["dlq", "export", large])
      let deleted = try await environment.succeed(["dlq", "delete", large, "--reason", "moved"])
      #expect(deleted == "1 dead letter deleted permanently\n")
      let imported = try await environment.run(["dlq", "import", "-"], input: Array(exported.utf8))
      #expect(imported.output == "1 dead letter imported, 0 archived already\n", "\(imported)")
      #expect(
        try await environment.rows(
          "SELECT length(body), body_size, encode(body_sha256, 'hex') FROM journey_dead_letters WHERE id = '\(large)'")
          == [row])
    }
  }

  /// A body that is kept completely takes four times its size in memory.
  @Test func aBodyOf100MillionBytesTakesNoMemory() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(.defaultProfile, ["DEAD_LETTERS_ARCHIVE": "true"])
      func peak() -> Int {
        let status = (try? String(contentsOfFile: "/proc/\(program.id)/status", encoding: .utf8)) ?? ""
        return status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }?.split(separator: " ").dropFirst().first
          .flatMap { Int($0) } ?? 0
      }
      let before = peak()
      try await publish(environment, bytes: 100_000_000, id: "huge")
      try await eventually("its dead letter", state: { String(program.standardError.suffix(3000)) }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters") == 1
      }
      let after = peak()
      // KiB.
      #expect(before > 0 && after - before < 60_000, "\(before) KiB, then \(after) KiB")
      try await environment.stop(program)
    }
  }

  /// All of them together are more than a statement can transfer in time, and more than a process should hold.
  @Test func manyLargeOnesAreReadAFewAtATime() async throws {
    try await TestEnvironment.with { environment in
      try await environment.execute(
        """
        INSERT INTO journey_dead_letters (id, fingerprint, code, reason, exchange, routing_key, body, body_size, first_failed_at, failed_at)
        SELECT gen_random_uuid(), int4send(n), 'rejected', 'too large', 'journey.events', 'a', convert_to(repeat('a', 20000000), 'UTF8'), 20000000, now(), now()
        FROM generate_series(1, 16) n
        """)
      let program = try environment.start(["dlq", "export"])
      var most = 0
      let ending = Task { await program.ended(within: .seconds(300)) }
      try await eventually("the export's end", within: .seconds(300)) {
        let status = (try? String(contentsOfFile: "/proc/\(program.id)/status", encoding: .utf8)) ?? ""
        let peak =
          status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }?.split(separator: " ").dropFirst().first.flatMap
        { Int($0) } ?? 0
        most = max(most, peak)
        return program.ending != nil
      }
      #expect(await ending.value == .exited(0), "\(program.standardError)")
      #expect(program.standardError.contains("16 dead letters exported"))
      // KiB. All bodies are 320 MB, in base64 427 MB. One body is in memory three or four times.
      #expect(most > 0 && most < 400_000, "\(most) KiB")
    }
  }
}
