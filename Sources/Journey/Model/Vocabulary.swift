/// The nine stages of a client's journey, in order.
///
/// Source: the design document, `STAGES`.
public enum Stage: String, CaseIterable, Hashable, Sendable {
  case lead
  case qualifiedLead = "qualified_lead"
  case onboarding
  case activeProject = "active_project"
  case awaitingFeedback = "awaiting_feedback"
  case billing
  case retention
  case upsellCandidate = "upsell_candidate"
  case churnRisk = "churn_risk"

  /// The index in the journey, 0 (`lead`) to 8 (`churn_risk`).
  public var index: Int {
    switch self {
    case .lead: 0
    case .qualifiedLead: 1
    case .onboarding: 2
    case .activeProject: 3
    case .awaitingFeedback: 4
    case .billing: 5
    case .retention: 6
    case .upsellCandidate: 7
    case .churnRisk: 8
    }
  }
}

extension Stage {
  /// The name in explanations.
  var label: StaticString {
    switch self {
    case .lead: "stage:lead"
    case .qualifiedLead: "stage:qualified_lead"
    case .onboarding: "stage:onboarding"
    case .activeProject: "stage:active_project"
    case .awaitingFeedback: "stage:awaiting_feedback"
    case .billing: "stage:billing"
    case .retention: "stage:retention"
    case .upsellCandidate: "stage:upsell_candidate"
    case .churnRisk: "stage:churn_risk"
    }
  }
}

/// A risk of a client. Source: the design document, `RISK_FACTORS`.
public enum Risk: String, CaseIterable, Hashable, Sendable {
  case lowEngagement = "low_engagement"
  case lateInvoices = "late_invoices"
  case slowProjectProgress = "slow_project_progress"
  case negativeSentiment = "negative_sentiment"
  case lowFeatureUsage = "low_feature_usage"
  case highSupportTickets = "high_support_tickets"
}

extension Risk {
  /// The name in explanations.
  var label: StaticString {
    switch self {
    case .lowEngagement: "risk:low_engagement"
    case .lateInvoices: "risk:late_invoices"
    case .slowProjectProgress: "risk:slow_project_progress"
    case .negativeSentiment: "risk:negative_sentiment"
    case .lowFeatureUsage: "risk:low_feature_usage"
    case .highSupportTickets: "risk:high_support_tickets"
    }
  }
}

/// An action for a client. Source: the design document, `ACTIONS`.
public enum ActionKind: String, CaseIterable, Hashable, Sendable {
  case emailOutreach = "email_outreach"
  case scheduleMeeting = "schedule_meeting"
  case sendVoiceMessage = "send_voice_message"
  case conciergePersonalIntervention = "concierge_personal_intervention"
  case offerCreditPack = "offer_credit_pack"
  case triggerSatisfactionSurvey = "trigger_satisfaction_survey"
}

/// The overall level of a client's risks.
public enum RiskLevel: String, CaseIterable, Comparable, Hashable, Sendable {
  case low = "LOW"
  case medium = "MEDIUM"
  case high = "HIGH"
  case critical = "CRITICAL"

  private var rank: Int {
    switch self {
    case .low: 0
    case .medium: 1
    case .high: 2
    case .critical: 3
    }
  }

  public static func < (a: RiskLevel, b: RiskLevel) -> Bool { a.rank < b.rank }
}

/// The urgency of an action.
public enum Priority: String, CaseIterable, Comparable, Hashable, Sendable {
  case low, medium, high, urgent

  private var rank: Int {
    switch self {
    case .low: 0
    case .medium: 1
    case .high: 2
    case .urgent: 3
    }
  }

  public static func < (a: Priority, b: Priority) -> Bool { a.rank < b.rank }
}

/// The kind of worker that runs an action: the first segment of an action's routing key.
public struct Channel: RawRepresentable, Hashable, Sendable {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }

  public static let email = Channel(rawValue: "email")
  public static let voice = Channel(rawValue: "voice")
  public static let human = Channel(rawValue: "human")
}
