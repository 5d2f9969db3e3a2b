import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing
@testable import TestSupport

/// Why a message is a dead letter.
enum DeadLetterReason: String, CaseIterable {
  case malformed
  case tooLarge = "too_large"
  case unknownSource = "unknown_source"
  case missingField = "missing_field"
  case invalidField = "invalid_field"
  // Replaying these succeeds, once the client exists and no consumer requeues the message.
  case unknownClient = "unknown_client"
  case deliveryLimit = "delivery_limit"
  case expired

  var heals: Bool { [.unknownClient, .deliveryLimit, .expired].contains(self) }
}

struct DeadLetterOperation {
  let each: Int
  let org: String
  let client: String
  /// Exists from `heal` on.
  let lateClient: String

  var total: Int { each * DeadLetterReason.allCases.count }
  var healing: Int { each * DeadLetterReason.allCases.count { $0.heals } }
  /// All except the discarded and the edited ones, plus the dead letter that an edit creates.
  var replayed: Int { total - each - 2 + 1 }
  /// Replayed, and dead letters again.
  var failing: Int { replayed - healing }

  init(each: Int, _ random: inout SeededRandom) {
    self.each = each
    org = random.uuid()
    client = random.uuid()
    lateClient = random.uuid()
  }

  // MARK: Creating the dead letters

  private func message(_ reason: DeadLetterReason, _ number: Int) -> OutboundMessage {
    let id = "\(reason.rawValue)_\(number)"
    let time =
      reason == .invalidField
      ? "2999-01-01T00:00:00Z" : WorkloadEvent.rfc3339(Int64(Date().timeIntervalSince1970 - 3600) * 1_000_000)
    var members = [
      #""specversion":"1.0","id":"\#(id)","source":"/crm/acme","type":"contract_signed""#,
      #""subject":"\#(reason == .unknownClient ? lateClient : client)","orgid":"\#(org)""#,
    ]
    if reason != .missingField { members.append(#""time":"\#(time)""#) }
    if reason == .tooLarge { members.append(#""data":{"note":"\#(String(repeating: "x", count: 3000))"}"#) }
    var properties = MessageProperties(contentType: "application/cloudevents+json")
    if reason == .unknownSource {
      properties.contentType = "application/json"
      properties.headers["x-source"] = .string("fax")
      properties.headers["x-org-id"] = .string(org)
    }
    properties.messageID = id
    if reason == .expired { properties.expiration = "1" }
    let text = "{" + members.joined(separator: ",") + (reason == .malformed ? "" : "}")
    return OutboundMessage(
      exchange: "journey.events", routingKey: "crm.test", properties: properties, body: Array(text.utf8))
  }

  /// Starts the adapter, and waits until all messages are in the archive of dead letters.
  func makeDeadLetters(_ environment: TestEnvironment) async throws -> ChildProcess {
    try await environment.execute("INSERT INTO organizations (id, name) VALUES ('\(org)', 'An organisation')")
    try await add(client, environment)
    try await environment.publish((0..<each).map { message(.expired, $0) })
    try await deadLettersInQueue(each, environment)
    try await wearOut((0..<each).map { message(.deliveryLimit, $0) }, environment)
    let program = try await environment.serve(
      .literal, ["DEAD_LETTERS_ARCHIVE": "true", "INGEST_MAXIMUM_BODY_BYTES": "2048"])
    for reason in DeadLetterReason.allCases where ![.expired, .deliveryLimit].contains(reason) {
      try await environment.publish((0..<each).map { message(reason, $0) })
    }
    try await eventually("\(total) dead letters", state: { String(program.standardError.suffix(3000)) }) {
      try await environment.number("SELECT count(*) FROM journey_dead_letters") == total
    }
    struct Statistics: Decodable {
      struct Group: Decodable { var name: String, count: Int }
      var code: [Group]
    }
    let statistics = try JSONDecoder().decode(
      Statistics.self, from: Data(try await environment.succeed(["dlq", "stats", "--json"]).utf8))
    let counts = Dictionary(uniqueKeysWithValues: statistics.code.map { ($0.name, $0.count) })
    #expect(counts == Dictionary(uniqueKeysWithValues: DeadLetterReason.allCases.map { ($0.rawValue, each) }))
    return program
  }

  private func add(_ client: String, _ environment: TestEnvironment) async throws {
    try await environment.execute(
      "INSERT INTO contacts (id, org_id, name, email) VALUES ('\(client)', '\(org)', 'Client', '\(client)@example.com')"
    )
  }

  private func deadLettersInQueue(_ count: Int, _ environment: TestEnvironment) async throws {
    try await eventually("\(count) dead letters in their queue") {
      try await environment.admin.messageCount(queue: "journey.dead-letters") == count
    }
  }

  /// A consumer that requeues every message until the broker dead-letters it.
  private func wearOut(_ messages: [OutboundMessage], _ environment: TestEnvironment) async throws {
    let before = try await environment.admin.messageCount(queue: "journey.dead-letters")
    let (deliveries, continuation) = AsyncStream<[Delivery]>.makeStream()
    let settings = try AMQPConnectionSettings(
      uri: environment.servers.amqpURL(vhost: environment.vhost), connectionName: "test wearer")
    let consumer = AMQPConsumer(
      settings: settings, queue: "journey.ingest", prefetch: 1000, maxBatch: 500, consumerTag: "wearer"
    ) {
      if case .deliveries(let new) = $0 { continuation.yield(new) }
    }
    consumer.start()
    let wearing = Task {
      for await batch in deliveries { consumer.settle(batch.map { .reject($0.tag, requeue: true) }) }
    }
    try await environment.publish(messages)
    try await deadLettersInQueue(before + messages.count, environment)
    await consumer.close()
    continuation.finish()
    await wearing.value
  }

  // MARK: The operator's commands

  /// A queue that receives a copy of everything that replays publish from now on.
  func tap(_ environment: TestEnvironment) async throws -> String {
    let name = "test.tap"
    var topology = Topology()
    topology.queues = [QueueDeclaration(name: name)]
    topology.bindings = [Binding(queue: name, exchange: "journey.retry", routingKey: "journey.ingest")]
    _ = try await environment.admin.declare(topology)
    return name
  }

  func discard(_ environment: TestEnvironment) async throws {
    let text = try await environment.succeed([
      "dlq", "discard", "--code", "malformed", "--reason", "cut off at the source", "--actor", "ann",
    ])
    #expect(text == "\(each) dead letters discarded\n")
  }

  /// Edits two dead letters. One becomes an event, the other a new dead letter.
  func edit(_ environment: TestEnvironment) async throws -> [UUID] {
    struct Listed: Decodable { var id: UUID }
    let listed = try await environment.succeed(["dlq", "list", "--code", "missing_field", "--limit", "2", "--json"])
    let ids = try JSONDecoder().decode([Listed].self, from: Data(listed.utf8)).map(\.id)
    try #require(ids.count == 2)
    for (id, time) in zip(ids, ["2026-01-02T03:04:05Z", "2999-01-01T00:00:00Z"]) {
      let patch = #"[{"op":"add","path":"/time","value":"\#(time)"}]"#
      try await environment.succeed([
        "dlq", "replay", id.uuidString, "--edit", patch, "--reason", "the time was missing", "--actor", "ann",
      ])
    }
    try await eventually("an event and a dead letter of the edited ones") {
      let deadLetters = try await environment.number(
        "SELECT count(*) FROM journey_dead_letters WHERE caused_by IS NOT NULL AND code = 'invalid_field'")
      return try await environment.number("SELECT count(*) FROM client_journey_events") == 1 && deadLetters == 1
    }
    return ids
  }

  func heal(_ environment: TestEnvironment) async throws { try await add(lateClient, environment) }

  /// Replays everything that is open. The command is killed at random times and interrupted once; the rest is resumed
  /// as documented.
  func replay(_ environment: TestEnvironment, kills: Int, _ random: inout SeededRandom) async throws {
    let recorded = "SELECT count(*) FROM journey_dead_letter_log WHERE action = 'replayed'"
    let marks = (0...kills).map { _ in Int.random(in: 1..<(replayed * 9 / 10), using: &random) }.sorted()
    let interrupted = Int.random(in: 0...kills, using: &random)
    var command = ["dlq", "replay", "--all", "--rate", "500", "--reason", "corrected", "--actor", "ann"]
    for (turn, mark) in marks.enumerated() {
      let program = try environment.start(command)
      try await eventually("\(mark) dead letters replayed", state: { program.standardError }) {
        if let ending = program.ending {
          throw Timeout(description: "the replay ended by \(ending): \(program.standardError)")
        }
        return try await environment.number(recorded) >= mark
      }
      program.send(turn == interrupted ? SIGINT : SIGKILL)
      let ending = await program.ended(within: .seconds(20))
      #expect(ending == (turn == interrupted ? .exited(1) : .signalled(SIGKILL)), "\(program.standardError)")
      if turn == interrupted { #expect(program.standardError.contains("--resume"), "\(program.standardError)") }
      command = ["dlq", "replay", "--resume", "--actor", "ann"]
    }
    try await environment.succeed(command)
  }

  func settles(_ environment: TestEnvironment, _ program: ChildProcess) async throws {
    var states: [[String]] = []
    try await eventually(
      "\(healing + 1) events, \(failing) dead letters open again",
      state: { "\(states) \(program.standardError.suffix(3000))" }
    ) {
      states = try await environment.rows(
        "SELECT state, count(*), (SELECT count(*) FROM client_journey_events) FROM journey_dead_letters GROUP BY state ORDER BY state"
      )
      return states.map { [$0[0], $0[1]] } == [
        ["discarded", "\(each)"], ["new", "\(failing)"], ["replayed", "\(healing + 2)"],
      ]
        && states[0][2] == "\(healing + 1)"
    }
    try await eventually("empty queues") {
      let left = try await environment.admin.messageCount(queue: "journey.ingest")
      return try await environment.admin.messageCount(queue: "journey.dead-letters") + left == 0
    }
  }

  // MARK: Checking the result

  func check(_ environment: TestEnvironment, _ edited: [UUID], published: [Delivery], kills: Int, _ row: Row)
    async throws
  {
    let names = edited.map { "'\($0.uuidString)'" }.joined(separator: ",")
    let newIDs = try await environment.rows(
      "SELECT substring(result FROM 'confirmed as (.*)'), letter_id FROM journey_dead_letter_log WHERE action = 'edited' ORDER BY id"
    )
    #expect(newIDs.map { UUID(uuidString: $0[1]) } == edited)

    // On the wire: every message at least once. Only batches cut off by a kill are published twice.
    let copies = Dictionary(published.map { ($0.properties.messageID ?? "", 1) }, uniquingKeysWith: +)
    let originals = try await environment.rows(
      "SELECT message_id FROM journey_dead_letters WHERE state <> 'discarded' AND id NOT IN (\(names))"
    ).map { $0[0] }
    #expect(Set(copies.keys) == Set(originals + newIDs.map { $0[0] }))
    let doubled = published.count - copies.count - 1
    #expect(
      (0...(kills * 100)).contains(doubled),
      "only the edited dead letter that failed, and batches cut off by kills, are published twice")
    for (id, deadLetter) in newIDs.map({ ($0[0], $0[1]) }) {
      let first = published.first { $0.properties.messageID == id }
      #expect(first?.properties.headers["x-journey-caused-by"]?.stringValue == deadLetter)
    }

    // In the tables: once each.
    let events = try await environment.rows("SELECT source_event_id FROM client_journey_events").map { $0[0] }
    let good =
      DeadLetterReason.allCases.filter(\.heals).flatMap { reason in (0..<each).map { "\(reason.rawValue)_\($0)" } } + [
        newIDs[0][0]
      ]
    #expect(events.count == good.count && Set(events) == Set(good))
    let child = try await environment.rows(
      "SELECT message_id, caused_by, state FROM journey_dead_letters WHERE caused_by IS NOT NULL")
    #expect(child == [[newIDs[1][0], newIDs[1][1], "new"]])
    let failures = try await environment.rows(
      "SELECT code, count(*), min(same_failures), max(same_failures) FROM journey_dead_letters WHERE state = 'new' GROUP BY code ORDER BY code"
    )
    // The edited dead letter has the code invalid_field, not missing_field, and is counted there.
    #expect(
      failures == [
        ["invalid_field", "\(each + 1)", "2", "2"], ["missing_field", "\(each - 2)", "2", "2"],
        ["too_large", "\(each)", "2", "2"], ["unknown_source", "\(each)", "2", "2"],
      ])

    // In the log: one row for each change, with actor and reason.
    let record = try await environment.rows(
      """
      SELECT action, count(*), count(DISTINCT letter_id), min(actor), max(actor), min(why), max(why), count(why) = count(*)
      FROM journey_dead_letter_log GROUP BY action ORDER BY action
      """)
    #expect(
      record == [
        ["discarded", "\(each)", "\(each)", "ann", "ann", "cut off at the source", "cut off at the source", "t"],
        ["edited", "2", "2", "ann", "ann", "the time was missing", "the time was missing", "t"],
        ["failed_again", "\(failing)", "\(failing)", "journey serve", "journey serve", "", "", "f"],
        ["replayed", "\(replayed)", "\(replayed)", "ann", "ann", "corrected", "corrected", "t"],
      ])
    let replays = try await environment.rows("SELECT count(*), count(finished_at) FROM journey_dead_letter_replays")
    #expect(replays == [["3", "3"]])

    let lost = originals.count { copies[$0] == nil } + Set(good).subtracting(events).count
    row.add(sent: total, stored: events.count, deadLetters: total + 1, copies: doubled, lost: lost)
  }
}
