import AMQPClient
import Foundation
import Logging
import ServiceLifecycle

/// From the queue to the report.
struct Worker: Service {
  static let channel = "email"
  /// Mails under way at the same time, those that wait included.
  static let prefetch: UInt16 = 50
  static let retryDelay = Duration.seconds(5)

  /// What becomes of a message.
  enum Result {
    /// It is acked: all that there is to report has been reported.
    case done
    /// It cannot be read: the broker moves it to journey.outcomes, where it counts as failed.
    case unreadable
    /// The worker stops: it goes back to the queue.
    case stopped
  }

  let broker: AMQPConnectionSettings
  let mailer: Mailer
  let permission: Permission?
  let logger: Logger
  let memory = Memory()

  func run() async throws {
    let publisher = AMQPPublisher(settings: broker)
    let (arrivals, continuation) = AsyncStream<Delivery>.makeStream()
    let consumer = AMQPConsumer(
      settings: broker, queue: "journey.actions.\(Self.channel)", prefetch: Self.prefetch, maxBatch: 50,
      consumerTag: "email-worker"
    ) { [logger] event in
      switch event {
      case .started: logger.info("consuming")
      case .deliveries(let deliveries): for delivery in deliveries { continuation.yield(delivery) }
      case .lost(_, let error): logger.warning("the queue is lost, trying again: \(error)")
      case .blocked, .unblocked: break
      case .cancelled, .closed: continuation.finish()
      }
    }
    publisher.start()
    consumer.start()
    await withGracefulShutdownHandler {
      await withDiscardingTaskGroup { group in
        for await delivery in arrivals {
          group.addTask {
            switch await take(delivery, publisher) {
            case .done: consumer.settle([.ack(delivery.tag)])
            case .unreadable: consumer.settle([.reject(delivery.tag, requeue: false)])
            case .stopped: break
            }
          }
        }
      }
    } onGracefulShutdown: {
      // A mail that is being sent is finished and reported.
      logger.info("stopping")
      consumer.cancel()
    }
    await consumer.close()
    await publisher.close()
  }

  private func take(_ delivery: Delivery, _ publisher: AMQPPublisher) async -> Result {
    switch Message(delivery.body) {
    case nil: return .unreadable
    case .revoked(let id):
      await memory.revoke(id)
      return .done
    case .recommended(let action):
      // A copy has the result of the first: it is acked only once that has been reported.
      return await memory.once(delivery.properties.messageID ?? action.id) { await handle(action, publisher) }
    }
  }

  private func handle(_ action: Action, _ publisher: AMQPPublisher) async -> Result {
    while true {
      // There is nothing to report: the adapter knows both.
      if await memory.isRevoked(action.id) { return .done }
      if let end = action.data.expiresAt, end <= .now { return .done }
      if let start = action.data.notBefore, start > .now {
        guard await wait(.seconds(start.timeIntervalSinceNow)) else { return .stopped }
        continue
      }
      switch await permission?.toRun(action.id, logger) ?? .run {
      case .drop: return .done
      case .later: break
      case .run:
        let outcome = await mailer.send(action)
        if let outcome { return await report(outcome, of: action, publisher) }
      }
      guard await wait(Self.retryDelay) else { return .stopped }
    }
  }

  /// - Returns: `done` once the broker has confirmed it.
  private func report(_ outcome: Outcome, of action: Action, _ publisher: AMQPPublisher) async -> Result {
    let id = "\(action.id)/\(outcome.name)"
    let message = OutboundMessage(
      exchange: "journey.outcomes", routingKey: "\(Self.channel).\(outcome.name)",
      properties: MessageProperties(
        contentType: "application/cloudevents+json", messageID: id, type: Outcome.type, userID: broker.userID),
      body: outcome.event(id: id, of: action))
    while true {
      let result = await publisher.publish([message])[0]
      if result.isConfirmed { return .done }
      logger.warning("\(outcome.name) of \(action.id) is not reported, trying again: \(result)")
      guard await wait(.seconds(1)) else { return .stopped }
    }
  }

  /// - Returns: false if the worker stops.
  private func wait(_ duration: Duration) async -> Bool {
    await cancelWhenGracefulShutdown { (try? await Task.sleep(for: duration)) != nil }
  }
}

/// The ids of the last actions, in memory. A worker that must not run an action twice after it was killed keeps them in a
/// database instead, and writes each before it runs the action.
actor Memory {
  private static let limit = 10_000
  private var handled: [String: Task<Worker.Result, Never>] = [:], revoked: Set<String> = []
  private var order: [String] = [], orderOfRevoked: [String] = []

  /// Runs `body` for the first of all messages with the same id; a copy has its result.
  func once(_ id: String, _ body: @escaping @Sendable () async -> Worker.Result) async -> Worker.Result {
    if let first = handled[id] { return await first.value }
    let task = Task { await body() }
    handled[id] = task
    order.append(id)
    if order.count > Self.limit { handled[order.removeFirst()] = nil }
    return await task.value
  }

  func revoke(_ id: String) {
    guard revoked.insert(id).inserted else { return }
    orderOfRevoked.append(id)
    if orderOfRevoked.count > Self.limit { revoked.remove(orderOfRevoked.removeFirst()) }
  }

  func isRevoked(_ id: String) -> Bool { revoked.contains(id) }
}
