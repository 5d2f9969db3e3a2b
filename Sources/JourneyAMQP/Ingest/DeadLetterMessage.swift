package import AMQPClient
package import Journey

/// Builds dead letters: the original message with headers for its origin and the reasons.
package enum DeadLetterMessage {
  /// In bytes. The reasons and the message's own headers must fit into one frame.
  package static let maxReasonLength = 4000

  /// - Parameter delivery: the original message, or the result of `MessageCopy.restored`.
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
