import JourneyAMQP
import AMQPClient
import FoundationEssentials
import Journey

/// Reads a message of the dead letters' queue: the original message, and why it failed.
struct DeadLetterReader: Sendable {
  let decoder: InboundDecoder
  let own: OwnMessages
  var redaction = HeaderRedaction([])
  /// Longer codes, names and types are cut: they are for filters and indexes, and the message keeps them.
  private static let maxNameLength = 200

  func deadLetter(_ delivery: Delivery, at now: Timestamp) -> DeadLetter {
    let isOwn = own.isDeadLettered(delivery)
    let account = FailureInfo(delivery, isOwn: isOwn, now: now)
    let origin = isOwn ? MessageOrigin(delivery.properties) : nil
    let headers = delivery.properties.headers
    var properties = origin?.properties ?? delivery.properties
    // The order of headers has no meaning, and the broker sorts them at redelivery: sorted, equal messages are equal.
    properties.headers = FieldTable(
      properties.headers.sendersOnly.fields.enumerated()
        .sorted { ($0.element.name, $0.offset) < ($1.element.name, $1.offset) }.map(\.element))
    let (rest, redacted) = redaction.apply(to: properties.headers)
    properties.headers = rest
    // The broker removes the time to live when it dead-letters a message, and records it.
    if properties.expiration == nil { properties.expiration = account.death?.expiration }
    let exchange = origin?.exchange ?? account.death.map(exchange) ?? delivery.exchange
    let routingKey = origin?.routingKey ?? delivery.routingKey
    let guessOrigin = decoder.guessOrigin(properties, body: delivery.body, routingKey: routingKey)
    return DeadLetter(
      message: OriginalMessage(
        exchange: exchange, routingKey: routingKey, messageID: properties.messageID?.storable,
        contentType: properties.contentType?.storable,
        properties: MessageEncoding.json(properties), headers: MessageEncoding.json(properties.headers),
        redactedHeaders: redacted.map(\.storable), body: delivery.body, bodySize: delivery.bodySize,
        bodyDigest: delivery.bodyDigest),
      orgID: guessOrigin.orgID, source: guessOrigin.source?.storable.cut(toBytes: Self.maxNameLength),
      type: guessOrigin.type?.storable.cut(toBytes: Self.maxNameLength),
      code: account.code.storable.cut(toBytes: Self.maxNameLength),
      reason: account.reason.storable.cut(toBytes: DeadLetterMessage.maxReasonLength),
      field: account.death == nil ? reason(JourneyHeader.field, headers) : nil,
      value: account.death == nil ? reason(JourneyHeader.value, headers) : nil,
      attempts: account.attempts, firstFailedAt: account.firstFailedAt, failedAt: account.failedAt,
      replayCount: isOwn ? headers[JourneyHeader.replay]?.intValue.map { Int(max(0, min($0, 1_000_000))) } ?? 0 : 0,
      causedBy: isOwn ? headers[JourneyHeader.causedBy]?.stringValue.flatMap { UUID(uuidString: $0) } : nil,
      replayOf: isOwn ? headers[JourneyHeader.deadLetter]?.stringValue.flatMap { UUID(uuidString: $0) } : nil)
  }

  private func reason(_ header: String, _ headers: FieldTable) -> String? {
    headers[header]?.stringValue?.storable.cut(toBytes: DeadLetterMessage.maxReasonLength)
  }

  /// Where a message that the broker has dead-lettered was published. Only the events exchange leads to the ingest queue;
  /// other queues with the same dead-letter exchange are not the adapter's.
  private func exchange(_ death: XDeath) -> String {
    death.queue == own.names.ingest ? own.names.events : death.exchange ?? own.names.dead
  }
}

/// Why a message is a dead letter, by the broker's header or else by the adapter's.
///
/// The broker's comes first: a copy that the adapter has dead-lettered has none.
private struct FailureInfo {
  var code: String
  var reason: String
  var attempts: Int
  var firstFailedAt: Timestamp
  var failedAt: Timestamp
  var death: XDeath?

  /// - Parameter isOwn: whether the adapter itself has published the message.
  init(_ delivery: Delivery, isOwn: Bool, now: Timestamp) {
    let headers = delivery.properties.headers
    death = headers["x-death"].map { XDeath($0.arrayValue?.first?.tableValue ?? [:]) }
    let record = AttemptRecord(isOwn ? headers : [:])
    if let death {
      code = death.reason ?? "unknown"
      reason = death.explanation
      // In a message of another publisher the time is whatever its sender wrote.
      failedAt = (isOwn ? death.time : nil) ?? now
      attempts = record.attempts + 1
    } else if let code = headers[JourneyHeader.code]?.stringValue {
      self.code = code
      reason = headers[JourneyHeader.reason]?.stringValue ?? code
      failedAt = headers[JourneyHeader.failedAt]?.stringValue.flatMap { Timestamp(iso8601: $0) } ?? now
      attempts = max(1, record.attempts)
    } else {
      code = "unknown"
      reason = "it was published to the dead letters directly, without a reason"
      failedAt = now
      attempts = 1
    }
    let first = record.firstFailure?.split(separator: " ").first.flatMap { Timestamp(iso8601: $0) }
    firstFailedAt = min(first ?? failedAt, failedAt)
  }
}

/// The latest entry of the header `x-death`. Queue and reason are the broker's; of a message that is not the adapter's
/// the rest may be its sender's. Source: https://www.rabbitmq.com/docs/dlx#effects
private struct XDeath {
  var queue: String
  var reason: String?
  var time: Timestamp?
  var exchange: String?
  var expiration: String?

  init(_ table: FieldTable) {
    queue = table["queue"]?.stringValue ?? "a queue"
    reason = table["reason"]?.stringValue
    if case .timestamp(let seconds)? = table["time"], (-62_135_596_800...253_402_300_799).contains(seconds) {
      time = Timestamp(seconds: seconds)
    }
    exchange = table["exchange"]?.stringValue
    expiration = table["original-expiration"]?.stringValue
  }

  var explanation: String {
    switch reason {
    case "delivery_limit":
      "the broker gave it up in \(queue): delivered too often without an answer; it may have brought the adapter down"
    case "expired": "its time to live ran out in \(queue) before anybody took it"
    case "rejected":
      "it was rejected in \(queue): too large to be read, its headers are too long to add a reason, or the adapter could not publish it to the dead letters; the log says which"
    case "maxlen": "\(queue) was full"
    default: "the broker moved it here from \(queue)"
    }
  }
}

extension String {
  /// Without U+0000, which a text column cannot hold.
  fileprivate var storable: String {
    utf8.contains(0) ? String(String.UnicodeScalarView(unicodeScalars.map { $0.value == 0 ? "\u{FFFD}" : $0 })) : self
  }
}
