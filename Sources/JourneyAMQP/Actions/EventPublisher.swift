public import AMQPClient
import FoundationEssentials
public import Journey

/// Publishes reported events to the exchange of events, with publisher confirms.
///
/// An event that the mapping would reject is rejected here, so that its author gets the reason.
public struct EventPublisher: EventIntake {
  private static let timeout = Duration.seconds(5)
  private let publisher: AMQPPublisher
  private let exchange: String
  private let decoder: InboundDecoder

  /// - Parameter publisher: the caller starts and closes it.
  public init(publisher: AMQPPublisher, exchange: String, decoder: InboundDecoder) {
    self.publisher = publisher
    self.exchange = exchange
    self.decoder = decoder
  }

  public func check(_ event: ReportedEvent) throws(Rejection) {
    var random = IDRandom()
    if let rejection = decoder.decode(delivery(of: event), random: &random).rejections.first { throw rejection }
  }

  private func delivery(of event: ReportedEvent) -> Delivery {
    let properties = MessageProperties(
      contentType: "application/json",
      headers: ["x-source": .string(InboundDecoder.ownBody), "x-org-id": .string(event.orgID.text)],
      messageID: event.id.text, userID: decoder.publishers.ownUser, appID: InboundDecoder.apiAppID)
    return Delivery(
      tag: DeliveryTag(generation: 0, value: 0), exchange: exchange, routingKey: "api.\(event.type)",
      isRedelivered: false,
      properties: properties, body: event.body, bodySize: event.body.count, problem: nil)
  }

  public func publish(_ event: ReportedEvent) async throws(IntakeError) {
    // Messages that wait for the end of a memory or disk alarm would grow without bounds, and no caller would learn
    // their outcome.
    if publisher.isBlocked { throw .unavailable("the broker takes no messages for now; it is short of memory or disk") }
    do throws(Rejection) { try check(event) } catch { throw .refused(error) }
    let delivery = delivery(of: event)
    let message = OutboundMessage(
      exchange: exchange, routingKey: delivery.routingKey, properties: delivery.properties, body: event.body)
    let outcome = await withTaskGroup(of: PublishOutcome?.self) { group in
      // A message that is written cannot be withdrawn: the publisher finishes it even after the timeout.
      group.addTask { [publisher] in await publisher.outcome(of: message) }
      group.addTask {
        try? await Task.sleep(for: Self.timeout)
        return nil
      }
      defer { group.cancelAll() }
      return await group.next() ?? nil
    }
    switch outcome {
    case .confirmed: return
    case .returned: throw .unavailable("no queue is bound to \(exchange); run: journey topology apply")
    case .nacked: throw .unavailable("the broker refused it; a queue may be full")
    case .failed(let error), .unknown(let error): throw .unavailable("\(error)")
    case .held, nil: throw .unavailable("no confirm within \(Self.timeout)")
    }
  }
}

extension AMQPPublisher {
  /// Like `publish`, but returns early if the task is cancelled.
  fileprivate func outcome(of message: OutboundMessage) async -> PublishOutcome? {
    let (stream, continuation) = AsyncStream.makeStream(of: PublishOutcome.self)
    publish([message]) { outcomes in
      if let first = outcomes.first { continuation.yield(first) }
      continuation.finish()
    }
    for await outcome in stream { return outcome }
    return nil
  }
}
