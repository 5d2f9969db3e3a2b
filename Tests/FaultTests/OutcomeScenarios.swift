import AMQPClient
import Foundation
import Glibc
import Synchronization
import TestServers
import Testing

@testable import TestSupport

/// Actions live on while instances are killed: outcomes, revocations and timers, each in effect once.
extension Scenario {
  static var outcomes: [Scenario] {
    [Scenario("outcomes-revocations-timers", short: 3, long: 30, lives)]
  }

  private static func lives(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await TestEnvironment.with { environment in
      let lives = try await Lives(environment, clients: 20 * max(rounds, 2), &random)
      try await lives.run(rounds, &random)
      row.add(try await lives.wrong())
    }
  }
}

/// Clients with an overdue invoice each. Of some the invoice is paid, some answer, and of some nothing is heard. A worker
/// takes the actions; three instances are killed in turn.
private final class Lives {
  private enum Fate: CaseIterable { case answers, fails, pays, isSilent }

  private let environment: TestEnvironment
  private let org = UUID().uuidString.lowercased()
  private let clients: [(id: String, fate: Fate)]
  private let configuration: String
  private let worker = Worker()
  private var running: [ChildProcess] = []

  init(_ environment: TestEnvironment, clients count: Int, _ random: inout SeededRandom) async throws {
    self.environment = environment
    clients = (0..<count).map { (UUID().uuidString.lowercased(), Fate.allCases[$0 % Fate.allCases.count]) }
    var names = "", comma = ""
    for (id, _) in clients {
      names += "\(comma)('\(id)', '\(org)', 'c', '\(id)@example.com')"
      comma = ","
    }
    try await environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(org)', 'o');
      INSERT INTO contacts (id, org_id, name, email) VALUES \(names)
      """)
    let directory = NSTemporaryDirectory() + "lives-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    configuration = directory + "/decisions.yaml"
    // What nobody answers expires within the scenario.
    try """
    version: lives
    evaluateOverTime: true
    risks: { low_engagement: off }
    actions:
      byStage: {}
      byRisk: [{ late_invoices: email_outreach }, { low_engagement: send_voice_message }]
      expiresAfter: 20s
      life: { noResponseAfter: 1h }
    """.write(toFile: configuration, atomically: true, encoding: .utf8)
  }

  private func start() throws -> ChildProcess {
    try environment.start(
      ["serve", "--config", Repository.root + "/config/journey.yaml"],
      environment: [
        "DECISIONS_FILE": configuration, "PIPELINE_BATCH_SIZE": "10", "LOG_STATISTICS_SECONDS": "0",
        "DEAD_LETTERS_ARCHIVE": "true",
      ])
  }

  func run(_ rounds: Int, _ random: inout SeededRandom) async throws {
    let settings = try AMQPConnectionSettings(
      uri: environment.servers.amqpURL(vhost: environment.vhost), connectionName: "worker")
    worker.start(settings)
    for _ in 0..<3 { running.append(try start()) }
    let share = clients.count / rounds
    for round in 0..<rounds {
      let part = round == rounds - 1 ? clients[(round * share)...] : clients[(round * share)..<((round + 1) * share)]
      try await environment.publish(part.map { event("invoice_overdue", $0.id) })
      if round.isMultiple(of: 2) { try await kill(round) }
      try await eventually("an action each", within: .seconds(90), state: { self.logs }) {
        self.worker.clients.isSuperset(of: part.map(\.id))
      }
      // Outcomes come in any order and twice.
      var reports: [OutboundMessage] = []
      for (id, fate) in part {
        switch fate {
        case .answers:
          let action = try worker.action(of: id)
          reports += ["delivered", "opened", "replied", "replied"].map { outcome($0, action) }
        case .fails: reports += [outcome("failed", try worker.action(of: id))]
        case .pays: reports.append(event("invoice_paid", id))
        case .isSilent: break
        }
      }
      reports.append(outcome("delivered", UUID().uuidString.lowercased()))
      reports.shuffle(using: &random)
      try await environment.publish(Array(reports.prefix(reports.count / 2)))
      try await kill(round + 1)
      try await environment.publish(Array(reports.dropFirst(reports.count / 2)))
    }
    let wanted = rounds
    try await eventually("every life ended", within: .seconds(120), state: { self.logs }) {
      let ended = try await self.environment.number(
        "SELECT count(*) FROM journey_action_states WHERE state IS NOT NULL AND revocation IS DISTINCT FROM 'pending'")
      let unknown = try await self.environment.number(
        "SELECT count(*) FROM journey_dead_letters WHERE code = 'unknown_action'")
      return ended >= self.clients.count && unknown >= wanted
    }
    for program in running { try await environment.stop(program) }
    await worker.stop()
  }

  private func kill(_ number: Int) async throws {
    let victim = running[number % running.count]
    victim.send(SIGKILL)
    #expect(await victim.ended(within: .seconds(10)) == .signalled(SIGKILL), "\(victim.standardError)")
    running[number % running.count] = try start()
  }

  private var logs: String {
    running.map { String($0.standardError.suffix(2000)) }.joined(separator: "\n--\n") + "\n\(worker.summary)"
  }

  /// - Returns: how many lives are not as they have to be.
  func wrong() async throws -> Int {
    let rows = try await environment.rows(
      """
      SELECT s.client_id, l.state, l.revocation, (SELECT string_agg(COALESCE(h->>'outcome', h->>'state'), ',' ORDER BY COALESCE(h->>'outcome', h->>'state'))
          FROM jsonb_array_elements(l.history) h),
        (SELECT string_agg(event_type, ',' ORDER BY event_type) FROM client_journey_events e
          WHERE e.client_id = s.client_id AND e.source = 'journey.outcomes'), count(*) OVER (PARTITION BY s.client_id), s.id
      FROM client_journey_scores s LEFT JOIN journey_action_states l ON l.action_id = s.id WHERE s.action = 'email_outreach'
      """)
    let found = Dictionary(rows.map { ($0[0], $0) }) { first, _ in first }
    var wrong: [String] = []
    for (id, fate) in clients {
      let row = found[id] ?? []
      let wanted =
        switch fate {
        case .answers: ["accepted", "", "delivered,opened,replied", "email_opened,email_replied"]
        case .fails: ["failed", "", "failed", ""]
        case .pays: ["revoked", "sent", "revoked", ""]
        case .isSilent: ["expired", "", "expired", ""]
        }
      if row.dropFirst().prefix(4) != wanted[...] || row[5] != "1" { wrong.append("\(fate): \(row)") }
      let revocations = worker.revocations(of: row.last ?? "")
      if (fate == .pays) != !revocations.isEmpty { wrong.append("\(fate): \(revocations.count) revocations") }
      if revocations.contains(where: { !$0 }) { wrong.append("\(fate): taken back before it came") }
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(5)); \(worker.summary)")
    return wrong.count
  }

  private func event(_ type: String, _ client: String) -> OutboundMessage {
    message(
      "journey.events", type, source: "/billing", id: "\(type)/\(client)", subject: client,
      data: #"{"invoiceId":"\#(client)"}"#)
  }

  private func outcome(_ outcome: String, _ action: String) -> OutboundMessage {
    let now = WorkloadEvent.rfc3339(Int64(Date().timeIntervalSince1970 * 1_000_000))
    return message(
      "journey.outcomes", "journey.action.outcome.v1", source: "/worker", id: UUID().uuidString, subject: nil,
      data: #"{"actionId":"\#(action)","outcome":"\#(outcome)","occurredAt":"\#(now)"}"#)
  }

  private func message(
    _ exchange: String, _ type: String, source: String, id: String, subject: String?, data: String
  ) -> OutboundMessage {
    let now = WorkloadEvent.rfc3339(Int64(Date().timeIntervalSince1970 * 1_000_000))
    let body =
      #"{"specversion":"1.0","id":"\#(id)","source":"\#(source)","type":"\#(type)","time":"\#(now)","orgid":"\#(org)","#
      + (subject.map { #""subject":"\#($0)","# } ?? "") + #""data":\#(data)}"#
    return OutboundMessage(
      exchange: exchange, routingKey: "test.x",
      properties: MessageProperties(contentType: "application/cloudevents+json"), body: Array(body.utf8))
  }
}

extension Row {
  fileprivate func add(_ lost: Int) { add(lost: lost) }
}

/// Takes the e-mails and their revocations.
private final class Worker: Sendable {
  private struct State {
    /// By client.
    var actions: [String: String] = [:]
    var seen: Set<String> = []
    /// By action: whether each revocation came after it.
    var revocations: [String: [Bool]] = [:]
  }
  private let state = Mutex(State())
  private let consumer = Mutex<AMQPConsumer?>(nil)

  func start(_ settings: AMQPConnectionSettings) {
    let consumer = AMQPConsumer(
      settings: settings, queue: "journey.actions.email", prefetch: 100, maxBatch: 50, consumerTag: "worker"
    ) { [weak self] event in
      guard case .deliveries(let deliveries) = event, let self else { return }
      for delivery in deliveries { take(delivery) }
      self.consumer.withLock { $0 }?.settle(deliveries.map { .ack($0.tag) })
    }
    self.consumer.withLock { $0 = consumer }
    consumer.start()
  }

  func stop() async { await consumer.withLock { $0 }?.close() }

  private func take(_ delivery: Delivery) {
    guard let id = delivery.properties.messageID,
      let body = try? JSONSerialization.jsonObject(with: Data(delivery.body)) as? [String: Any]
    else { return }
    state.withLock { state in
      if delivery.properties.type == "journey.action.revoked.v1" {
        let action = (body["data"] as? [String: Any])?["actionId"] as? String ?? ""
        state.revocations[action, default: []].append(state.seen.contains(action))
      } else if state.seen.insert(id).inserted, let client = body["subject"] as? String {
        state.actions[client] = id
      }
    }
  }

  var clients: Set<String> { state.withLock { Set($0.actions.keys) } }
  func action(of client: String) throws -> String { try #require(state.withLock { $0.actions[client] }) }
  func revocations(of action: String) -> [Bool] { state.withLock { $0.revocations[action] ?? [] } }
  var summary: String { state.withLock { "\($0.actions.count) actions, \($0.revocations.count) revoked" } }
}
