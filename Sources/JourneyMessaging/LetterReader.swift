import AMQPClient
import FoundationEssentials
import Journey
import JourneyPipeline

/// From a message in the dead letters' queue to a letter: the original message, and why it is there.
struct LetterReader: Sendable {
  let decoder: InboundDecoder
  /// Names and types longer than this are cut: they are for filters, the message itself keeps them.
  private static let longestName = 200

  func letter(_ delivery: Delivery, at now: Timestamp) -> Letter {
    let account = Account(delivery, now: now)
    let origin = Origin(delivery.properties)
    let headers = delivery.properties.headers
    var properties = origin?.properties ?? delivery.properties
    // A table has no order of its own, and the broker sorts it when it hands a message out again: sorted here, the same message has the same form.
    properties.headers = FieldTable(
      properties.headers.fields.enumerated()
        .filter { !JourneyHeader.isAdaptersOwn($0.element.name) && !JourneyHeader.isBrokersOwn($0.element.name) }
        .sorted { ($0.element.name, $0.offset) < ($1.element.name, $1.offset) }.map(\.element))
    // The broker takes the time to live away when it moves a message, and notes it.
    if properties.expiration == nil { properties.expiration = account.death?.expiration }
    let exchange = origin?.exchange ?? account.death?.exchange ?? delivery.exchange
    let routingKey = origin?.routingKey ?? account.death?.routingKey ?? delivery.routingKey
    let sender = decoder.sender(properties, body: delivery.body, routingKey: routingKey)
    return Letter(
      message: OriginalMessage(
        exchange: exchange, routingKey: routingKey, messageID: properties.messageID?.storable,
        contentType: properties.contentType?.storable,
        properties: MessageEncoding.json(properties), headers: MessageEncoding.json(properties.headers), body: delivery.body,
        bodySize: delivery.bodySize),
      orgID: sender.orgID, source: sender.source?.storable.cut(toBytes: Self.longestName),
      type: sender.type?.storable.cut(toBytes: Self.longestName), code: account.code.storable, reason: account.reason.storable,
      field: account.death == nil ? headers[JourneyHeader.field]?.stringValue?.storable : nil,
      value: account.death == nil ? headers[JourneyHeader.value]?.stringValue?.storable : nil,
      attempts: account.attempts, firstFailedAt: account.firstFailedAt, failedAt: account.failedAt,
      replayCount: headers[JourneyHeader.replay]?.intValue.map { Int(max(0, min($0, 1_000_000))) } ?? 0,
      causedBy: headers[JourneyHeader.causedBy]?.stringValue.flatMap { UUID(uuidString: $0) })
  }
}

/// Why a message is a dead letter, by the broker's header or else by the adapter's.
///
/// The broker's comes first: a copy that the adapter has buried bears none, and in a message that the broker has moved the adapter's headers are whatever its
/// sender wrote.
private struct Account {
  var code: String
  var reason: String
  var attempts: Int
  var firstFailedAt: Timestamp
  var failedAt: Timestamp
  var death: Death?

  init(_ delivery: Delivery, now: Timestamp) {
    let headers = delivery.properties.headers
    death = headers["x-death"]?.arrayValue?.first?.tableValue.map(Death.init)
    let record = AttemptRecord(headers)
    if let death {
      code = death.reason ?? "unknown"
      reason = death.explanation
      failedAt = death.time ?? now
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

/// The latest entry of the header `x-death`. Source: https://www.rabbitmq.com/docs/dlx#effects
private struct Death {
  var queue: String
  var reason: String?
  var time: Timestamp?
  var exchange: String?
  var routingKey: String?
  var expiration: String?

  init(_ table: FieldTable) {
    queue = table["queue"]?.stringValue ?? "a queue"
    reason = table["reason"]?.stringValue
    if case .timestamp(let seconds)? = table["time"], (-62_135_596_800...253_402_300_799).contains(seconds) {
      time = Timestamp(seconds: seconds)
    }
    exchange = table["exchange"]?.stringValue
    routingKey = table["routing-keys"]?.arrayValue?.first?.stringValue
    expiration = table["original-expiration"]?.stringValue
  }

  var explanation: String {
    switch reason {
    case "delivery_limit":
      "the broker gave it up in \(queue): handed out too often without an answer; it may have brought the adapter down"
    case "expired": "its time to live ran out in \(queue) before anybody took it"
    case "rejected":
      "it was rejected in \(queue): too large to be read, its headers leave no room for a reason, or the adapter could not publish it to the dead letters; the log says which"
    case "maxlen": "\(queue) was full"
    default: "the broker moved it here from \(queue)"
    }
  }
}

extension String {
  /// Without U+0000, which no text column holds.
  fileprivate var storable: String {
    utf8.contains(0) ? String(String.UnicodeScalarView(unicodeScalars.map { $0.value == 0 ? "\u{FFFD}" : $0 })) : self
  }
}
