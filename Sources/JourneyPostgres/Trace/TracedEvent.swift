public import FoundationEssentials
public import Journey

/// A stored event, with what followed from it.
public struct TracedEvent: Sendable {
  public var id: UUID
  public var orgID: UUID
  /// nil: the host application wrote the event.
  public var source: String?
  public var sourceEventID: String?
  public var type: String
  public var stage: String
  public var setsStage: Bool
  public var occurredAt: Timestamp
  public var storedAt: Timestamp?
  public var voidedAt: Timestamp?
  public var clientID: UUID
  public var clientName: String?
  public var evaluation: TracedEvaluation?

  /// When the adapter mapped the message of the event; nil if its id does not say so.
  public var receivedAt: Timestamp? { source == nil ? nil : id.timestamp }
}

/// A client's evaluation, with the action that follows from it.
public struct TracedEvaluation: Sendable {
  /// Also the action's.
  public var id: UUID
  public var orgID: UUID
  public var clientID: UUID
  public var clientName: String?
  /// The event that led to it; nil: none did.
  public var eventID: UUID?
  public var at: Timestamp
  public var stage: String?
  public var score: Double?
  public var riskLevel: String
  public var action: TracedAction?
}

/// An action on its way to the workers.
public struct TracedAction: Sendable {
  public enum Progress: Sendable {
    /// The broker has confirmed it. The time is the decision's if that is long ago.
    case published(Timestamp)
    /// An instance is publishing it.
    case underWay
    /// The instance that was to publish it has ended; the next one that looks does.
    case abandoned
    /// It could not be published, for the reason; it is tried again at that time; nil: never.
    case failed(String, again: Timestamp?)
  }

  public var action: String
  public var channel: String
  public var priority: String
  public var reason: String
  public var expiresAt: Timestamp?
  public var attempts: Int
  public var progress: Progress
}

/// An event that names only a group, kept until somebody gets it.
public struct KeptGroupEvent: Sendable {
  public var id: UUID
  public var orgID: UUID
  public var source: String
  public var sourceEventID: String
  public var groupID: String
  public var type: String
  public var occurredAt: Timestamp
  public var keptAt: Timestamp
  public var failedAt: Timestamp?
}
