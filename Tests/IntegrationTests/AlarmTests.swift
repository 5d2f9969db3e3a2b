import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// A broker that blocks publishers because of a memory alarm. On servers of its own.
@Suite(.serialized) struct AlarmTests {
  private static let set = "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})"
  private static let clear = "rabbit_alarm:clear_alarm({resource_limit, memory, node()})"

  private func deadLetters(_ environment: TestEnvironment, _ count: Int) async throws {
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
  }

  private let event = Array(
    #"{"specversion":"1.0","id":"e1","source":"/crm","type":"cancel_requested","time":"2026-11-20T10:00:00Z","subject":"c","orgid":"o"}"#
      .utf8)

  @Test func commandsSayWhatTheyWaitForAndEnd() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await deadLetters(environment, 300)
      try await servers.erlang(Self.set)
      for arguments in [["publish", "-"], ["dlq", "replay", "--all"]] {
        let finished = try await environment.run(arguments + ["--timeout", "2s"], input: event)
        #expect(finished.status == 69, "\(arguments): \(finished)")
        let lines = finished.errors.split(separator: "\n").filter { $0.hasPrefix("journey: ") }
        #expect(lines.count == 2, "\(finished.errors)")
        #expect(
          lines.first?.contains("takes no messages now") == true && lines.first?.contains("waiting up to 2 s") == true,
          "\(finished.errors)")
      }
      #expect(try await environment.rows("SELECT DISTINCT state FROM journey_dead_letters") == [["new"]])
      #expect(try await environment.admin.messageCount(queue: "journey.ingest") == 0)

      // `publish` waits for a short alarm to end.
      let patient = try environment.start(["publish", "-"], input: event)
      try await eventually("the reason", state: { patient.standardError }) {
        patient.standardError.contains("takes no messages now")
      }
      try await servers.erlang(Self.clear)
      #expect(await patient.ended(within: .seconds(20)) == .exited(0), "\(patient.standardError)")
      #expect(try await environment.admin.messageCount(queue: "journey.ingest") == 1)
    }
    try await servers.stop()
  }

  @Test func aReplayThatMeetsAnAlarmOpensItsDeadLettersAgain() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await deadLetters(environment, 300)
      let replay = try environment.start(["dlq", "replay", "--all", "--rate", "50", "--wait", "2"])
      try await eventually("some dead letters replayed", state: { replay.standardError }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters WHERE state = 'replayed'") > 0
      }
      try await servers.erlang(Self.set)
      let ending = await replay.ended(within: .seconds(30))
      try await servers.erlang(Self.clear)
      #expect(ending == .exited(69), "\(replay.standardError)")
      #expect(replay.standardError.contains("takes no messages now"), "\(replay.standardError)")
      #expect(replay.standardError.contains("open again"), "\(replay.standardError)")
      let states = try await environment.rows("SELECT DISTINCT state FROM journey_dead_letters ORDER BY state").map {
        $0[0]
      }
      #expect(states == ["new", "replayed"])
    }
    try await servers.stop()
  }

  @Test func aStopDoesNotWaitForTheBrokerOfAReplay() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await deadLetters(environment, 20)
      let program = try await environment.serve(
        .literal, ["API_JWT_SECRET": APIEnvironment.secret, "DEAD_LETTERS_ARCHIVE": "true"])
      try await eventually("the API", state: { program.standardError }) {
        program.standardError.contains("address=http://127.0.0.1:")
      }
      let address = try #require(
        program.standardError.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix("address=http") })
      let api = APIEnvironment(
        environment: environment, program: program, address: String(address.dropFirst("address=".count)))
      let answer = try await api.send(
        "POST", "/api/operations/dead-letters/replay",
        APIEnvironment.token("00000000-0000-4000-8000-000000000001", operations: true),
        body: #"{"all":true,"rate":0.5,"reason":"test"}"#)
      #expect(answer.status < 300, "\(answer.body)")
      try await eventually("the first dead letter", state: { program.standardError }) {
        try await environment.number("SELECT count(*) FROM journey_dead_letters WHERE state = 'replayed'") > 0
      }
      try await servers.erlang(Self.set)
      try await eventually("the wait", state: { program.standardError }) {
        program.standardError.contains("a replay waits")
      }
      program.send(SIGTERM)
      let ending = await program.ended(within: .seconds(20))
      try await servers.erlang(Self.clear)
      #expect(ending == .exited(0), "\(program.standardError)")
      #expect(program.standardError.contains("interrupted; finish it"), "\(program.standardError)")
    }
    try await servers.stop()
  }

  @Test func serveStartsUnderAnAlarmAndStoresEvents() async throws {
    var random = SeededRandom(stream: 43)
    let workload = Workload(events: 50, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      try await environment.publish(workload.messages(&random), &random)
      try await servers.erlang(Self.set)
      let program = try await environment.serve(.defaultProfile)
      try await eventually("all events stored", state: { program.standardError }) {
        try await environment.number("SELECT count(*) FROM client_journey_events") == workload.events.count
      }
      try await servers.erlang(Self.clear)
      try await environment.settles(events: workload.events.count, program)
      try await environment.stop(program)
    }
    try await servers.stop()
  }
}
