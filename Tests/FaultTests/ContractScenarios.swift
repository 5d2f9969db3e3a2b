import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// Silence contracts fall due while events of others arrive. Each event of a contract is stored exactly once, whatever
/// happens to the instances, and none for what was paid.
extension Scenario {
  static var contracts: [Scenario] {
    [Scenario("silence-contracts-three-instances-killed", short: 3, long: 30, contractsKept)]
  }

  private static func contractsKept(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let rules = FileManager.default.temporaryDirectory.appendingPathComponent("\(random.uuid()).yaml")
    let shipped = try String(contentsOfFile: Repository.root + "/config/decisions.yaml", encoding: .utf8)
    let contract =
      "\nexpectations: [{after: invoice_overdue, expect: invoice_paid, same: invoiceId, within: 60s, else: invoice_unpaid}]\n"
    try (shipped + contract).write(to: rules, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: rules) }
    let setup = FaultRun.Setup(
      events: max(200, rounds * 50), profile: .defaultProfile, isProxied: true,
      settings: [
        "DECISIONS_FILE": rules.path, "AMQP_RECONNECT_SECONDS": "1", "DATABASE_RECONNECT_SECONDS": "1",
        "PIPELINE_RETRY_SECONDS": "1",
      ])
    try await FaultRun.run(row, setup, &random) { faultRun in
      var running: [ChildProcess] = []
      for _ in 0..<3 { running.append(try await faultRun.serve()) }
      let invoices = Invoices(rounds: rounds, in: faultRun.workload.orgs[0], &faultRun.random)
      faultRun.outsiders = [invoices.client]
      try await faultRun.environment.execute(
        "INSERT INTO contacts (id, org_id, name) VALUES ('\(invoices.client)', '\(invoices.org)', 'Late')")
      try await faultRun.deliver(invoices.messages.shuffled(using: &faultRun.random))
      for round in 0..<rounds {
        try await faultRun.publish(40)
        let before = try await faultRun.patiently { try await invoices.fired(faultRun).count }
        if round == rounds / 2 { for proxy in [faultRun.amqp, faultRun.postgres] { proxy?.cut() } }
        try await eventually("more contracts", within: .seconds(90), state: { faultRun.logs }) {
          try await invoices.letTheHourPass(faultRun)
          let now = (try? await invoices.fired(faultRun).count) ?? before
          return now > before || now >= invoices.unpaid.count
        }
        // While the next ones are stored.
        let victim = running[round % 3]
        victim.send(SIGKILL)
        #expect(await victim.ended(within: .seconds(10)) == .signalled(SIGKILL), "\(victim.standardError)")
        running[round % 3] = try faultRun.start()
      }
      try await invoices.check(faultRun)
      try await faultRun.environment.execute("DELETE FROM contacts WHERE id = '\(invoices.client)'")
    }
  }
}

/// Overdue invoices of one client, half of them paid, whose contracts fall due some seconds from now, one after another.
private struct Invoices {
  let client: String
  let org: String
  private(set) var messages: [OutboundMessage] = []
  private(set) var unpaid: Set<String> = []

  init(rounds: Int, in org: String, _ random: inout SeededRandom) {
    client = random.uuid()
    self.org = org
    let begin = Int64((Date().timeIntervalSince1970 + 12) * 1_000_000)
    let count = 40 * rounds
    for number in 0..<count {
      // Two seconds for each round.
      let dueAt = begin + Int64(number) * Int64(rounds) * 2_000_000 / Int64(count)
      messages.append(message("invoice_overdue", "i\(number)", at: dueAt - 60_000_000))
      if number % 2 == 0 {
        messages.append(message("invoice_paid", "i\(number)", at: dueAt - 50_000_000))
      } else {
        unpaid.insert("i\(number)")
      }
    }
  }

  private func message(_ type: String, _ invoice: String, at time: Int64) -> OutboundMessage {
    let body = """
      {"specversion":"1.0","id":"\(type)_\(invoice)","source":"/billing","type":"\(type)","time":"\(WorkloadEvent.rfc3339(time))",\
      "subject":"\(client)","orgid":"\(org)","data":{"invoiceId":"\(invoice)"}}
      """
    return OutboundMessage(
      exchange: "journey.events", routingKey: "test.\(type)",
      properties: MessageProperties(contentType: "application/cloudevents+json", messageID: "\(type)_\(invoice)"),
      body: Array(body.utf8))
  }

  /// The invoices for which an event was stored, with how many times.
  func fired(_ faultRun: FaultRun) async throws -> [String: String] {
    let rows = try await faultRun.environment.rows(
      """
      SELECT metadata->>'invoiceId', count(*) FROM client_journey_events
      WHERE source = 'journey.silence' AND event_type = 'invoice_unpaid' AND client_id = '\(client)' GROUP BY 1
      """)
    return Dictionary(rows.map { ($0[0], $0[1]) }) { first, _ in first }
  }

  /// What is due already when it arrives, because the machine is slow, waits an hour.
  func letTheHourPass(_ faultRun: FaultRun) async throws {
    let messages = messages.count
    let stored = try await faultRun.environment.number(
      "SELECT count(*) FROM client_journey_events WHERE client_id = '\(client)' AND source <> 'journey.silence'")
    guard stored == messages else { return }
    try await faultRun.environment.execute(
      """
      UPDATE journey_expectations SET check_at = now()
      WHERE client_id = '\(client)' AND due_at <= now() AND check_at > now() + interval '2 minutes'
      """)
  }

  /// Of each unpaid invoice it is stored once that it was not paid, of no other, and nothing is left to do.
  func check(_ faultRun: FaultRun) async throws {
    try await eventually("all contracts", within: .seconds(120), state: { faultRun.logs }) {
      try await letTheHourPass(faultRun)
      return try await fired(faultRun).count >= unpaid.count
    }
    let note: Comment = "JOURNEY_TEST_SEED=\(SeededRandom.seed)"
    let found = try await fired(faultRun)
    #expect(Set(found.keys) == unpaid, note)
    #expect(found.values.allSatisfy { $0 == "1" }, "none twice; \(note)")
    let open = try await faultRun.environment.number(
      "SELECT count(*) FROM journey_expectations WHERE client_id = '\(client)' AND due_at IS NOT NULL")
    #expect(open == 0, note)
  }
}
