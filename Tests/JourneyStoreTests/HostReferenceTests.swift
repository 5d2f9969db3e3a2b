import FoundationEssentials
import Journey
import JourneyPipeline
import JourneyStore
import PostgresClient
import Testing

/// Whatever a host does to its events, time passes and rules change: each state is the one that follows from the stored events alone.
@Suite struct HostReferenceTests: CommitTesting {
  private struct Pseudorandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) | (state << 31)
    }
  }

  private static let types = [
    "note_added", "called", "ticket_opened", "invoice_overdue", "invoice_overdue", "invoice_paid", "milestone_delayed", "milestone_completed",
    "usage_reported",
  ]
  private static let stages = ["lead", "onboarding", "active_project", "billing", "churn_risk", "upsell_candidate"]
  private static let metadata = [
    "{}", #"{"invoiceId": "a"}"#, #"{"invoiceId": "b"}"#, #"{"invoiceId": 7}"#, #"{"usage": 5}"#, #"{"sentiment": "negative"}"#,
  ]
  private static let columns = "client_id, org_id, stage, event_type, metadata, occurred_at, sets_stage"

  private static func row(_ random: inout Pseudorandom) -> String {
    """
    ('\(clients.randomElement(using: &random)!)', '\(org)', '\(stages.randomElement(using: &random)!)', '\(types.randomElement(using: &random)!)',
      '\(metadata.randomElement(using: &random)!)', now() - interval '\(Int.random(in: 0...86_400 * 60, using: &random)) seconds',
      \(Bool.random(using: &random)))
    """
  }

  private static func statement(_ random: inout Pseudorandom) -> String {
    let some = "id IN (SELECT id FROM client_journey_events ORDER BY md5(id::text || '\(random.next())') LIMIT \(Int.random(in: 1...3, using: &random)))"
    switch Int.random(in: 0..<8, using: &random) {
    case 0, 1, 2:
      let rows = (0..<Int.random(in: 1...4, using: &random)).map { _ in row(&random) }
      return "INSERT INTO client_journey_events (\(columns)) VALUES \(rows.joined(separator: ", "))"
    case 3, 4: return "DELETE FROM client_journey_events WHERE \(some)"
    case 5: return "UPDATE client_journey_events SET (\(columns)) = ROW \(row(&random)) WHERE \(some)"
    case 6: return "UPDATE client_journey_events SET occurred_at = occurred_at - interval '20 days' WHERE \(some)"
    default: return "UPDATE client_journey_events SET event_type = '\(types.randomElement(using: &random)!)' WHERE \(some)"
    }
  }

  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func eachStateFollowsFromTheStoredEvents(seed: UInt64) async throws {
    var random = Pseudorandom(state: seed)
    var others = DecisionRules()
    others.version = "others"
    others.signals.invoiceOverdue = ["called"]
    others.signals.ticketOpened = ["note_added"]
    others.score.perRisk = 13
    let offsets: [TimeSpan] = [.seconds(0), .days(9), .days(21), .days(40), .days(40)]
    let rules = [DecisionRules(), DecisionRules(), DecisionRules(), DecisionRules(), others]
    try await withLedgers(at: offsets, rules: rules) { ledgers, other in
      for step in ledgers.indices {
        for turn in 0..<6 {
          for _ in 0..<3 { try await other.run(Self.statement(&random)) }
          let taken = event("\(seed)-\(step)-\(turn)", of: Int.random(in: 0...1, using: &random))
          expect(try await ledgers[min(step, 3)].take([taken]), ["stored"])
          // What is done under other rules is made anew under these.
          if step == 4 {
            let progress = try await Recompute().run(on: ledgers[4])
            #expect(progress.isComplete)
            #expect(try await Recompute().run(on: ledgers[4]).changed == 0)
          } else {
            while try await ledgers[step].evaluateDue(limit: 10, passingOver: []).looked > 0 {}
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
  private static let events = PostgresStatement(
    name: "reference_events",
    """
    SELECT client_id, COALESCE(source, ''), COALESCE(source_event_id, id::text), event_type, stage, sets_stage, occurred_at, metadata::text,
      clock_timestamp()
    FROM client_journey_events
    """)

  /// - Returns: how the states stand, and how they follow from the stored events.
  private func compare(_ rules: DecisionRules, at offset: TimeSpan, _ worker: PostgresWorker) async throws -> ([String], [String]) {
    try await worker.perform { connection in
      let states = try connection.execute(Self.states, PostgresParameters { $0.int8(offset.microseconds) })
      let events = try connection.execute(Self.events, PostgresParameters())
      var summaries: [UUID: ClientSummary] = [:], invoices: [UUID: [String: InvoiceState]] = [:]
      for row in 0..<events.rowCount {
        let client = try events.uuid(row, 0)
        let stamp = EventStamp(at: Timestamp(microseconds: try events.timestamp(row, 6)), id: try events.text(row, 2), source: try events.text(row, 1))
        let stage = try events.bool(row, 5) ? Stage(rawValue: events.text(row, 4)) : nil
        let document = try JSONDocument(parsing: Array(try events.text(row, 7).utf8))
        let signals = rules.signals.signals(type: try events.text(row, 3), stage: stage, sourceEventID: stamp.id, metadata: document.root)
        summaries[client, default: ClientSummary()].insert(stamp, stage: stage, signals: signals)
        switch signals.invoice {
        case .overdue(let id): invoices[client, default: [:]][id, default: InvoiceState()].merge(InvoiceState(overdueAt: stamp.at))
        case .settled(let id): invoices[client, default: [:]][id, default: InvoiceState()].merge(InvoiceState(settledAt: stamp.at))
        case nil: break
        }
      }
      var found: [String] = [], wanted: [String] = []
      for row in 0..<states.rowCount {
        let client = try states.uuid(row, 0)
        let text = try (1..<5).map { try states.textIfPresent(row, $0) ?? "-" }
        let due = try states.timestampIfPresent(row, 5)
        let isLater = try due == nil || (states.bool(row, 6) && states.bool(row, 7))
        found.append("\(client) \(text) \(due ?? 0) \(isLater) \(try states.textIfPresent(row, 8) ?? "")")
        let ids = (invoices[client] ?? [:]).keys.sorted().joined(separator: ",")
        guard var summary = summaries[client] else {
          wanted.append("\(client) [\"-\", \"-\", \"-\", \"\"] 0 true \(ids)")
          continue
        }
        let late = (invoices[client] ?? [:]).filter(\.value.isLate).map { LateInvoices.Item(id: $0.key, overdueAt: $0.value.overdueAt!) }
        let oldest = late.sorted { ($0.overdueAt, $0.id) < ($1.overdueAt, $1.id) }.prefix(LateInvoices.oldestLimit)
        summary.lateInvoices = LateInvoices(count: min(late.count, LateInvoices.countLimit), oldest: Array(oldest))
        let now = Timestamp(microseconds: try events.timestamp(0, 8)) + offset
        let assessment = rules.assess(summary, aiScore: nil, at: now)
        let score = assessment.score == assessment.score.rounded() ? "\(Int(assessment.score))" : "\(assessment.score)"
        let parts = [assessment.stage.rawValue, score, assessment.level.rawValue, assessment.risks.map(\.risk.rawValue).joined(separator: ",")]
        wanted.append("\(client) \(parts) \(assessment.nextChange?.microseconds ?? 0) true \(ids)")
      }
      return (found, wanted)
    }
  }
}
