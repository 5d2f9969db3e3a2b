import AMQPClient
import Journey

/// A message that could not be applied.
struct RejectedDelivery {
  var delivery: Delivery
  /// Empty if the message is only postponed.
  var reasons: [Rejection]
  /// The retry tier; nil for a dead letter.
  var tier: String?

  var isPostponed: Bool { reasons.isEmpty }

  /// What to do once the copy is confirmed or has failed.
  enum Next: Equatable {
    case settle(Settlement)
    /// The copy becomes a dead letter at once, so that a retry that cannot be published does not hold up the queue.
    case deadLetter
    /// Publish the same copy again after a pause.
    case again
  }

  /// - Parameter isCrowded: whether many messages wait like this. If so, the broker dead-letters the message
  ///   without its reasons, because waiting messages use up the prefetch.
  func next(after outcome: PublishOutcome, isCrowded: Bool) -> Next {
    switch outcome {
    case .confirmed:
      .settle(.ack(delivery.tag))
    case _ where isPostponed:
      // The message is not at fault, so it always waits: requeued, it would be redelivered at once and reach its
      // delivery limit within seconds.
      .again
    case .failed(let error) where error.code == .tooLarge:
      // The message's own headers leave no space for the reason: the broker dead-letters it unchanged.
      .settle(.reject(delivery.tag, requeue: false))
    case .failed(let error) where error.isRefusal && tier == nil:
      // The broker dead-letters the message itself, which needs no publish permission. Only the reason is lost.
      .settle(.reject(delivery.tag, requeue: false))
    case .failed(let error) where error.isRefusal:
      .deadLetter
    case .returned where tier != nil, .nacked where tier != nil && isCrowded:
      .deadLetter
    case .returned where isCrowded, .nacked where isCrowded:
      .settle(.reject(delivery.tag, requeue: false))
    default:
      .again
    }
  }

  /// What is recorded of the message before its copy is published; nothing of a dead letter.
  func records(of message: InboundMessage, _ retry: RetryPolicy, at now: Timestamp) -> [ParkedMessage] {
    guard let tier else { return [] }
    let code = isPostponed ? nil : retry.cause(of: reasons)?.code.rawValue
    return ParkedMessage.records(of: message, delivery, code: code, tier: tier, at: now)
  }

  func message(_ settings: IngestConsumer.Settings, _ own: OwnMessages, _ now: Timestamp) -> OutboundMessage {
    own.signed(message(settings, now))
  }

  private func message(_ settings: IngestConsumer.Settings, _ now: Timestamp) -> OutboundMessage {
    if isPostponed { return settings.retry.message(postponing: delivery, names: settings.names) }
    guard let tier else {
      return DeadLetterMessage.message(for: delivery, reasons: reasons, exchange: settings.names.dead, at: now)
    }
    return settings.retry.message(for: delivery, reasons: reasons, tier: tier, names: settings.names, at: now)
  }
}
