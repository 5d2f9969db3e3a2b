public import AMQPClient
import FoundationEssentials
public import Journey

/// Publishes what people report, events and outcomes of actions, with publisher confirms.
///
/// What would be rejected later is rejected here, so that its author gets the reason.
public struct EventPublisher: EventIntake, OutcomeIntake {
  private static let timeout = Duration.seconds(5)
  private let publisher: AMQPPublisher
  private let names: MessagingNames
  private let decoder: InboundDecoder

  /// - Parameter publisher: the caller starts and closes it.
  public init(publisher: AMQPPublisher, names: MessagingNames, decoder: InboundDecoder) {
    self.publisher = publisher
    self.names = names
    self.decoder = decoder
  }

  public func check(_ event: ReportedEvent) throws(Rejection) {
    try check(message(of: event))
  }

  private func check(_ message: OutboundMessage) throws(Rejection) {
    let delivery = Delivery(
      tag: DeliveryTag(generation: 0, value: 0), exchange: message.exchange, routingKey: message.routingKey,
      isRedelivered: false, properties: message.properties, body: message.body, bodySize: message.body.count,
      problem: nil)
    var random = IDRandom()
    if let rejection = decoder.decode(delivery, random: &random).rejections.first { throw rejection }
  }

  private func message(of event: ReportedEvent) -> OutboundMessage {
    let properties = MessageProperties(
      contentType: "application/json",
      headers: ["x-source": .string(InboundDecoder.ownBody), "x-org-id": .string(event.orgID.text)],
      messageID: event.id.text, userID: decoder.publishers.ownUser, appID: InboundDecoder.apiAppID)
    return OutboundMessage(
      exchange: names.events, routingKey: "api.\(event.type)", properties: properties, body: event.body)
  }

  public func publish(_ event: ReportedEvent) async throws(IntakeError) { try await publish(message(of: event)) }

  public func publish(_ report: OutcomeReport) async throws(IntakeError) {
    try await publish(OutcomeEvent.message(report, to: names.outcomes, userID: decoder.publishers.ownUser))
  }

  private func publish(_ message: OutboundMessage) async throws(IntakeError) {
    // Messages that wait for the end of a memory or disk alarm would grow without bounds, and no caller would learn
    // their outcome.
    if publisher.isBlocked { throw .unavailable("the broker takes no messages for now; it is short of memory or disk") }
    do throws(Rejection) { try check(message) } catch { throw .refused(error) }
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
    case .returned: throw .unavailable("no queue is bound to \(message.exchange); run: journey topology apply")
    case .nacked: throw .unavailable("the broker refused it; a queue may be full")
    case .failed(let error), .unknown(let error): throw .unavailable("\(error)")
    case nil: throw .unavailable("no confirm within \(Self.timeout)")
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
