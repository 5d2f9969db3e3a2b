public import AMQPClient
import FoundationEssentials
public import Journey
public import Logging

/// Takes the actions for people off their queue, because the page lists them from the database, and reports each as
/// delivered.
///
/// A message is acked once the broker has confirmed its report. What is no action is rejected: the broker moves it to
/// the outcomes, where it becomes a dead letter.
public struct HumanListConsumer: Sendable {
  private static let channel = "human"
  private static let retryDelay = Duration.seconds(1)

  private let consumer: AMQPConsumer
  private let arrivals: AsyncStream<[Delivery]>
  private let publisher: AMQPPublisher
  private let names: MessagingNames
  private let userID: String?
  private let clock: any WallClock
  private let logger: Logger

  /// - Parameter publisher: the caller starts and closes it.
  public init(
    connection: AMQPConnectionSettings, publisher: AMQPPublisher, names: MessagingNames, clock: any WallClock,
    logger: Logger
  ) {
    let (arrivals, continuation) = AsyncStream<[Delivery]>.makeStream()
    self.arrivals = arrivals
    self.publisher = publisher
    self.names = names
    self.clock = clock
    self.logger = logger
    userID = connection.userID
    consumer = AMQPConsumer(
      settings: connection, queue: names.actionQueue(Self.channel), prefetch: 100, maxBatch: 100,
      consumerTag: "journey-human",
      // A worker of somebody's own, who has not switched this off, comes first.
      arguments: ["x-priority": -1]
    ) { event in
      switch event {
      case .deliveries(let deliveries): continuation.yield(deliveries)
      case .lost(_, let error): logger.warning("the queue of actions for people is lost, trying again: \(error)")
      case .started, .blocked, .unblocked: break
      case .cancelled, .closed: continuation.finish()
      }
    }
  }

  /// Runs until it is cancelled. Unsettled messages go back to the queue.
  public func run() async {
    consumer.start()
    for await deliveries in arrivals { await report(deliveries) }
    await consumer.close()
  }

  private func report(_ deliveries: [Delivery]) async {
    var open: [(tag: DeliveryTag, message: OutboundMessage)] = []
    for delivery in deliveries {
      if let message = message(for: delivery) {
        open.append((delivery.tag, message))
      } else if delivery.properties.type == RevocationEvent.type {
        // The page shows the action as revoked without it.
        consumer.settle([.ack(delivery.tag)])
      } else {
        logger.warning(
          "a message in \(names.actionQueue(Self.channel)) is no action: it is rejected",
          metadata: .fields([.messageID: delivery.properties.messageID?.asIdentifier]))
        consumer.settle([.reject(delivery.tag, requeue: false)])
      }
    }
    while !open.isEmpty {
      guard let outcomes = await publisher.publishUnlessCancelled(open.map(\.message)) else { return }
      consumer.settle(zip(open, outcomes).filter { $1.isConfirmed }.map { .ack($0.0.tag) })
      let failed = zip(open, outcomes).filter { !$1.isConfirmed }
      guard let (_, outcome) = failed.first else { return }
      logger.warning("actions for people could not be reported as delivered, trying again: \(outcome.explanation)")
      open = failed.map(\.0)
      do { try await Task.sleep(for: Self.retryDelay) } catch { return }
    }
  }

  private func message(for delivery: Delivery) -> OutboundMessage? {
    guard delivery.properties.type == ActionEvent.type,
      let id = delivery.properties.messageID.flatMap(UUID.init(uuidString:)),
      let body = try? JSONDocument(parsing: delivery.body)
    else { return nil }
    return OutcomeEvent.message(
      exchange: names.outcomes, action: id, orgID: body.root["orgid"]?.string, channel: Self.channel,
      outcome: "delivered", at: clock.now(), userID: userID)
  }
}
