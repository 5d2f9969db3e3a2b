public import FoundationEssentials

/// An action to publish. Its id and body are the same in every attempt.
public struct ActionMessage: Sendable {
  public enum Kind: CaseIterable, Sendable {
    case recommendation
    /// Takes back the action of the same id.
    case revocation
    /// Tells what has changed of a client; lost where nobody listens.
    case clientChange
  }

  public var id: UUID
  public var orgID: UUID
  public var kind = Kind.recommendation
  public var routingKey: String
  public var priority: Priority
  /// How long the message may wait for a worker; nil: forever.
  public var timeToLive: TimeSpan?
  public var decidedAt: Timestamp
  /// The source's id of the causing event.
  public var causeID: String
  public var traceparent: String?
  /// The message body for the worker.
  public var body: [UInt8]

  public init(
    id: UUID, orgID: UUID, routingKey: String, priority: Priority, timeToLive: TimeSpan?, decidedAt: Timestamp,
    causeID: String,
    traceparent: String?,
    body: [UInt8]
  ) {
    self.id = id
    self.orgID = orgID
    self.routingKey = routingKey
    self.priority = priority
    self.timeToLive = timeToLive
    self.decidedAt = decidedAt
    self.causeID = causeID
    self.traceparent = traceparent
    self.body = body
  }
}

/// Publishes actions; implemented by an adapter over an exchange.
public protocol ActionPublisher: Sendable {
  /// Publishes in order. `completion` is called once, when the outcome of every action is known. It gets one result per
  /// action: nil if the broker has confirmed it, otherwise the failure.
  func publish(_ actions: [ActionMessage], completion: @escaping @Sendable ([PublishFailure?]) -> Void)
}

/// Why an action counts as not published.
public struct PublishFailure: Error, Sendable, CustomStringConvertible {
  public enum Cause: String, CaseIterable, Sendable {
    /// No queue took it.
    case returned
    /// The broker did not take it, for example because a queue is full.
    case refused
    /// It was not sent.
    case failed
    /// It was sent, and the connection ended before the broker answered.
    case unknown
    /// A hold forbids it.
    case held
  }

  public var cause: Cause
  public var description: String
  /// A short form without host or user names, for readers who may not see them.
  public var reason: String
  /// Whether it certainly reached no queue.
  public var isCertain: Bool
  /// The hold because of which the action was never sent; nil: the attempt failed.
  public var hold: Int64?

  public init(
    _ description: String, reason: String? = nil, isCertain: Bool = false, hold: Int64? = nil, cause: Cause? = nil
  ) {
    self.cause = cause ?? (hold == nil ? .failed : .held)
    self.description = description
    self.reason = reason ?? description
    self.isCertain = isCertain
    self.hold = hold
  }
}
