public import FoundationEssentials

/// What an evaluation has changed of a client. It can be rebuilt from what is stored.
public struct ClientChange: Sendable {
  public var id: UUID
  public var clientID: UUID
  public var orgID: UUID
  public var at: Timestamp
  /// JSON: the source, id and type of what caused it.
  public var cause: [UInt8]
  /// JSON: by field (`stage`, `riskLevel`, `score`, `nextAction`) what it was and what it is.
  public var changes: [UInt8]
  /// After the change.
  public var stage: Stage
  public var level: RiskLevel

  public init(
    id: UUID, clientID: UUID, orgID: UUID, at: Timestamp, cause: [UInt8], changes: [UInt8], stage: Stage,
    level: RiskLevel
  ) {
    self.id = id
    self.clientID = clientID
    self.orgID = orgID
    self.at = at
    self.cause = cause
    self.changes = changes
    self.stage = stage
    self.level = level
  }
}

extension Evaluation {
  /// The action that is recommended, whether it is published now or before; nil if there is none.
  public var nextAction: ActionKind? {
    decision.verdicts.firstIndex { !$0.isPassedOver }.map { assessment.candidates[$0].action }
  }
}
