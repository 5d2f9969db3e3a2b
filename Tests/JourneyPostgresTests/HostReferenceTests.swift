import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

/// Whatever a host does to its events, however time passes and rules change, each state follows from the stored events
/// alone.
@Suite struct HostReferenceTests: CommitTesting {
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func eachStateFollowsFromTheStoredEvents(seed: UInt64) async throws {
    var random = HostChanges.Pseudorandom(state: seed)
    let others = HostChanges.otherRules
    let offsets: [TimeSpan] = [.seconds(0), .days(9), .days(21), .days(40), .days(40)]
    let rules = [DecisionRules(), DecisionRules(), DecisionRules(), DecisionRules(), others]
    try await withStores(at: offsets, rules: rules) { stores, other in
      for step in stores.indices {
        for turn in 0..<6 {
          for _ in 0..<3 { try await other.run(HostChanges.statement(&random)) }
          let claimed = event("\(seed)-\(step)-\(turn)", of: Int.random(in: 0...1, using: &random))
          expect(try await stores[min(step, 3)].commitAll([claimed]), ["stored"])
          // The rules have changed, so all clients are recomputed.
          if step == 4 {
            let progress = try await Recompute().run(on: stores[4])
            #expect(progress.isComplete)
            #expect(try await Recompute().run(on: stores[4]).changed == 0)
          } else {
            while try await stores[step].evaluateDue(limit: 10, passingOver: PassedOver()).looked > 0 {}
          }
          let (found, wanted) = try await compare(rules[step], at: offsets[step], other)
          #expect(found == wanted, "seed \(seed), step \(step), turn \(turn)")
        }
      }
    }
  }

  private static let states = PostgresStatement(
    name: "reference_states",
    """
    SELECT client_id, stage, score::text, risk_level, array_to_string(risks, ','), due_at,
      check_at > clock_timestamp() + $1::int8 * interval '1 microsecond', check_at <= due_at,
      (SELECT string_agg(invoice_id, ',' ORDER BY invoice_id) FROM journey_invoices v WHERE v.client_id = s.client_id)
    FROM journey_client_state s WHERE scored_at IS NOT NULL ORDER BY client_id
    """)
  /// - Returns: the stored states, and the states that follow from the stored events.
  private func compare(_ rules: DecisionRules, at offset: TimeSpan, _ worker: PostgresWorker) async throws -> (
    [String], [String]
  ) {
    try await worker.perform { connection in
      let states = try connection.execute(Self.states, PostgresParameters { $0.int8(offset.microseconds) })
      let reference = try StoredReference(rules, at: offset, on: connection)
      var found: [String] = [], wanted: [String] = []
      for row in 0..<states.rowCount {
        let client = try states.uuid(row, 0)
        let text = try (1..<5).map { try states.textIfPresent(row, $0) ?? "-" }
        let due = try states.timestampIfPresent(row, 5)
        let isLater = try due == nil || (states.bool(row, 6) && states.bool(row, 7))
        found.append("\(client) \(text) \(due ?? 0) \(isLater) \(try states.textIfPresent(row, 8) ?? "")")
        let ids = (reference.invoices[client] ?? [:]).keys.sorted().joined(separator: ",")
        guard let assessment = reference.assessments[client] else {
          wanted.append("\(client) [\"-\", \"-\", \"-\", \"\"] 0 true \(ids)")
          continue
        }
        let score = assessment.score == assessment.score.rounded() ? "\(Int(assessment.score))" : "\(assessment.score)"
        let parts = [
          assessment.stage.rawValue, score, assessment.level.rawValue,
          assessment.risks.map(\.risk.rawValue).joined(separator: ","),
        ]
        wanted.append("\(client) \(parts) \(assessment.nextChange?.microseconds ?? 0) true \(ids)")
      }
      return (found, wanted)
    }
  }
}
