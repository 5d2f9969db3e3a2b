import AMQPClient
import Journey

/// Which rejected messages are retried, when, and how often.
///
/// A copy waits in a delay queue and expires back into the ingest queue. The ingest queue's own dead-lettering is not
/// involved, because the broker would drop a second round as a cycle.
public struct RetryPolicy: Hashable, Sendable {
  /// Values of `Rejection.Code` that are retried: a later event may still create the client.
  public var codes: Set<String>
  /// Names of `MessagingNames.retryTiers`, in order. Empty: no retries.
  public var tiers: [String]
  /// Attempts per tier before the next one. From 1.
  public var attemptsPerTier: Int

  public init(
    codes: Set<String> = ["unknown_client"], tiers: [String] = ["10s", "1m", "10m", "1h"], attemptsPerTier: Int = 1
  ) {
    self.codes = codes
    self.tiers = tiers
    self.attemptsPerTier = max(1, attemptsPerTier)
  }

  /// No retries.
  public static let never = RetryPolicy(codes: [], tiers: [])

  /// The tier of the next retry; nil: dead letter.
  ///
  /// A message with several events is retried if any of its reasons allows it. Events that were already stored end as
  /// duplicates.
  /// - Parameter attempts: the attempts before this failure.
  func tier(for reasons: [Rejection], attempts: Int) -> String? {
    guard reasons.contains(where: mayHeal) else { return nil }
    let index = attempts / attemptsPerTier
    return tiers.indices.contains(index) ? tiers[index] : nil
  }

  /// A copy that waits in the first tier and does not count as an attempt.
  func message(postponing delivery: Delivery, names: MessagingNames) -> OutboundMessage {
    message(MessageCopy.properties(of: delivery), delivery.body, tier: MessagingNames.retryTiers[0].name, names)
  }

  /// The reason for which a message is retried.
  func cause(of reasons: [Rejection]) -> Rejection? { reasons.first(where: mayHeal) }

  private func mayHeal(_ reason: Rejection) -> Bool { reason.isRetried ?? codes.contains(reason.code.rawValue) }

  /// A copy that waits in a retry tier.
  func message(for delivery: Delivery, reasons: [Rejection], tier: String, names: MessagingNames, at now: Timestamp)
    -> OutboundMessage
  {
    var properties = MessageCopy.properties(of: delivery)
    var record = AttemptRecord(properties.headers)
    record.record(cause(of: reasons)?.code, at: now, in: &properties.headers)
    return message(properties, delivery.body, tier: tier, names)
  }

  private func message(_ properties: MessageProperties, _ body: [UInt8], tier: String, _ names: MessagingNames)
    -> OutboundMessage
  {
    OutboundMessage(exchange: names.retry, routingKey: tier, properties: properties, body: body)
  }
}
