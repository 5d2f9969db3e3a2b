import AMQPClient
import Crypto
package import FoundationEssentials
package import Journey

extension ParkedMessage {
  /// Event ids that are recorded of a message.
  private static let maxEvents = 1000

  /// What identifies a message wherever it waits.
  package static func id(routingKey: String, messageID: String?, body: [UInt8], orgID: UUID?, source: String?) -> UUID {
    var hash = SHA256()
    for part in [routingKey, messageID, orgID?.text, source] {
      // The lengths keep the parts apart.
      let bytes = Array((part ?? "").utf8)
      hash.update(data: withUnsafeBytes(of: Int64(part == nil ? -1 : bytes.count).littleEndian) { Array($0) })
      hash.update(data: bytes)
    }
    hash.update(data: body)
    return hash.finalize().withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
  }

  /// What is recorded of a message that is about to be parked: a record for each organisation and source of its events.
  static func records(
    of message: InboundMessage, _ delivery: Delivery, code: String?, tier: String, at now: Timestamp
  ) -> [ParkedMessage] {
    struct Owner: Hashable {
      var orgID: UUID?
      var source: String?
    }
    var events: [Owner: [String]] = [:]
    for event in message.events.lazy.map(\.event).prefix(maxEvents) {
      events[Owner(orgID: event.orgID, source: event.source), default: []].append(event.sourceEventID)
    }
    if events.isEmpty { events[Owner(orgID: message.origin?.orgID, source: message.origin?.source)] = [] }
    let properties = delivery.properties
    let attempts = AttemptRecord(properties.headers).attempts + (code == nil ? 0 : 1)
    let wait = MessagingNames.retryTiers.first { $0.name == tier }?.milliseconds ?? 0
    return events.map { owner, ids in
      ParkedMessage(
        id: id(
          routingKey: delivery.routingKey, messageID: properties.messageID, body: delivery.body, orgID: owner.orgID,
          source: owner.source),
        orgID: owner.orgID, source: owner.source,
        // The database holds no NUL.
        messageID: properties.messageID?.replacing("\0", with: "\u{fffd}"), eventIDs: ids, code: code, tier: tier,
        attempt: attempts, receivedAt: message.origin?.receivedAt, parkedAt: now,
        returnsAt: now + TimeSpan(microseconds: wait * 1000))
    }
  }
}
