package import AMQPClient

/// Recognizes the adapter's own messages. Only on these do the `x-journey-` headers count.
///
/// It relies on what the broker guarantees: the exchange of the message, since publishers of events may write to only
/// one, and the user id, which must match the publisher's login. A sender can forge headers, including `x-death`:
/// RabbitMQ before 4.0 only increments a forged entry for the same queue and reason.
package struct OwnMessages: Hashable, Sendable {
  package var names = MessagingNames()
  /// The broker user of this instance. If nil, copies that the broker itself has moved are not recognized.
  package var user: String?
  /// Other broker users that instances publish as, or have published as. Their messages count as the adapter's own.
  package var others: Set<String> = []

  package init(names: MessagingNames = MessagingNames(), user: String? = nil, others: Set<String> = []) {
    self.names = names
    self.user = user
    self.others = others
  }

  package enum Return {
    /// A retry or a replay.
    case own
    /// It came through the default exchange without a user id, like copies from retry queues of earlier versions.
    /// Others may publish there too, so its headers count, except for the original user id.
    case unsigned
    case no
  }

  /// Whether a message in the ingest queue is a retry or a replay.
  package func isReturned(_ delivery: Delivery) -> Return {
    guard delivery.routingKey == names.ingest else { return .no }
    if delivery.exchange == names.retry { return .own }
    guard delivery.exchange.isEmpty else { return .no }
    if isSigned(delivery.properties) { return .own }
    return delivery.properties.userID == nil ? .unsigned : .no
  }

  /// Whether a message in the dead-letter queue is a copy made by the adapter.
  ///
  /// The adapter's own dead letters have no `x-death`, and no other user may write to their exchange. Messages moved by
  /// the broker have one: among these, the user id identifies the adapter's copies.
  package func isDeadLettered(_ delivery: Delivery) -> Bool {
    !delivery.properties.headers.contains { $0.name == "x-death" } || isSigned(delivery.properties)
  }

  /// Whether one of the adapter's users has published a message, which the broker checks.
  func isSigned(_ properties: MessageProperties) -> Bool {
    guard let signer = properties.userID else { return false }
    return signer == user || others.contains(signer)
  }

  /// Adds the adapter's user id to the message.
  package func signed(_ message: OutboundMessage) -> OutboundMessage {
    var message = message
    message.properties.userID = user
    return message
  }
}
