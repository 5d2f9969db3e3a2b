import AMQPClient
import Journey

/// Which rejected messages are tried again, when, and how often.
///
/// A copy waits in a queue whose messages expire back into the ingest queue; the broker's own dead-lettering of the
/// ingest queue takes no part in it, since a message that went round through it twice would be dropped as a cycle.
public struct RetryPolicy: Hashable, Sendable {
  /// What may heal by itself, by `Rejection.Code`: another event may still bring the client.
  public var codes: Set<String>
  /// Names of `MessagingNames.retryTiers`, in the order in which they are gone through. Empty: nothing is tried again.
  public var tiers: [String]
  /// How often each tier is gone through before the next. From 1.
  public var attemptsPerTier: Int

  public init(
    codes: Set<String> = ["unknown_client"], tiers: [String] = ["10s", "1m", "10m", "1h"], attemptsPerTier: Int = 1
  ) {
    self.codes = codes
    self.tiers = tiers
    self.attemptsPerTier = max(1, attemptsPerTier)
  }

  /// Nothing is tried again.
  public static let never = RetryPolicy(codes: [], tiers: [])

  /// The tier that a message goes to that has failed for these reasons; nil: to the dead letters.
  ///
  /// A message with several events is tried again where any of them may heal: those that were applied count once.
  /// - Parameter attempts: how often it was tried before this failure.
  func tier(for reasons: [Rejection], attempts: Int) -> String? {
    guard reasons.contains(where: mayHeal) else { return nil }
    let index = attempts / attemptsPerTier
    return tiers.indices.contains(index) ? tiers[index] : nil
  }

  /// The copy that waits in the first tier for what is in the way to pass. It does not count as an attempt.
  func message(postponing delivery: Delivery, names: MessagingNames) -> OutboundMessage {
    message(MessageCopy.properties(of: delivery), delivery.body, tier: MessagingNames.retryTiers[0].name, names)
  }

  private func mayHeal(_ reason: Rejection) -> Bool { reason.isRetried ?? codes.contains(reason.code.rawValue) }

  /// The copy that waits in a tier.
  func message(for delivery: Delivery, reasons: [Rejection], tier: String, names: MessagingNames, at now: Timestamp)
    -> OutboundMessage
  {
    var properties = MessageCopy.properties(of: delivery)
    var record = AttemptRecord(properties.headers)
    record.record(reasons.first(where: mayHeal)?.code, at: now, in: &properties.headers)
    return message(properties, delivery.body, tier: tier, names)
  }

  private func message(_ properties: MessageProperties, _ body: [UInt8], tier: String, _ names: MessagingNames)
    -> OutboundMessage
  {
    OutboundMessage(exchange: names.retry, routingKey: tier, properties: properties, body: body)
  }
}
