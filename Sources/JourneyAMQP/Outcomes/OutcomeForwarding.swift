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
    let death = delivery.properties.headers.firstDeath
    // What expired in its queue is what the adapter's own timer says.
    if delivery.properties.type == ActionEvent.type, death.reason == "expired" { return nil }
    // Of others it is a claim about an action: a dead letter.
    guard delivery.properties.type == ActionEvent.type, isOwn(delivery) else { return copy(of: delivery) }
    let detail = "dead-lettered by \(death.queue ?? "its queue"): \(death.reason ?? "unknown")"
    return report(of: delivery, .failed, detail: detail) ?? copy(of: delivery)
  }

  /// What becomes of a message in the queue of actions for people: the page lists them from the database, so each is
  /// delivered. What is no action becomes a dead letter.
  ///
  /// - Returns: nil for a revocation, which the page shows without it.
  package func listed(_ delivery: Delivery) -> OutboundMessage? {
    switch delivery.properties.type {
    case RevocationEvent.type: nil
    // Nobody else may publish to the exchange. Versions before 0.8 did not sign.
    case ActionEvent.type where delivery.exchange == names.actions || isOwn(delivery):
      report(of: delivery, .delivered) ?? copy(of: delivery)
    default: copy(of: delivery)
    }
  }

  /// Without a broker user, as with a client's certificate, nothing is signed.
  private func isOwn(_ delivery: Delivery) -> Bool { own.user == nil || own.isSigned(delivery.properties) }

  private func copy(of delivery: Delivery) -> OutboundMessage {
    own.signed(
      OutboundMessage(
        exchange: names.retry, routingKey: names.ingest, properties: MessageCopy.properties(of: delivery),
        body: delivery.body))
  }

  /// A report of the adapter's own; nil if the message is no action.
  private func report(of delivery: Delivery, _ outcome: ActionOutcome, detail: String? = nil) -> OutboundMessage? {
    guard let root = try? JSONDocument(parsing: delivery.body).root,
      let action = root["id"]?.string.flatMap(UUID.init(uuidString:))
    else { return nil }
    let report = OutcomeReport(
      actionID: action, outcome: outcome, occurredAt: clock.now(), detail: detail, reporter: "journey",
      orgID: root["orgid"]?.string.flatMap(UUID.init(uuidString:)))
    var message = OutcomeEvent.message(report, to: names.retry, userID: own.user)
    message.routingKey = names.ingest
    return message
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
