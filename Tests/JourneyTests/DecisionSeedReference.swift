/// The design document's `ClientJourneyService` and `NextBestActionEngine`, as they are written there: the whole
/// history, filtered and sorted for each question, everything a string. It shares nothing with the code under test.
///
/// The document leaves the order of events of one moment to the database; the adapter's is by id, then source,
/// bytewise.
struct DesignDocumentReference {
  struct Event {
    var id: String
    var source: String
    /// Microseconds since 1970.
    var occurredAt: Int64
    var stage: String
    var eventType: String
    var sentiment: String?
  }
  struct Score: Equatable {
    var score: Double
    var riskLevel: String
    var recommendedActions: [String]
  }
  struct Action: Equatable {
    var action: String
    var priority: String
    var reason: String
  }

  static let stages = [
    "lead", "qualified_lead", "onboarding", "active_project", "awaiting_feedback", "billing", "retention",
    "upsell_candidate", "churn_risk",
  ]

  var events: [Event]
  var aiScore: Double?
  var now: Int64

  func orderedDescending() -> [Event] {
    events.sorted { a, b in
      if a.occurredAt != b.occurredAt { return a.occurredAt > b.occurredAt }
      if Array(a.id.utf8) != Array(b.id.utf8) { return Array(b.id.utf8).lexicographicallyPrecedes(Array(a.id.utf8)) }
      return Array(b.source.utf8).lexicographicallyPrecedes(Array(a.source.utf8))
    }
  }

  func currentStage() -> String { orderedDescending().first?.stage ?? "lead" }

  func journeyScore() -> Score {
    var score = 50.0
    if let aiScore, !(aiScore == 0 || aiScore.isNaN) { score = aiScore }
    let stage = currentStage()
    score += Double(Self.stages.firstIndex(of: stage) ?? -1) * 5
    let risks = detectRisks()
    let penalty = Double(risks.count * 10)
    score = max(0, score - penalty)
    var level = "LOW"
    if risks.count >= 4 {
      level = "CRITICAL"
    } else if risks.count >= 3 {
      level = "HIGH"
    } else if risks.count >= 2 {
      level = "MEDIUM"
    }
    return Score(score: score, riskLevel: level, recommendedActions: generateActions(stage: stage, risks: risks))
  }

  func detectRisks() -> [String] {
    var risks: [String] = []
    let thirtyDaysAgo = now - 30 * 24 * 60 * 60 * 1_000_000
    if events.filter({ $0.occurredAt >= thirtyDaysAgo }).count < 3 { risks.append("low_engagement") }
    if !events.filter({ $0.stage == "billing" && $0.eventType == "invoice_overdue" }).isEmpty {
      risks.append("late_invoices")
    }
    if orderedDescending().prefix(10).filter({ $0.sentiment == "negative" }).count >= 2 {
      risks.append("negative_sentiment")
    }
    return risks
  }

  func generateActions(stage: String, risks: [String]) -> [String] {
    var actions: [String] = []
    switch stage {
    case "lead", "qualified_lead": actions.append("email_outreach")
    case "onboarding": actions.append("schedule_meeting")
    case "awaiting_feedback": actions.append("trigger_satisfaction_survey")
    case "churn_risk": actions.append("concierge_personal_intervention")
    case "upsell_candidate": actions.append("offer_credit_pack")
    default: break
    }
    if risks.contains("low_engagement") { actions.append("send_voice_message") }
    if risks.contains("late_invoices") { actions.append("email_outreach") }
    if risks.contains("negative_sentiment") { actions.append("concierge_personal_intervention") }
    var unique: [String] = []
    for action in actions where !unique.contains(action) { unique.append(action) }
    return unique
  }

  func actionForClient() -> Action? {
    let score = journeyScore()
    guard let action = score.recommendedActions.first else { return nil }
    var priority = "low"
    if score.riskLevel == "CRITICAL" { priority = "urgent" }
    if score.riskLevel == "HIGH" { priority = "high" }
    if score.riskLevel == "MEDIUM" { priority = "medium" }
    let reasons = [
      "email_outreach": "Client needs re-engagement via email",
      "schedule_meeting": "Personal meeting recommended for onboarding",
      "send_voice_message": "Voice message can improve engagement",
      "concierge_personal_intervention": "\(score.riskLevel) risk detected - personal intervention needed",
      "offer_credit_pack": "Good candidate for additional services",
      "trigger_satisfaction_survey": "Collect feedback on recent work",
    ]
    return Action(
      action: action, priority: priority, reason: reasons[action] ?? "Action recommended based on journey analysis")
  }
}
