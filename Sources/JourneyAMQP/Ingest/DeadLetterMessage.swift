package import AMQPClient
package import Journey

/// The form of a dead letter: the message as it came, with headers that say why it is here and where it came from.
package enum DeadLetterMessage {
  /// Bytes. Together with the message's own headers the reasons have to fit one frame.
  package static let maxReasonLength = 4000

  /// - Parameter delivery: the message as it first came, or as `MessageCopy.restored` gives it back.
  package static func message(for delivery: Delivery, reasons: [Rejection], exchange: String, at now: Timestamp)
    -> OutboundMessage
  {
    var properties = MessageCopy.properties(of: delivery)
    let first = reasons.first
    var record = AttemptRecord(properties.headers)
    record.record(first?.code, at: now, in: &properties.headers)
    let reason = reasons.map(\.description).joined(separator: "\n")
    properties.headers[JourneyHeader.reason] = .string(reason.cut(toBytes: maxReasonLength))
    properties.headers[JourneyHeader.code] = .string(first?.code.rawValue ?? "unknown")
    properties.headers[JourneyHeader.field] = first?.field.map { .string($0.cut(toBytes: maxReasonLength)) }
    properties.headers[JourneyHeader.value] = first?.value.map { .string($0) }
    properties.headers[JourneyHeader.failedAt] = .string(now.iso8601)
    return OutboundMessage(
      exchange: exchange, routingKey: delivery.routingKey, properties: properties, body: delivery.body)
  }
}
