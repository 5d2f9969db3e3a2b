/// All settings of the decision. The defaults are the adapter's; `config/decisions.yaml`
/// and the profile `literal` override them.
public struct DecisionRules: Hashable, Sendable {
  /// The version in every decision, which identifies the rules that made it.
  public var version = "unversioned"
  public var evaluation = Cadence.perBatch
  /// Whether a client is evaluated when a risk begins or ends without an event.
  public var evaluatesOverTime = true
  public var score = ScoreRules()
  public var levels = LevelRules()
  public var risks = RiskRules()
  public var actions = ActionRules()
  public var signals = SignalRules()
  /// When the risks that come from silence are frozen; nil: never.
  public var feedOutage: FeedOutage? = FeedOutage()
  /// The silence contracts.
  public var expectations: [SilenceContract] = []
  /// Whether each decision is stored with all that it depends on, so that it can be made again.
  public var recordsInputs = false

  public init() {}

  public enum Cadence: String, CaseIterable, Sendable {
    /// Evaluates each new event separately, as in the design document.
    case perEvent = "event"
    /// Evaluates a client once for all its new events in a batch.
    case perBatch = "batch"
  }
}

/// When a source of an organisation counts as dead, so that the silence of clients says nothing.
public struct FeedOutage: Hashable, Sendable {
  /// So many times its usual gap.
  public var longerThan = 3.0
  /// No shorter silence counts.
  public var atLeast = TimeSpan.hours(24)
  /// Sources are not judged before they have been heard for so long.
  public var knownFor = TimeSpan.days(7)
  /// After so long nobody expects the source any more.
  public var givenUpAfter = TimeSpan.days(30)

  public init() {}
}

/// The score: `(ai_score or base) + perStage x stage index - perRisk x risks`, not below `minimum`.
/// Source: the design document, `calculateJourneyScore`.
public struct ScoreRules: Hashable, Sendable {
  /// Replaces an `ai_score` that is missing or 0, as `ai_score || 50` does in the design document.
  public var base = 50.0
  public var perStage = 5.0
  public var perRisk = 10.0
  public var minimum = 0.0

  public init() {}
}

/// The number of risks from which each level holds.
public struct LevelRules: Hashable, Sendable {
  public var medium = 2
  public var high = 3
  public var critical = 4
  public var priorities: EnumTable<RiskLevel, Priority> = [
    .low: .low, .medium: .medium, .high: .high, .critical: .urgent,
  ]

  public init() {}

  public func level(risks: Int) -> RiskLevel {
    if risks >= critical { return .critical }
    if risks >= high { return .high }
    return risks >= medium ? .medium : .low
  }
}

/// The conditions of each risk. A nil risk is switched off.
public struct RiskRules: Hashable, Sendable {
  /// How events of one type are counted that several sources tell.
  public enum Overlap: String, CaseIterable, Hashable, Sendable {
    /// The most that one source tells: the sources may tell of the same things.
    case largest
    /// All of them.
    case sum
  }
  /// Fewer than `events` events within `window`. 1...10 events.
  public struct LowEngagement: Hashable, Sendable {
    public var events = 3
    public var window = TimeSpan.days(30)
    public var counts = Counted.own
    public init() {}

    public enum Counted: String, CaseIterable, Hashable, Sendable {
      /// Events in which the client itself acted.
      case own = "client"
      /// All events, as in the design document.
      case all = "anyone"
    }
  }
  public enum LateInvoiceRule: String, CaseIterable, Hashable, Sendable {
    /// As in the design document: an invoice that was overdue once is a risk forever.
    case everOverdue = "ever"
    /// An invoice is a risk until it is paid or voided.
    case untilSettled = "until_settled"
  }
  /// At least `events` negative ones among the newest `among` events. `among` is 1...10.
  public struct NegativeSentiment: Hashable, Sendable {
    public var events = 2
    public var among = 10
    public init() {}
  }
  /// The newest progress signal is a delay, or an active project had no progress for `silence`.
  public struct SlowProgress: Hashable, Sendable {
    public var silence = TimeSpan.days(21)
    public init() {}
  }
  /// The newest usage is below `percent`.
  public struct LowUsage: Hashable, Sendable {
    public var percent = 20.0
    public init() {}
  }
  /// At least `tickets` tickets opened within `window`. 1...10 tickets.
  public struct HighTickets: Hashable, Sendable {
    public var tickets = 3
    public var window = TimeSpan.days(30)
    public init() {}
  }

  public var overlap = Overlap.largest
  public var lowEngagement: LowEngagement? = LowEngagement()
  public var lateInvoices: LateInvoiceRule? = .untilSettled
  public var negativeSentiment: NegativeSentiment? = NegativeSentiment()
  public var slowProgress: SlowProgress? = SlowProgress()
  public var lowUsage: LowUsage? = LowUsage()
  public var highTickets: HighTickets? = HighTickets()

  public init() {}
}

/// Which action follows from which stage or risk, its reason, and its channel.
public struct ActionRules: Hashable, Sendable {
  public struct Choice: Hashable, Sendable {
    public var action: ActionKind
    /// Replaces the general reason of the action.
    public var reason: ReasonTemplate?

    public init(_ action: ActionKind, reason: ReasonTemplate? = nil) {
      self.action = action
      self.reason = reason
    }
  }
  public struct RiskChoice: Hashable, Sendable {
    public var risk: Risk
    public var choice: Choice

    public init(_ risk: Risk, _ choice: Choice) {
      self.risk = risk
      self.choice = choice
    }
  }

  public var byStage: EnumTable<Stage, Choice> = [
    .lead: Choice(.emailOutreach), .qualifiedLead: Choice(.emailOutreach), .onboarding: Choice(.scheduleMeeting),
    .awaitingFeedback: Choice(.triggerSatisfactionSurvey), .churnRisk: Choice(.conciergePersonalIntervention),
    .upsellCandidate: Choice(.offerCreditPack),
  ]
  /// In order of rank.
  public var byRisk: [RiskChoice] = [
    RiskChoice(.lowEngagement, Choice(.sendVoiceMessage)),
    RiskChoice(.lateInvoices, Choice(.emailOutreach)),
    RiskChoice(.negativeSentiment, Choice(.conciergePersonalIntervention)),
  ]
  public var reasons: EnumTable<ActionKind, ReasonTemplate> = [
    .emailOutreach: "Client needs re-engagement via email",
    .scheduleMeeting: "Personal meeting recommended for onboarding",
    .sendVoiceMessage: "Voice message can improve engagement",
    .conciergePersonalIntervention: "{level} risk detected - personal intervention needed",
    .offerCreditPack: "Good candidate for additional services",
    .triggerSatisfactionSurvey: "Collect feedback on recent work",
  ]
  public var channels: EnumTable<ActionKind, Channel> = [
    .emailOutreach: .email, .offerCreditPack: .email, .triggerSatisfactionSurvey: .email, .sendVoiceMessage: .voice,
    .scheduleMeeting: .human, .conciergePersonalIntervention: .human,
  ]
  /// How long a published action blocks another of the same kind and the same or a lower priority for the client,
  /// unless it expires earlier. 0 switches the cooldown off.
  public var cooldown = TimeSpan.days(7)
  /// How long an action may wait for a worker; nil: forever.
  public var expiry: TimeSpan? = .hours(72)
  /// The same of kinds that expire after another time; nil: never.
  public var expiryOfKind: EnumTable<ActionKind, TimeSpan?> = [:]
  /// nil: an action ends when it is published.
  public var life: LifeRules?
  /// nil: a client gets whatever there is a reason for. Needs `life`, which says what has reached the client.
  public var contact: ContactPolicy?

  public init() {}

  /// How long an action of a kind may wait for a worker; nil: forever.
  public func expiry(of kind: ActionKind) -> TimeSpan? { expiryOfKind[kind] ?? expiry }

  /// The cooldown of an action that nobody runs: it ends when the action expires.
  func cooldownUntilExpiry(of kind: ActionKind) -> TimeSpan { expiry(of: kind).map { min(cooldown, $0) } ?? cooldown }

  public func channel(of action: ActionKind) -> Channel { channels[action] ?? .human }
}

/// A human-readable reason for an action; `{level}` stands for the risk level. Split once, because every evaluation
/// fills it in.
public struct ReasonTemplate: Hashable, Sendable, ExpressibleByStringLiteral {
  private let parts: [String]

  public init(_ text: String) {
    parts = text.split(separator: "{level}", omittingEmptySubsequences: false).map(String.init)
  }
  public init(stringLiteral text: String) { self.init(text) }

  public func text(at level: RiskLevel) -> String {
    parts.count == 1 ? parts[0] : parts.joined(separator: level.rawValue)
  }
}
