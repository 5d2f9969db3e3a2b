public import FoundationEssentials

/// Where an action is in its life. Source: Pega's standard outcomes, and what can happen before and instead of them.
public enum ActionState: String, CaseIterable, Hashable, Sendable {
  /// Decided, and not yet confirmed by the broker.
  case proposed
  /// Decided while a hold forbids to publish it.
  case held
  case published
  /// A worker has run it.
  case delivered
  /// The client has looked at it.
  case opened
  case accepted
  case rejected
  case failed
  /// Run, and not answered within the time of the rules. A late answer replaces it.
  case noResponse = "no_response"
  /// Not run in time.
  case expired
  /// Taken back, because its cause is gone or a person said so.
  case revoked
  /// Replaced by a newer action.
  case superseded

  /// Whether the world has seen it: a worker has run it, or the client has answered.
  public var isRun: Bool {
    switch self {
    case .delivered, .opened, .accepted, .rejected, .failed, .noResponse: true
    case .proposed, .held, .published, .expired, .revoked, .superseded: false
    }
  }

  /// Whether something may still happen that the adapter waits for.
  public var isOpen: Bool {
    switch self {
    case .proposed, .held, .published, .delivered, .opened: true
    case .accepted, .rejected, .failed, .noResponse, .expired, .revoked, .superseded: false
    }
  }
}

/// What workers and people report of an action.
public enum ActionOutcome: String, CaseIterable, Hashable, Sendable {
  case delivered, opened, replied, accepted, rejected, failed, bounced, unsubscribed
  /// A person does it later: it stays open until then.
  case snoozed

  /// The state that it leads to; nil: the state stays.
  public var state: ActionState? {
    switch self {
    case .delivered: .delivered
    case .opened: .opened
    case .replied, .accepted: .accepted
    case .rejected, .unsubscribed: .rejected
    case .failed, .bounced: .failed
    case .snoozed: nil
    }
  }

  /// Whether the client can no longer be reached on the action's channel, or does not want to be.
  public var blocksChannel: Bool { blockCause != nil }

  var blockCause: ActionHistory.Block.Cause? {
    switch self {
    case .bounced: .bounced
    case .unsubscribed: .unsubscribed
    default: nil
    }
  }

  /// The type of the event that it is for the client's engagement; nil: none.
  public func eventType(on channel: Channel) -> String? {
    switch self {
    case .opened: channel == .email ? "email_opened" : "action_opened"
    case .replied: channel == .email ? "email_replied" : "action_replied"
    default: nil
    }
  }
}

/// A report of an outcome. A class, because few events are reports.
public final class OutcomeReport: Sendable {
  public let actionID: UUID
  public let outcome: ActionOutcome
  public let occurredAt: Timestamp
  /// Whether the report says so itself; otherwise it is when it was read.
  public let isTimed: Bool
  /// For people; at most `maxDetail` characters.
  public let detail: String?
  /// Until when a `snoozed` action waits.
  public let until: Timestamp?
  /// Who reports: `worker:<broker user>`, `person:<name>`, or `journey`.
  public let reporter: String
  /// The organisation that the report names; nil: none.
  public let orgID: UUID?

  public static let maxDetail = 500
  /// The source of events that reports lead to. No publisher may report events of it.
  public static let source = "journey.outcomes"

  public init(
    actionID: UUID, outcome: ActionOutcome, occurredAt: Timestamp, detail: String? = nil, until: Timestamp? = nil,
    reporter: String, orgID: UUID?, isTimed: Bool = true
  ) {
    self.isTimed = isTimed
    self.actionID = actionID
    self.outcome = outcome
    self.occurredAt = occurredAt
    self.detail = detail
    self.until = until
    self.reporter = reporter
    self.orgID = orgID
  }
}
