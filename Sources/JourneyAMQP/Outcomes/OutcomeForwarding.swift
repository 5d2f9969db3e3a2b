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
    var properties = MessageCopy.properties(of: delivery)
    var body = delivery.body
    if delivery.properties.type == RevocationEvent.type { return nil }
    if delivery.properties.type == ActionEvent.type {
      // What expired in its queue is what the adapter's own timer says.
      let death = delivery.properties.headers.firstDeath
      guard death.reason != "expired", let report = report(of: delivery, death) else { return nil }
      body = report
      properties = MessageProperties(
        contentType: "application/cloudevents+json", messageID: delivery.properties.messageID.map { $0 + "/dead" },
        type: OutcomeEvent.type, appID: "client-journey-adapter")
    }
    return own.signed(
      OutboundMessage(exchange: names.retry, routingKey: names.ingest, properties: properties, body: body))
  }

  /// The report that the broker's dead-lettering of an action is.
  private func report(of delivery: Delivery, _ death: (queue: String?, reason: String?)) -> [UInt8]? {
    guard let root = try? JSONDocument(parsing: delivery.body).root, let id = root["id"]?.string else { return nil }
    var json = JSONWriter(reservingCapacity: 512)
    json.beginObject()
    json.member("specversion", unescaped: "1.0")
    json.member("id", id + "/dead")
    json.member("source", unescaped: "/journey")
    json.member("type", unescaped: OutcomeEvent.type)
    json.member("orgid", root["orgid"]?.string)
    json.member("datacontenttype", unescaped: "application/json")
    json.key("data")
    json.beginObject()
    json.member("actionId", id)
    json.member("outcome", unescaped: ActionOutcome.failed.rawValue)
    json.member("occurredAt", clock.now())
    json.member("detail", "dead-lettered by \(death.queue ?? "its queue"): \(death.reason ?? "unknown")")
    json.endObject()
    json.endObject()
    return json.bytes
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
