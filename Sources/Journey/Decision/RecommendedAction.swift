public import FoundationEssentials

/// A recommended action with everything that a worker needs. It can be rebuilt from a stored evaluation, so messages
/// are not stored.
public struct RecommendedAction: Sendable {
  public var id: UUID
  public var clientID: UUID
  public var orgID: UUID
  public var name: String?
  public var email: String?
  public var phone: String?
  public var action: ActionKind
  public var channel: Channel
  public var priority: Priority
  public var reason: String
  public var score: Double
  public var level: RiskLevel
  public var stage: Stage
  /// JSON: the array of `{risk, evidence, since}`.
  public var risks: [UInt8]
  /// JSON: the array of the actions' names, best first.
  public var recommended: [UInt8]
  /// The source's id of the causing event; the action's own id if time alone caused it.
  public var causeID: String
  /// The W3C `traceparent` that came with the event.
  public var traceparent: String?
  public var decidedAt: Timestamp
  public var expiresAt: Timestamp?
  /// The time until the action expires, by the database's clock. The publishing machine's clock does not matter.
  public var timeToLive: TimeSpan?
  public var ruleVersion: String

  public init(
    id: UUID, clientID: UUID, orgID: UUID, name: String?, email: String?, phone: String?, action: ActionKind,
    channel: Channel,
    priority: Priority, reason: String, score: Double, level: RiskLevel, stage: Stage, risks: [UInt8],
    recommended: [UInt8], causeID: String,
    traceparent: String?, decidedAt: Timestamp, expiresAt: Timestamp?, timeToLive: TimeSpan?, ruleVersion: String
  ) {
    self.id = id
    self.clientID = clientID
    self.orgID = orgID
    self.name = name
    self.email = email
    self.phone = phone
    self.action = action
    self.channel = channel
    self.priority = priority
    self.reason = reason
    self.score = score
    self.level = level
    self.stage = stage
    self.risks = risks
    self.recommended = recommended
    self.causeID = causeID
    self.traceparent = traceparent
    self.decidedAt = decidedAt
    self.expiresAt = expiresAt
    self.timeToLive = timeToLive
    self.ruleVersion = ruleVersion
  }
}

extension DecisionRules {
  /// The action of an evaluation; nil if there is none.
  ///
  /// - Parameters:
  ///   - risks: the evaluation's risks as JSON, by `Assessment.writeRisks`.
  ///   - recommended: its candidates' names as JSON, by `Assessment.writeRecommendedActions`.
  public func action(
    of evaluation: Evaluation, for client: ClientSnapshot, risks: [UInt8], recommended: [UInt8]
  ) -> RecommendedAction? {
    guard let winner = evaluation.decision.winner(of: evaluation.assessment) else { return nil }
    let assessment = evaluation.assessment, expiry = actions.expiry(of: winner.action)
    return RecommendedAction(
      id: evaluation.id, clientID: client.id, orgID: client.orgID, name: client.name, email: client.email,
      phone: client.phone, action: winner.action,
      channel: winner.channel, priority: assessment.priority, reason: winner.reason, score: assessment.score,
      level: assessment.level,
      stage: assessment.stage, risks: risks, recommended: recommended, causeID: evaluation.causeID,
      traceparent: evaluation.traceparent, decidedAt: evaluation.at,
      expiresAt: expiry.map { evaluation.at + $0 },
      timeToLive: expiry,
      ruleVersion: version)
  }
}
