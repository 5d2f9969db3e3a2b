package import AMQPClient
package import Journey

/// Makes copies of a message with other headers and properties, and restores the original.
package enum MessageCopy {
  /// The properties of a copy. Those of the original that would affect the copy move to headers.
  ///
  /// - Parameter delivery: the original message, or the result of `restored`.
  package static func properties(of delivery: Delivery) -> MessageProperties {
    properties(delivery.properties, exchange: delivery.exchange, routingKey: delivery.routingKey)
  }

  /// - Parameters:
  ///   - original: the properties of the original message.
  ///   - exchange: where the original was published.
  ///   - routingKey: the routing key of the original.
  package static func properties(_ original: MessageProperties, exchange: String, routingKey: String)
    -> MessageProperties
  {
    var properties = original
    // CC would also route copies to other queues.
    let cc = properties.headers["CC"]
    properties.headers = FieldTable(
      properties.headers.fields.filter { !JourneyHeader.isBrokersOwn($0.name) && $0.name != "CC" && $0.name != "BCC" })
    properties.headers[JourneyHeader.cc] = cc
    properties.headers[JourneyHeader.exchange] = .string(exchange)
    properties.headers[JourneyHeader.routingKey] = .string(routingKey)
    // A copy has its own time to live, the broker refuses a foreign user id, and only persistent messages are safe.
    properties.headers[JourneyHeader.expiration] = properties.expiration.map { .string($0) }
    properties.expiration = nil
    properties.headers[JourneyHeader.userID] = properties.userID.map { .string($0) }
    properties.userID = nil
    properties.headers[JourneyHeader.isTransient] = properties.isPersistent ? nil : .bool(true)
    properties.isPersistent = true
    return properties
  }

  /// The original message with its attempt headers, so that a retry looks like its first delivery.
  ///
  /// If the adapter did not publish the message, its `x-journey-` headers are dropped.
  package static func restored(_ delivery: Delivery, own: OwnMessages) -> Delivery {
    guard
      delivery.properties.headers.contains(where: {
        JourneyHeader.isAdaptersOwn($0.name) || JourneyHeader.isBrokersOwn($0.name)
      })
    else {
      return delivery
    }
    let way = own.isReturned(delivery)
    if way != .no, let origin = MessageOrigin(delivery.properties) {
      var properties = origin.properties
      if way == .unsigned { properties.userID = delivery.properties.userID }
      return delivery.with(exchange: origin.exchange, routingKey: origin.routingKey, properties: properties)
    }
    var properties = delivery.properties
    properties.headers = properties.headers.sendersOnly
    return delivery.with(exchange: delivery.exchange, routingKey: delivery.routingKey, properties: properties)
  }
}

/// The original exchange, routing key and properties of a copied message.
package struct MessageOrigin {
  package var exchange: String
  package var routingKey: String
  /// The original properties; the headers still include attempts and replays.
  package var properties: MessageProperties

  /// - Returns: nil if the headers do not name the origin.
  package init?(_ copied: MessageProperties) {
    guard let exchange = copied.headers[JourneyHeader.exchange]?.stringValue,
      let routingKey = copied.headers[JourneyHeader.routingKey]?.stringValue, exchange.utf8.count <= 255,
      routingKey.utf8.count <= 255
    else { return nil }
    self.exchange = exchange
    self.routingKey = routingKey
    properties = copied
    properties.expiration = copied.headers[JourneyHeader.expiration]?.stringValue
    properties.userID = copied.headers[JourneyHeader.userID]?.stringValue
    properties.isPersistent = copied.headers[JourneyHeader.isTransient]?.boolValue != true
    let cc = copied.headers[JourneyHeader.cc]
    let setAside: Set<String> = [
      JourneyHeader.exchange, JourneyHeader.routingKey, JourneyHeader.expiration, JourneyHeader.userID,
      JourneyHeader.isTransient,
      JourneyHeader.cc,
    ]
    properties.headers = FieldTable(
      copied.headers.fields.filter { !setAside.contains($0.name) && !JourneyHeader.isBrokersOwn($0.name) })
    if let cc { properties.headers["CC"] = cc }
  }
}

/// The number of attempts and the first failure of a message.
package struct AttemptRecord {
  /// 0 on the first delivery.
  package var attempts: Int
  package var firstFailure: String?

  package init(_ headers: FieldTable) {
    attempts = headers[JourneyHeader.attempt]?.intValue.map { Int(max(0, min($0, 1_000_000))) } ?? 0
    firstFailure = headers[JourneyHeader.firstFailure]?.stringValue
  }

  /// When the message first failed. A retry keeps this as the time it was received.
  var firstFailureTime: Timestamp? {
    firstFailure?.split(separator: " ").first.flatMap { Timestamp(iso8601: String($0)) }
  }

  /// Records another failure in the headers of a copy.
  package mutating func record(_ code: Rejection.Code?, at now: Timestamp, in headers: inout FieldTable) {
    let failure = "\(now.iso8601) \(code?.rawValue ?? "unknown")"
    attempts += 1
    firstFailure = firstFailure ?? failure
    headers[JourneyHeader.attempt] = .int(Int64(attempts))
    headers[JourneyHeader.firstFailure] = firstFailure.map { .string($0) }
    headers[JourneyHeader.lastFailure] = .string(failure)
  }
}

extension Delivery {
  package func with(exchange: String, routingKey: String, properties: MessageProperties) -> Delivery {
    Delivery(
      tag: tag, exchange: exchange, routingKey: routingKey, isRedelivered: isRedelivered, properties: properties,
      body: body,
      bodySize: bodySize, bodyDigest: bodyDigest, problem: problem)
  }
}

extension FieldTable {
  /// The headers of the sender only: without the adapter's and the broker's.
  package var sendersOnly: FieldTable {
    FieldTable(fields.filter { !JourneyHeader.isAdaptersOwn($0.name) && !JourneyHeader.isBrokersOwn($0.name) })
  }
}
