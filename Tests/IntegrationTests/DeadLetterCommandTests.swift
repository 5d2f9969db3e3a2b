import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// `journey dlq` answers invalid requests with correct messages.
@Suite struct DeadLetterCommandTests {
  private static let missing = "00000000-0000-4000-8000-000000000000"

  /// An environment with `count` dead letters of one reason.
  private func environment(deadLetters count: Int, _ body: (TestEnvironment, [String]) async throws -> Void)
    async throws
  {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(.literal, ["DEAD_LETTERS_ARCHIVE": "true"])
      try await environment.publish(
        (0..<count).map {
          OutboundMessage(
            exchange: "journey.events", routingKey: "fax.page",
            properties: MessageProperties(contentType: "application/json", headers: ["x-source": .string("fax")]),
            body: Array(#"{"page":\#($0)}"#.utf8))
        })
      try await eventually("\(count) dead letters", state: { program.standardError }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters") == count
      }
      try await environment.stop(program)
      try await body(
        environment, try await environment.rows("SELECT id FROM journey_dead_letters ORDER BY id").map { $0[0] })
    }
  }

  @Test(arguments: [["replay"], ["replay", "--dry-run"], ["discard", "--reason", "no use"], ["export"]])
  func anIDThatIsNotThereIsAnErrorAndNothingIsDone(_ command: [String]) async throws {
    try await environment(deadLetters: 2) { environment, ids in
      let refused = try await environment.run(["dlq"] + command + [ids[0], Self.missing])
      #expect(
        refused.status == 1 && refused.output.isEmpty && refused.errors.contains("no dead letter \(Self.missing)"),
        "\(refused)")
      try await environment.succeed(["dlq", "discard", ids[1], "--reason", "no use"])
      let settled = try await environment.run(["dlq"] + command + ids)
      #expect(settled.status == 1 && settled.errors.contains("\(ids[1]) is discarded"), "\(settled)")
      #expect(
        try await environment.rows("SELECT state FROM journey_dead_letters ORDER BY id") == [["new"], ["discarded"]])
      #expect(try await environment.number("SELECT count(*) FROM journey_dead_letter_replays") == 0)
    }
  }

  @Test func aReplayOfNothingIsNone() async throws {
    try await environment(deadLetters: 1) { environment, ids in
      let nothing = ["dlq", "replay", "--code", "malformed"]
      let text = try await environment.succeed(nothing), json = try await environment.succeed(nothing + ["--json"])
      #expect(text == "no dead letters to replay\n" && json == "[]\n")
      let replays = try await environment.number("SELECT count(*) FROM journey_dead_letter_replays")
      #expect(replays == 0)
      let discarded = try await environment.succeed(["dlq", "discard", ids[0], "--reason", "no use"])
      #expect(discarded == "1 dead letter discarded\n")
    }
  }

  @Test func aFilterThatNamesWhatNobodyKnowsIsRefused() async throws {
    try await environment(deadLetters: 1) { environment, ids in
      // No mapping has this source, but the dead letter has.
      #expect(try await environment.succeed(["dlq", "list", "--source", "fax"]).contains(ids[0]))
      #expect(try await environment.succeed(["dlq", "list", "--source", "stripe"]).hasPrefix("no dead letters"))
      for command in [
        ["list"], ["stats"], ["export"], ["replay", "--dry-run"], ["discard", "--reason", "no use", "--dry-run"],
      ] {
        let code = try await environment.run(["dlq"] + command + ["--code", "unkown_client"])
        #expect(code.status == 65 && code.errors.contains("did you mean unknown_client?"), "\(code)")
        let source = try await environment.run(["dlq"] + command + ["--source", "hubspt"])
        #expect(source.status == 65 && source.errors.contains("did you mean hubspot?"), "\(source)")
      }
      let events = try await environment.run(["events", "list", "--source", "hubspt", "--json"])
      #expect(events.status == 65 && events.output.isEmpty && events.errors.hasPrefix(#"{"error":{"status":65,"#))
    }
  }

  /// The output lines of a command in a terminal of the given width.
  private func lines(_ environment: TestEnvironment, _ arguments: [String], columns: Int) async throws -> [String] {
    let command = ([Repository.binary] + arguments).map { "'\($0)'" }.joined(separator: " ")
    let environment = [
      "AMQP_URL": environment.logins.amqpURL, "DATABASE_URL": environment.logins.databaseURL, "PATH": "/usr/bin:/bin",
    ]
    let terminal = try ChildProcess.start(
      "/usr/bin/script", ["--quiet", "--return", "--command", "stty columns \(columns); exec \(command)", "/dev/null"],
      environment: environment,
      directory: Repository.root)
    let ending = await terminal.ended(within: .seconds(60))
    try #require(ending == .exited(0), "\(terminal.standardOutput)")
    // A progress line replaces the previous one.
    return terminal.standardOutput.replacing("\u{1B}[K", with: "").split(whereSeparator: \.isNewline).map(String.init)
  }

  @Test(arguments: [40, 80, 200]) func aTerminalShowsWholeLines(_ columns: Int) async throws {
    try await environment(deadLetters: 120) { environment, ids in
      for command in [["stats"], ["list"], ["list", "--state", "all"], ["replay", "--all", "--rate", "1000"]] {
        let lines = try await lines(environment, ["dlq"] + command, columns: columns)
        // Full sentences may wrap.
        let tables = lines.filter {
          !$0.contains("next page") && !$0.contains(", replaying ") && !$0.hasSuffix("published and confirmed")
        }
        #expect(tables.count > 1 && tables.allSatisfy { $0.count <= columns }, "\(command): \(tables)")
        if command[0] == "list" {
          #expect(lines.contains { $0.contains(ids[119]) } && lines.contains { $0.contains("header x-source") })
        }
        if command[0] == "replay" { #expect(lines.contains { $0.contains("120 of 120  100 %") }, "\(lines)") }
      }
    }
  }

  @Test func statisticsNameAReplayThatWasCutOff() async throws {
    try await environment(deadLetters: 300) { environment, _ in
      let replay = try environment.start(["dlq", "replay", "--all", "--rate", "20", "--actor", "ann"])
      try await eventually("the first dead letters", state: { replay.standardError }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters WHERE state = 'replayed'") > 0
      }
      let during = try await environment.succeed(["dlq", "stats"])
      #expect(during.contains("replay 1 of ann is under way") && !during.contains("--resume"), "\(during)")
      replay.send(SIGKILL)
      _ = await replay.ended(within: .seconds(10))
      // The server detects the end of the session by itself.
      try await eventually("the end of its session") {
        !(try await environment.succeed(["dlq", "stats"])).contains("under way")
      }
      let after = try await environment.succeed(["dlq", "stats"])
      let left = try await environment.number("SELECT count(*) FROM journey_dead_letters WHERE state = 'replaying'")
      let diagnosis = try await environment.run(["doctor"]).output
      #expect(
        diagnosis.contains("\(left) dead letters of replays that were interrupted")
          && diagnosis.contains("-> run: journey dlq replay --resume"), "\(diagnosis)")
      try await environment.succeed(["dlq", "replay", "--give-back"])
      let open = try await environment.run(["doctor"]).output
      #expect(
        open.contains("\(left) dead letters open in the archive") && open.contains("-> run: journey dlq stats"),
        "\(open)")
      #expect(
        after.contains(
          "replay 1 of ann was interrupted, \(left) dead letters left: journey dlq replay --resume, or --give-back"),
        "\(after)")
    }
  }
}
