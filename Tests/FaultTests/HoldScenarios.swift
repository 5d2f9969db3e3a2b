import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// Actions are held while thousands are under way, one instance is cut off from the database, and others are killed.
extension Scenario {
  static var holds: [Scenario] {
    [Scenario("hold-instance-cut-off", short: 1, long: 4, held)]
  }

  private static func held(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    // Each combination in turn, first any.
    let first = Int.random(in: 0..<4, using: &random)
    for round in first..<first + rounds {
      try await TestEnvironment.with { environment in
        let count = FaultSettings.isLong ? 10_000 : 1200
        let held = try await Held(
          environment, clients: count, late: count / 8, isSilent: round % 2 == 0, isHealed: round / 2 % 2 == 0)
        try await held.run()
        try await held.check(row)
      }
    }
  }
}

/// Clients with an overdue invoice each, whose e-mails are held.
private final class Held {
  private static let instances = ["one", "two", "three"]

  private let environment: TestEnvironment
  private let org = UUID().uuidString.lowercased()
  /// The last ones have their event after the hold; every fifth pays in the end.
  private let clients: [String]
  private let late: Int
  /// Whether the network to the database is silent, or ends the connections: then others take over what the third has.
  private let isSilent: Bool
  /// Whether the third comes back and another is killed, or it is killed itself.
  private let isHealed: Bool
  private let configuration: String
  private let brokers: [FaultProxy]
  private let database: FaultProxy
  private var running: [ChildProcess] = []
  /// At most what the command takes.
  private var rate: Int { min(clients.count / 5, 1000) }

  init(_ environment: TestEnvironment, clients count: Int, late: Int, isSilent: Bool, isHealed: Bool) async throws {
    self.environment = environment
    self.late = late
    self.isSilent = isSilent
    self.isHealed = isHealed
    clients = (0..<count + late).map { _ in UUID().uuidString.lowercased() }
    let broker = try #require(URLComponents(string: environment.logins.amqpURL)?.port)
    brokers = try Self.instances.map { _ in try FaultProxy(to: broker, .amqp) }
    database = try FaultProxy(to: try #require(URLComponents(string: environment.databaseURL)?.port), .postgres)
    let names = clients.map { [org] in "('\($0)', '\(org)', 'c', '\($0)@example.com')" }.joined(separator: ",")
    try await environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(org)', 'o');
      INSERT INTO contacts (id, org_id, name, email) VALUES \(names)
      """)
    configuration = NSTemporaryDirectory() + "held-\(UUID().uuidString).yaml"
    try """
    version: held
    evaluateOverTime: true
    risks: { low_engagement: off }
    actions:
      byStage: {}
      byRisk: [{ late_invoices: email_outreach }, { low_engagement: send_voice_message }]
      life: { noResponseAfter: 1h }
    """.write(toFile: configuration, atomically: true, encoding: .utf8)
  }

  deinit {
    for proxy in brokers + [database] { proxy.close() }
    try? FileManager.default.removeItem(atPath: configuration)
  }

  /// The third instance has a network to the database of its own.
  private func start(_ number: Int) throws -> ChildProcess {
    let url = environment.logins.databaseURL
    return try environment.start(
      ["serve", "--config", Repository.root + "/config/journey.yaml"],
      environment: [
        "DECISIONS_FILE": configuration, "INSTANCE_NAME": Self.instances[number], "LOG_STATISTICS_SECONDS": "0",
        "DEAD_LETTERS_ARCHIVE": "true", "PIPELINE_WORKERS": "2", "PIPELINE_BATCH_SIZE": "250",
        "INGEST_PREFETCH": "500", "PUBLISH_WINDOW": "2",
        "AMQP_URL": environment.logins.amqpURL.replacing(port: brokers[number].port),
        "DATABASE_URL": number == 2 ? url.replacing(port: database.port) + "?sslmode=disable" : url,
      ])
  }

  private func kill(_ number: Int) async throws {
    let victim = running[number]
    victim.send(SIGKILL)
    #expect(await victim.ended(within: .seconds(10)) == .signalled(SIGKILL), "\(victim.standardError)")
    running[number] = try start(number)
  }

  private var logs: String { running.map { String($0.standardError.suffix(2000)) }.joined(separator: "\n--\n") }
  private var note: Comment { "silent: \(isSilent), healed: \(isHealed)\n\(logs)" }

  private func consuming() async throws {
    for program in running {
      try await eventually("consuming", within: .seconds(60), state: { program.standardError }) {
        program.standardError.contains("consuming")
      }
    }
  }

  func run() async throws {
    // Some 15 actions a second and instance, so that many wait. The third takes the first ones alone, more than it can
    // publish before its lease has run out.
    let slow = FaultProxy.Weather.slow(delay: .milliseconds(120), bytes: 16_384)
    let events = clients.dropLast(late).map { event("invoice_overdue", $0) }, share = min(events.count / 2, 700)
    let third = try start(2)
    running = [third]
    try await consuming()
    brokers[2].weather = slow
    try await environment.publish(Array(events[..<share]))
    try await eventually("the third's actions", within: .seconds(60), state: { self.logs }) {
      try await self.stored() == share
    }
    running = [try start(0), try start(1), third]
    try await consuming()
    for proxy in brokers { proxy.weather = slow }
    try await environment.publish(Array(events[share...]))
    try await eventually("actions under way", within: .seconds(60), state: { self.logs }) {
      try await self.stored() > share + min(events.count - share, 1000) / 2
    }
    database.weather = isSilent ? .silent : .refusing
    if !isSilent { database.cut() }
    let (hold, answers) = try await add()
    #expect(answers == ["one": "confirmed", "two": "confirmed", "three": "silent"], note)
    let published = try await messages()
    #expect(published < share, "the third has more to publish; \(note)")
    for proxy in brokers { proxy.weather = .fair }

    // Ten seconds of events: half of them while the third is cut off.
    let rest = Array(clients.suffix(late)), half = rest.count / 2
    try await trickle(rest[..<half])
    #expect(try await messages() == published, "published after the hold by one that is cut off; \(note)")
    if isHealed { database.weather = .fair }
    try await kill(isHealed ? 0 : 2)
    database.weather = .fair
    try await trickle(rest[half...])
    try await eventually("all is stored and decided", within: .seconds(120), state: { self.logs }) {
      guard try await self.stored() == self.clients.count else { return false }
      return try await self.count("journey_actions WHERE state = 'proposed'") == 0
    }
    #expect(try await messages() == published, "published after the hold; \(note)")

    // Some pay while their e-mails are decided again.
    try await environment.publish(paying.map { event("invoice_paid", $0) })
    let held = try await count("journey_actions WHERE state = 'held'")
    try await environment.succeed(["hold", "release", "\(hold)", "--rate", "\(rate)"])
    try await eventually("half are decided again", within: .seconds(120), state: { self.logs }) {
      try await self.count(
        "journey_outbox o JOIN client_journey_scores s ON s.outbox_id = o.id WHERE o.hold_id IS NOT NULL")
        < held / 2
    }
    try await kill(1)
    var last: [String] = []
    try await eventually("nothing is left to do", within: .seconds(240), state: { "\(last)\n\(self.logs)" }) {
      last = try await self.environment.rows(
        """
        SELECT (SELECT count(*) FROM client_journey_events WHERE source = '/billing'),
          (SELECT count(*) FROM journey_outbox WHERE confirmed_at IS NULL),
          (SELECT count(*) FROM journey_action_states WHERE revocation = 'pending'),
          (SELECT count(*) FROM journey_client_state WHERE redecide)
        """)[0]
      return last == ["\(self.clients.count + self.paying.count)", "0", "0", "0"]
    }
    for program in running { try await environment.stop(program) }
  }

  /// What has become of each client, in the database and in the queue.
  func check(_ row: Row) async throws {
    let rows = try await environment.rows("SELECT client_id, id, state FROM journey_actions WHERE channel = 'email'")
    let states = Dictionary(uniqueKeysWithValues: rows.map { ($0[1], $0[2]) })
    var sent: Set<String> = [], revoked: Set<String> = [], wrong: [String] = [], copies = 0
    for delivery in try await environment.drain("journey.actions.email") {
      let id = try #require(delivery.properties.messageID)
      // The id of a revocation is `<action>/revoked`.
      if delivery.properties.type == "journey.action.revoked.v1" {
        revoked.insert(String(id.prefix(36)))
      } else if !sent.insert(id).inserted {
        copies += 1
      } else if revoked.contains(id) {
        wrong.append("taken back before it came: \(id)")
      }
    }
    let ofClient = Dictionary(grouping: rows) { $0[0] }, paid = Set(paying)
    for client in clients {
      let own = ofClient[client] ?? []
      let live = own.filter { $0[2] == "published" }.map { $0[1] }
      let ended = own.map { $0[2] }.filter { $0 != "published" }
      let isRight =
        paid.contains(client)
        ? live.isEmpty && Set(ended).isSubset(of: ["revoked", "superseded"])
        : live.count == 1 && Set(ended).isSubset(of: ["superseded"])
      if !isRight { wrong.append("\(client): \(own.map { $0[2] })") }
      // Exactly what is live is with the workers, and was not taken back.
      if Set(live) != sent.intersection(own.map { $0[1] }).subtracting(revoked) {
        wrong.append("\(client) by messages: \(own.map { ($0[2], sent.contains($0[1]), revoked.contains($0[1])) })")
      }
    }
    wrong += sent.subtracting(states.keys).map { "unknown: \($0)" }
    if ofClient.count != clients.count { wrong.append("\(ofClient.count) clients of \(clients.count)") }
    let dead = try await count("journey_dead_letters")
    if dead > 0 { wrong.append("\(dead) dead letters") }
    #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(5)); silent: \(isSilent), healed: \(isHealed)")
    let (again, seconds) = try await decidedAgain()
    #expect(again > clients.count / 4 && seconds > Double(again) / Double(rate) - 1, "\(again) clients in \(seconds) s")
    row.add(
      sent: clients.count + paid.count, stored: try await stored(), deadLetters: dead, actions: sent.count,
      copies: copies, lost: wrong.count)
  }

  /// How many actions were superseded after the hold, and within how many seconds.
  private func decidedAgain() async throws -> (Int, Double) {
    let found = try await environment.rows(
      """
      SELECT count(*), extract(epoch FROM max(l.changed_at) - (SELECT released_at FROM journey_holds))
      FROM journey_action_states l WHERE l.history::text LIKE '%decided again after a hold%'
      """)[0]
    return (Int(found[0]) ?? 0, Double(found[1]) ?? 0)
  }

  private struct Added: Decodable {
    struct Instance: Decodable { var id, answer: String }
    struct Order: Decodable { var id: Int }
    var hold: Order
    var instances: [Instance]
  }

  private func add() async throws -> (Int, [String: String]) {
    let answer = try await environment.succeed(["hold", "add", "--channel", "email", "--reason", "a fault", "--json"])
    let added = try JSONDecoder().decode(Added.self, from: Data(answer.utf8))
    return (added.hold.id, Dictionary(uniqueKeysWithValues: added.instances.map { ($0.id, $0.answer) }))
  }

  private var paying: [String] { stride(from: 0, to: clients.count, by: 5).map { clients[$0] } }

  /// Sends the events of clients over five seconds.
  private func trickle(_ clients: ArraySlice<String>) async throws {
    let chunk = max(1, clients.count / 10)
    for start in stride(from: clients.startIndex, to: clients.endIndex, by: chunk) {
      let some = clients[start..<min(start + chunk, clients.endIndex)]
      try await environment.publish(some.map { event("invoice_overdue", $0) })
      try await Task.sleep(for: .milliseconds(500))
    }
  }

  private func messages() async throws -> Int {
    try await environment.admin.messageCount(queue: "journey.actions.email")
  }
  private func stored() async throws -> Int { try await count("client_journey_events WHERE source = '/billing'") }
  private func count(_ rows: String) async throws -> Int {
    try await environment.number("SELECT count(*) FROM \(rows)")
  }

  private func event(_ type: String, _ client: String) -> OutboundMessage {
    let now = WorkloadEvent.rfc3339(Int64(Date().timeIntervalSince1970 * 1_000_000))
    let body =
      #"{"specversion":"1.0","id":"\#(type)/\#(client)","source":"/billing","type":"\#(type)","time":"\#(now)","#
      + #""orgid":"\#(org)","subject":"\#(client)","data":{"invoiceId":"\#(client)"}}"#
    return OutboundMessage(
      exchange: "journey.events", routingKey: "test.x",
      properties: MessageProperties(contentType: "application/cloudevents+json"), body: Array(body.utf8))
  }
}
