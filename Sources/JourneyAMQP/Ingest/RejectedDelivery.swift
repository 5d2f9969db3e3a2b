import AMQPClient
import Journey

/// A message that could not be applied.
struct RejectedDelivery {
  var delivery: Delivery
  /// Empty where nothing speaks against the message, and only its time has not come.
  var reasons: [Rejection]
  /// Where it waits to be tried again; nil: it is a dead letter.
  var tier: String?

  var isPostponed: Bool { reasons.isEmpty }

  init(_ delivery: Delivery, _ reasons: [Rejection], tier: String?) {
    self.delivery = delivery
    self.reasons = reasons
    self.tier = tier
  }

  /// What is done with the message once its copy is published, or is not.
  enum Next: Equatable {
    case settle(Settlement)
    /// The copy becomes a dead letter at once: a retry that cannot wait shall not hold the stream up.
    case deadLetter
    /// The same copy is published again after a while.
    case again
  }

  /// - Parameter isCrowded: whether many messages wait like this. The reasons are worth some waiting, but what waits
  ///   takes the place of what could be worked on: then the broker keeps the messages.
  func next(after outcome: PublishOutcome, isCrowded: Bool) -> Next {
    switch outcome {
    case .confirmed:
      .settle(.ack(delivery.tag))
    case _ where isPostponed:
      // Nothing speaks against the message. It is kept, however many are: handed back, it would come again at once, and
      // a good event would have used up its deliveries within seconds.
      .again
    case .failed(let error) where error.code == .tooLarge:
      // Its own headers leave no room for the reason: the broker moves it as it is.
      .settle(.reject(delivery.tag, requeue: false))
    case .failed(let error) where error.isRefusal && tier == nil:
      // The broker moves it to the dead letters itself, for which it needs no permission of ours. Only the reason is
      // lost.
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
