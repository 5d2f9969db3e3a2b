/// A simple second implementation of the rules: it evaluates a client from all its events, and shares no code with the
/// code under test.
///
/// `literal` is `calculateJourneyScore` and `getActionForClient` of the design document; `defaultProfile` includes the
/// adapter's extensions.
struct Reference: Equatable {
  var stage: String
  var score: Double
  var level: String
  var risks: [String]
  var actions: [String]

  private static let stages = [
    "lead", "qualified_lead", "onboarding", "active_project", "awaiting_feedback", "billing", "retention",
    "upsell_candidate", "churn_risk",
  ]
  private static let day: Int64 = 86_400_000_000

  /// - Parameter now: the time of the evaluation, in microseconds since 1970.
  init(_ profile: Profile, _ events: [WorkloadEvent], aiScore: String?, now: Int64) {
    let sorted = events.sorted(by: Self.isNewer)
    let owner = Self.stageOwner(events, profile)
    stage = owner?.stage ?? "lead"
    risks = Self.designDocumentRisks(profile, sorted, now)
    if profile == .defaultProfile { risks += Self.addedRisks(sorted, owner, now) }
    var base = 50.0
    if let aiScore, let value = Double(aiScore), value != 0 { base = value }
    score = max(0, base + 5 * Double(Self.stages.firstIndex(of: stage)!) - 10 * Double(risks.count))
    level = risks.count >= 4 ? "CRITICAL" : risks.count == 3 ? "HIGH" : risks.count == 2 ? "MEDIUM" : "LOW"
    actions = []
    let byStage = [
      "lead": "email_outreach", "qualified_lead": "email_outreach", "onboarding": "schedule_meeting",
      "awaiting_feedback": "trigger_satisfaction_survey", "churn_risk": "concierge_personal_intervention",
      "upsell_candidate": "offer_credit_pack",
    ]
    let byRisk = [
      ("low_engagement", "send_voice_message"), ("late_invoices", "email_outreach"),
      ("negative_sentiment", "concierge_personal_intervention"), ("slow_project_progress", "schedule_meeting"),
      ("high_support_tickets", "concierge_personal_intervention"), ("low_feature_usage", "schedule_meeting"),
    ]
    let wanted = [byStage[stage]].compactMap(\.self) + byRisk.filter { risks.contains($0.0) }.map(\.1)
    for action in wanted where !actions.contains(action) { actions.append(action) }
  }

  var priority: String { ["LOW": "low", "MEDIUM": "medium", "HIGH": "high", "CRITICAL": "urgent"][level]! }

  static func channel(of action: String) -> String {
    switch action {
    case "email_outreach", "offer_credit_pack", "trigger_satisfaction_survey": "email"
    case "send_voice_message": "voice"
    default: "human"
    }
  }

  private static func isNewer(_ a: WorkloadEvent, _ b: WorkloadEvent) -> Bool {
    if a.at != b.at { return a.at > b.at }
    // All ids here are ASCII.
    return a.id != b.id ? a.id > b.id : a.source > b.source
  }

  /// The event to which a client owes its stage: the newest that sets one, or a newer one that raises it further.
  private static func stageOwner(_ events: [WorkloadEvent], _ profile: Profile) -> (stage: String, at: Int64)? {
    func index(_ stage: String) -> Int { stages.firstIndex(of: stage)! }
    func rank(_ event: WorkloadEvent) -> Int {
      profile == .literal ? 0 : stage(of: event.type, profile).map { index($0) + 1 } ?? 0
    }
    let oldestFirst = events.sorted { a, b in
      if a.at == b.at, rank(a) != rank(b) { return rank(a) < rank(b) }
      return isNewer(b, a)
    }
    var set: (stage: String, at: Int64)?
    var raise: (stage: String, at: Int64)?
    for event in oldestFirst {
      guard let stage = stage(of: event.type, profile) else { continue }
      if profile == .defaultProfile, !event.isHosts, lowerBounds.contains(event.type) {
        if raise.map({ index($0.stage) <= index(stage) }) ?? true { raise = (stage, event.at) }
      } else {
        set = (stage, event.at)
        raise = nil
      }
    }
    guard let raise else { return set }
    return set.map { index($0.stage) >= index(raise.stage) } ?? false ? set : raise
  }

  /// The types that raise a client to their stage in the default profile, and never take it back.
  private static let lowerBounds: Set = ["lead_created", "lead_qualified", "invoice_sent", "invoice_overdue"]

  /// nil if the event leaves the stage unchanged.
  static func stage(of type: String, _ profile: Profile) -> String? {
    switch type {
    case "lead_created": "lead"
    case "lead_qualified": "qualified_lead"
    case "contract_signed", "meeting_scheduled": "onboarding"
    case "milestone_completed", "milestone_delayed": "active_project"
    case "deliverable_sent", "survey_answered": "awaiting_feedback"
    case "invoice_sent", "invoice_paid", "invoice_overdue": "billing"
    case "subscription_renewed": "retention"
    case "usage_high": "upsell_candidate"
    case "cancel_requested": "churn_risk"
    case "ticket_opened", "ticket_closed", "usage_reported": profile == .literal ? "active_project" : nil
    case "usage_low": profile == .literal ? "churn_risk" : nil
    default: preconditionFailure("no rule for \(type)")
    }
  }

  private static func isNegative(_ event: WorkloadEvent, _ profile: Profile) -> Bool {
    if let sentiment = event.sentiment { return sentiment == "negative" }
    guard profile == .defaultProfile, event.type == "survey_answered", let nps = event.nps else { return false }
    return nps <= 6
  }

  /// The types in which the client itself acts.
  private static let byClient: Set = [
    "lead_created", "contract_signed", "survey_answered", "invoice_paid", "cancel_requested", "ticket_opened",
  ]

  /// For each type the most events that one source reports, added up.
  private static func mostOfOneSource(_ events: [WorkloadEvent]) -> Int {
    var counts: [String: [String: Int]] = [:]
    for event in events { counts[event.type, default: [:]][event.source, default: 0] += 1 }
    return counts.values.map { $0.values.max() ?? 0 }.reduce(0, +)
  }

  private static func designDocumentRisks(_ profile: Profile, _ newestFirst: [WorkloadEvent], _ now: Int64) -> [String]
  {
    var risks: [String] = []
    let recent = newestFirst.filter { $0.at >= now - 30 * day }
    let engaged = profile == .literal ? recent.count : mostOfOneSource(recent.filter { byClient.contains($0.type) })
    if engaged < 3 { risks.append("low_engagement") }
    let overdue = newestFirst.filter { $0.type == "invoice_overdue" }
    let paid = Set(newestFirst.filter { $0.type == "invoice_paid" }.compactMap(\.invoice))
    let late = profile == .literal ? overdue : overdue.filter { $0.invoice.map { !paid.contains($0) } ?? true }
    if !late.isEmpty { risks.append("late_invoices") }
    let negative = newestFirst.prefix(10).filter { isNegative($0, profile) }
    if (profile == .literal ? negative.count : mostOfOneSource(negative)) >= 2 { risks.append("negative_sentiment") }
    return risks
  }

  private static func addedRisks(
    _ newestFirst: [WorkloadEvent], _ owner: (stage: String, at: Int64)?, _ now: Int64
  ) -> [String] {
    var risks: [String] = []
    let progress = newestFirst.first {
      ["milestone_completed", "deliverable_sent", "milestone_delayed"].contains($0.type)
    }
    if progress?.type == "milestone_delayed" {
      risks.append("slow_project_progress")
    } else if let owner, owner.stage == "active_project", now - max(owner.at, progress?.at ?? owner.at) >= 21 * day {
      risks.append("slow_project_progress")
    }
    if let usage = newestFirst.lazy.compactMap(usage).first, usage < 20 { risks.append("low_feature_usage") }
    if mostOfOneSource(newestFirst.filter { $0.type == "ticket_opened" && $0.at >= now - 30 * day }) >= 3 {
      risks.append("high_support_tickets")
    }
    return risks
  }

  private static func usage(_ event: WorkloadEvent) -> Double? {
    switch event.type {
    case "usage_high": event.usage ?? 100
    case "usage_low": event.usage ?? 0
    case "usage_reported": event.usage
    default: nil
    }
  }
}
