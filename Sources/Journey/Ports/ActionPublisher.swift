public import FoundationEssentials

/// An action on its way to a worker. The same id and body however often it is published.
public struct ActionMessage: Sendable {
  public var id: UUID
  public var routingKey: String
  public var priority: Priority
  /// How long the message may wait for a worker; nil: for ever.
  public var timeToLive: TimeSpan?
  public var decidedAt: Timestamp
  /// The id of the event that caused it, as its source names it.
  public var causeID: String
  public var traceparent: String?
  /// The message as the worker gets it.
  public var body: [UInt8]

  public init(
    id: UUID, routingKey: String, priority: Priority, timeToLive: TimeSpan?, decidedAt: Timestamp, causeID: String,
    traceparent: String?,
    body: [UInt8]
  ) {
    self.id = id
    self.routingKey = routingKey
    self.priority = priority
    self.timeToLive = timeToLive
    self.decidedAt = decidedAt
    self.causeID = causeID
    self.traceparent = traceparent
    self.body = body
  }
}

/// Where actions go: an adapter over an exchange.
public protocol ActionPublisher: Sendable {
  /// Publishes in order. `completion` is called once, when every action is confirmed or known not to be, with one
  /// result an action: nil means that the broker has confirmed it, anything else says why it counts as not published.
  func publish(_ actions: [ActionMessage], completion: @escaping @Sendable ([PublishFailure?]) -> Void)
}

/// Why an action counts as not published.
public struct PublishFailure: Error, Sendable, CustomStringConvertible {
  public var description: String
  /// The same in a few words that name no host and no user, for whoever may not see the whole.
  public var reason: String

  public init(_ description: String, reason: String? = nil) {
    self.description = description
    self.reason = reason ?? description
  }
}
