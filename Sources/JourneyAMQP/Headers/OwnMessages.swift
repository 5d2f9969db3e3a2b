package import AMQPClient

/// Tells what the adapter has published itself from everybody else's messages: only there do the adapter's own headers
/// count.
///
/// What the broker vouches for decides: the exchange that a message came through, of which a publisher of events may
/// write to one only, and the user id, which the broker compares with the login of whoever publishes. Headers are
/// whatever their sender wrote. That goes for `x-death` as well: where a sender has set it, RabbitMQ before 4.0 counts
/// up the sender's entry for the same queue and reason, and leaves the rest of it as it was.
package struct OwnMessages: Hashable, Sendable {
  package var names = MessagingNames()
  /// The broker's user as whom this instance publishes; nil where that is not known. Then copies that the broker itself
  /// moves are anybody's.
  package var user: String?
  /// Other users as whom instances publish, or did: what one of them has signed is the adapter's as well.
  package var others: Set<String> = []

  package init(names: MessagingNames = MessagingNames(), user: String? = nil, others: Set<String> = []) {
    self.names = names
    self.user = user
    self.others = others
  }

  package enum Return {
    /// A copy that was to be tried again, or a replay.
    case own
    /// It came through the default exchange, as from retry queues that earlier versions made, and is not signed, as
    /// their copies are not. Others may be allowed to publish there: its account of itself counts, but not whom it
    /// names as its publisher.
    case unsigned
    case no
  }

  /// Whether a message in the ingest queue comes back from a retry queue or out of the archive.
  package func isReturned(_ delivery: Delivery) -> Return {
    guard delivery.routingKey == names.ingest else { return .no }
    if delivery.exchange == names.retry { return .own }
    guard delivery.exchange.isEmpty else { return .no }
    if isSigned(delivery.properties) { return .own }
    return delivery.properties.userID == nil ? .unsigned : .no
  }

  /// Whether a message among the dead letters is a copy of the adapter's making.
  ///
  /// The adapter's own dead letters come without `x-death`, and nobody else may write to their exchange. What the
  /// broker has moved bears one: there a copy on its way through the retries is known by its user.
  package func isDeadLettered(_ delivery: Delivery) -> Bool {
    !delivery.properties.headers.contains { $0.name == "x-death" } || isSigned(delivery.properties)
  }

  private func isSigned(_ properties: MessageProperties) -> Bool {
    guard let signer = properties.userID else { return false }
    return signer == user || others.contains(signer)
  }

  /// The message with the mark by which it is known again.
  package func signed(_ message: OutboundMessage) -> OutboundMessage {
    var message = message
    message.properties.userID = user
    return message
  }
}
