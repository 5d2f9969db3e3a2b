package import AMQPClient
import FoundationEssentials
package import Journey

/// What becomes of a message in the queue of outcomes: reports go on to the ingest queue, and so share its promises. An
/// action that the broker has dead-lettered there is a report too.
package struct OutcomeForwarding: Sendable {
  private let own: OwnMessages
  private let names: MessagingNames
  private let clock: any WallClock

  package init(names: MessagingNames, own: OwnMessages, clock: any WallClock) {
    self.names = names
    self.own = own
    self.clock = clock
  }

  /// - Returns: nil for what reports nothing: the revocation of an action that nobody took.
  package func message(for delivery: Delivery) -> OutboundMessage? {
    if delivery.properties.type == RevocationEvent.type { return nil }
    if delivery.properties.type == ActionEvent.type, let report = report(of: delivery) {
      var message = report
      (message.exchange, message.routingKey) = (names.retry, names.ingest)
      // What expired in its queue is what the adapter's own timer says.
      return delivery.properties.headers.firstDeath.reason == "expired" ? nil : own.signed(message)
    }
    return own.signed(
      OutboundMessage(
        exchange: names.retry, routingKey: names.ingest, properties: MessageCopy.properties(of: delivery),
        body: delivery.body))
  }

  /// The report that the broker's dead-lettering of an action is.
  private func report(of delivery: Delivery) -> OutboundMessage? {
    guard let root = try? JSONDocument(parsing: delivery.body).root,
      let id = root["id"]?.string.flatMap(UUID.init(uuidString:))
    else { return nil }
    let death = delivery.properties.headers.firstDeath
    return OutcomeEvent.message(
      exchange: names.outcomes, action: id, orgID: root["orgid"]?.string,
      channel: root["data"]?["channel"]?.string ?? "", outcome: ActionOutcome.failed.rawValue, at: clock.now(),
      userID: nil, detail: "dead-lettered by \(death.queue ?? "its queue"): \(death.reason ?? "unknown")")
  }
}

extension FieldTable {
  /// The newest entry of the broker's `x-death`.
  fileprivate var firstDeath: (queue: String?, reason: String?) {
    guard case .array(let entries)? = self["x-death"], case .table(let entry)? = entries.first else {
      return (nil, nil)
    }
    return (entry["queue"]?.stringValue, entry["reason"]?.stringValue)
  }
}
