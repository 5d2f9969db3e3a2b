import Journey

/// Random changes that a host may make to its events.
enum HostChanges {
  /// Rules in which other events are signals.
  static var otherRules: DecisionRules {
    var rules = DecisionRules()
    rules.version = "others"
    rules.signals.invoiceOverdue = ["called"]
    rules.signals.ticketOpened = ["note_added"]
    rules.score.perRisk = 13
    return rules
  }

  struct Pseudorandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) | (state << 31)
    }
  }

  private static let types = [
    "note_added", "called", "ticket_opened", "invoice_overdue", "invoice_overdue", "invoice_paid", "milestone_delayed",
    "milestone_completed",
    "usage_reported",
  ]
  private static let stages = ["lead", "onboarding", "active_project", "billing", "churn_risk", "upsell_candidate"]
  private static let metadata = [
    "{}", #"{"invoiceId": "a"}"#, #"{"invoiceId": "b"}"#, #"{"invoiceId": 7}"#, #"{"usage": 5}"#,
    #"{"sentiment": "negative"}"#,
  ]
  private static let columns = "client_id, org_id, stage, event_type, metadata, occurred_at, sets_stage"

  private static func row(_ random: inout Pseudorandom) -> String {
    """
    ('\(CommitFixture.clients.randomElement(using: &random)!)', '\(CommitFixture.org)', '\(stages.randomElement(using: &random)!)', '\(types.randomElement(using: &random)!)',
      '\(metadata.randomElement(using: &random)!)', now() - interval '\(Int.random(in: 0...86_400 * 60, using: &random)) seconds',
      \(Bool.random(using: &random)))
    """
  }

  static func statement(_ random: inout Pseudorandom) -> String {
    let some =
      "id IN (SELECT id FROM client_journey_events ORDER BY md5(id::text || '\(random.next())') LIMIT \(Int.random(in: 1...3, using: &random)))"
    switch Int.random(in: 0..<8, using: &random) {
    case 0, 1, 2:
      let rows = (0..<Int.random(in: 1...4, using: &random)).map { _ in row(&random) }
      return "INSERT INTO client_journey_events (\(columns)) VALUES \(rows.joined(separator: ", "))"
    case 3, 4: return "DELETE FROM client_journey_events WHERE \(some)"
    case 5: return "UPDATE client_journey_events SET (\(columns)) = ROW \(row(&random)) WHERE \(some)"
    case 6: return "UPDATE client_journey_events SET occurred_at = occurred_at - interval '20 days' WHERE \(some)"
    default:
      return "UPDATE client_journey_events SET event_type = '\(types.randomElement(using: &random)!)' WHERE \(some)"
    }
  }
}
