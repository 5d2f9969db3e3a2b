package import AMQPClient
import Journey
package import Logging
import Synchronization

/// Takes messages from a queue and publishes a message for each; acks a message once the broker has confirmed its own.
/// After a crash a message may be published twice.
///
/// It has a connection of its own, so that a queue that is missing or forbidden stops nothing else.
package final class QueueForwarder: Sendable {
  private let name: String
  private let publisher: AMQPPublisher
  private let transform: @Sendable (Delivery) -> OutboundMessage?
  private let logger: Logger
  private let consumer = Mutex<AMQPConsumer?>(nil)
  private let isStopped = Atomic<Bool>(false)
  private let isLost = Atomic<Bool>(false)

  private static let prefetch: UInt16 = 200

  /// - Parameters:
  ///   - arguments: of `basic.consume`.
  ///   - transform: the message to publish; nil: the message is only acked.
  package init(
    connection: AMQPConnectionSettings, queue: String, publisher: AMQPPublisher, arguments: FieldTable = [:],
    logger: Logger,
    transform: @escaping @Sendable (Delivery) -> OutboundMessage?
  ) {
    name = queue
    self.publisher = publisher
    self.transform = transform
    self.logger = logger
    let consumer = AMQPConsumer(
      settings: connection, queue: queue, prefetch: Self.prefetch, maxBatch: 64, consumerTag: "journey-forward",
      arguments: arguments
    ) { [weak self] in self?.handle($0) }
    self.consumer.withLock { $0 = consumer }
  }

  /// Starts to consume.
  package func start() { consumer.withLock { $0 }?.start() }

  /// Stops consuming, and closes the connection: what is not confirmed by then comes again.
  package func close(within deadline: Duration) async {
    isStopped.store(true, ordering: .relaxed)
    let consumer = consumer.withLock { $0 }
    consumer?.cancel()
    await consumer?.close(deadline: deadline)
  }

  private func handle(_ event: ConsumerEvent) {
    switch event {
    case .deliveries(let deliveries):
      // What was not read as a whole cannot be passed on.
      for delivery in deliveries where delivery.problem != nil {
        reject(delivery.tag, delivery.properties, bytes: delivery.bodySize)
      }
      forward(deliveries.filter { $0.problem == nil }.map { ($0.tag, transform($0)) }, attempt: 0)
    case .started:
      if isLost.exchange(false, ordering: .relaxed) { logger.notice("the queue \(name) is consumed again") }
    case .lost(_, let error):
      if !isLost.exchange(true, ordering: .relaxed) {
        logger.warning("the queue \(name) is lost, trying again: \(error)")
      }
    case .blocked, .unblocked, .cancelled, .closed: break
    }
  }

  private func forward(_ messages: [(tag: DeliveryTag, message: OutboundMessage?)], attempt: Int) {
    let consumer = consumer.withLock { $0 }
    consumer?.settle(messages.filter { $0.message == nil }.map { .ack($0.tag) })
    let open = messages.compactMap { tag, message in message.map { (tag: tag, message: $0) } }
    guard !open.isEmpty else { return }
    publisher.publish(open.map(\.message)) { [self] outcomes in
      var settled: [Settlement] = []
      var again: [(tag: DeliveryTag, message: OutboundMessage?)] = []
      for (item, outcome) in zip(open, outcomes) {
        switch outcome {
        case .confirmed: settled.append(.ack(item.tag))
        // It leaves no space for what a copy adds, and never will.
        case .failed(let error) where error.code == .tooLarge:
          reject(item.tag, item.message.properties, bytes: item.message.body.count)
        default: again.append((item.tag, item.message))
        }
      }
      consumer?.settle(settled)
      guard !again.isEmpty, !isStopped.load(ordering: .relaxed) else { return }
      if attempt == 0 { logger.warning("messages of \(name) cannot be published, trying again") }
      Task { [again] in
        try? await Task.sleep(for: .seconds(min(30, 1 << min(attempt, 5))))
        if isStopped.load(ordering: .relaxed) { return }
        forward(again, attempt: attempt + 1)
      }
    }
  }

  /// Rejects a message, so that the broker dead-letters it unchanged.
  private func reject(_ tag: DeliveryTag, _ properties: MessageProperties, bytes: Int) {
    logger.error(
      "a message of the queue \(name) is too large, or its headers are too deep, to be passed on: it is rejected",
      metadata: .fields([
        .code: "too_large", .messageID: properties.messageID?.asIdentifier, .bytes: "\(bytes)",
      ]))
    consumer.withLock { $0 }?.settle([.reject(tag, requeue: false)])
  }
}
