import AMQPClient

extension Recorder<ConsumerEvent> {
  func started(after generation: UInt64 = 0, seconds: Double = 20) async throws -> UInt64 {
    try await wait("started after generation \(generation)", seconds: seconds) { events in
      events.lazy.compactMap { if case .started(let found) = $0, found > generation { found } else { nil } }.first
    }
  }

  func deliveries(_ count: Int, seconds: Double = 20) async throws -> [Delivery] {
    try await wait("\(count) deliveries", seconds: seconds) { events in
      let found = events.deliveries
      return found.count >= count ? found : nil
    }
  }

  func lost(seconds: Double = 20) async throws -> AMQPError {
    try await wait("lost", seconds: seconds) { events in
      events.lazy.compactMap { if case .lost(_, let error) = $0 { error } else { nil } }.first
    }
  }

  func cancelled() async throws {
    try await wait("cancelled") { events in
      events.contains { if case .cancelled = $0 { true } else { false } } ? () : nil
    }
  }
}

extension [ConsumerEvent] {
  var deliveries: [Delivery] {
    flatMap { event -> [Delivery] in if case .deliveries(let found) = event { found } else { [] } }
  }

  /// One word per event, with runs of deliveries as one.
  var summary: [String] {
    reduce(into: []) { names, event in
      let name =
        switch event {
        case .started: "started"
        case .deliveries: "deliveries"
        case .lost: "lost"
        case .blocked: "blocked"
        case .unblocked: "unblocked"
        case .cancelled: "cancelled"
        case .closed: "closed"
        }
      if name != "deliveries" || names.last != name { names.append(name) }
    }
  }
}

extension OutboundMessage {
  init(to exchange: String = "", _ routingKey: String, id: String? = nil, body: [UInt8] = [], headers: FieldTable = [:])
  {
    self.init(
      exchange: exchange, routingKey: routingKey, properties: MessageProperties(headers: headers, messageID: id),
      body: body)
  }
}

// Plain properties, since the expectation macro does not see that a rethrowing call with a key path cannot throw.
extension Collection<PublishOutcome> {
  var allConfirmed: Bool { allSatisfy(\.isConfirmed) }
}

extension Collection<Delivery> {
  var allRedelivered: Bool { allSatisfy(\.isRedelivered) }
}
