import AMQPClient
import Foundation

/// Clients whose states the adapter computes from ordinary events. The states of all other clients are copies of them.
struct SweepTemplates {
  /// Templates per round.
  static let count = 40
  /// The period in seconds after which engagement counts as low, as in the default profile.
  private static let silence = 30 * 86_400

  /// The number of the first template.
  let first: Int
  let moment: Int

  var ids: String { (first..<first + Self.count).map { "'\(Workload.clientID($0))'" }.joined(separator: ",") }

  /// No event that makes a project active: its own period would end as well.
  private static let types = Workload.types.filter { !$0.hasPrefix("milestone") }

  /// Ten events for each client. At `moment` the third newest leaves the period; the newest set the stage.
  func events(run: Int) -> [OutboundMessage] {
    (0..<Self.count).flatMap { client in
      (0..<10).map { n in
        let age = [-9 * 86_400, -4 * 86_400, 0][safe: n] ?? n * 40_000
        let type = Self.types[(client + n * n) % Self.types.count]
        let source = type.hasPrefix("invoice") ? "/billing" : type == "survey_answered" ? "/support" : "/crm"
        let data =
          type.hasPrefix("invoice")
          ? "{\"invoiceId\":\"in_\(client)_\(n)\",\"amountDue\":900}"
          : "{\"note\":\"a note of some length, number \(n)\"}"
        return Workload.message(
          id: "tpl_\(run)_\(client)_\(n)", source, type, at: Workload.time(moment - Self.silence - age),
          client: first + client, data)
      }
    }
  }
}

extension BenchmarkRun {
  /// Lets the adapter store events of clients that become due at `moment`.
  func makeTemplates(_ sweep: Sweep, round: Int, silentAt moment: Int) async throws -> SweepTemplates {
    let templates = SweepTemplates(first: sweep.clients + round * SweepTemplates.count, moment: moment)
    try await broker.publish(templates.events(run: round))
    let program = try Program.start(.adapter, options, servers: servers, mix: ActionMix(), messages: 0)
    defer { program.kill() }
    try await wait(for: program, atMost: .seconds(60)) { try await database.areReady(templates) }
    try program.stop()
    return templates
  }
}

extension Database {
  /// Whether all templates have ten events and become due at `moment`.
  fileprivate func areReady(_ templates: SweepTemplates) async throws -> Bool {
    let row = try await numbers(
      """
      SELECT (SELECT count(*) FROM client_journey_events WHERE client_id IN (\(templates.ids))), count(*),
        count(*) FILTER (WHERE due_at - to_timestamp(\(templates.moment)) BETWEEN interval '0' AND interval '1 second'), COALESCE(min(extract(epoch FROM due_at)), 0)::bigint
      FROM journey_client_state WHERE client_id IN (\(templates.ids)) AND summary <> ''
      """)
    guard row[0] == 10 * SweepTemplates.count, row[1] == SweepTemplates.count else { return false }
    guard row[2] == row[1] else {
      throw BenchmarkError(
        "\(row[1] - row[2]) of \(row[1]) clients are due at another moment: \(row[3]) is not \(templates.moment)")
    }
    return true
  }

  private static let copied = "summary, stage, stage_at, score, risk_level, risks, last_event_at"

  private static func numbered(_ templates: SweepTemplates) -> String {
    "(SELECT row_number() OVER (ORDER BY client_id) - 1 AS n, * FROM journey_client_state WHERE client_id IN (\(templates.ids)))"
  }

  /// Adds a state for each client, due within twenty days after the templates.
  func addStates(_ sweep: Sweep, _ templates: SweepTemplates) async throws {
    try await execute("SET session_replication_role = replica; SET synchronous_commit = off")
    let step = 200_000
    for first in stride(from: 0, to: sweep.clients, by: step) {
      try await execute(
        """
        INSERT INTO journey_client_state (client_id, org_id, \(Self.copied), outreach, scored_at, due_at, check_at)
        SELECT \(Self.client("i")), \(Self.organization("i % \(Workload.organizations)")), \(Self.copied), '', now() - interval '1 day', later, later
        FROM generate_series(\(first), \(min(first + step, sweep.clients) - 1)) i
        JOIN \(Self.numbered(templates)) t ON t.n = i % \(SweepTemplates.count)
        CROSS JOIN LATERAL (SELECT t.due_at + (i * 7919::bigint % 1728000) * interval '1 second' AS later) l
        """)
    }
    try await execute("RESET session_replication_role; RESET synchronous_commit")
    try await execute("VACUUM ANALYZE journey_client_state")
  }

  /// Copies the templates' states to the clients of a round. Each round has its own clients.
  func letFallDue(_ sweep: Sweep, round: Int, _ templates: SweepTemplates) async throws {
    let first = (round - 1) % Sweep.share * sweep.due
    try await execute(
      """
      UPDATE journey_client_state s
      SET (\(Self.copied)) = (\(Self.copied.split(separator: ", ").map { "t.\($0)" }.joined(separator: ", "))), outreach = '',
        scored_at = now() - interval '1 day', due_at = t.due_at, check_at = t.due_at
      FROM generate_series(\(first), \(first + sweep.due - 1)) i JOIN \(Self.numbered(templates)) t ON t.n = i % \(SweepTemplates.count)
      WHERE s.client_id = \(Self.client("i"))
      """)
  }

  func isAnybodyDue() async throws -> Bool {
    try await !numbers("SELECT 1 FROM journey_client_state WHERE check_at <= now() AND merged_into IS NULL LIMIT 1")
      .isEmpty
  }

  /// How many clients were evaluated over time, and the times of the first and the last of them.
  func evaluatedOverTime(since moment: Int) async throws -> (count: Int, first: Double, last: Double) {
    let row = try await numbers(
      """
      SELECT count(*), COALESCE(extract(epoch FROM min(generated_at)) * 1000000, 0)::bigint, COALESCE(extract(epoch FROM max(generated_at)) * 1000000, 0)::bigint
      FROM client_journey_scores WHERE event_id IS NULL AND generated_at >= to_timestamp(\(moment)) AND 'low_engagement' IN
        (SELECT risk ->> 'risk' FROM json_array_elements(explanation -> 'risks') risk)
      """)
    return (row[0], Double(row[1]) / 1e6, Double(row[2]) / 1e6)
  }
}

extension Array {
  fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
