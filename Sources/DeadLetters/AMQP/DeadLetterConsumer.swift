public import JourneyAMQP
public import AMQPClient
public import Journey
public import Logging
import ConnectionThreads
import Synchronization

/// Consumes the queue of dead letters, for the archive.
public final class DeadLetterConsumer: DeadLetterSource {
  /// How much is kept of a body that is too large for the archive.
  static let beginning = 64 << 10

  private struct State {
    var arrived: [Delivery] = []
    var isFinished = false
    /// What `nextBatch` waits for.
    var arrival: Latch?
  }

  private final class Shared: Sendable {
    let state = Mutex(State())
  }

  private let shared = Shared()
  private let consumer: AMQPConsumer
  private let reader: DeadLetterReader
  private let clock: any WallClock
  private let logger: Logger
  private let batchSize: Int

  /// - Parameters:
  ///   - decoder: guesses the origin of a message.
  ///   - maxBodyBytes: of a larger body only the beginning is read.
  ///   - redaction: which headers are dropped.
  ///   - prefetch: how many unsettled dead letters the broker delivers. 1...2,000.
  ///   - otherUsers: the broker's users of other instances of the adapter, present or past.
  public init(
    connection: AMQPConnectionSettings, names: MessagingNames, otherUsers: Set<String> = [], decoder: InboundDecoder,
    maxBodyBytes: Int = 8 << 20,
    redaction: HeaderRedaction, prefetch: UInt16 = 200, clock: any WallClock, logger: Logger
  ) {
    var connection = connection
    connection.maxBodyBytes = maxBodyBytes
    connection.beginningOfLargerBodies = min(Self.beginning, maxBodyBytes)
    connection.maxBufferedBytes = 32 << 20
    reader = DeadLetterReader(
      decoder: decoder, own: OwnMessages(names: names, user: connection.userID, others: otherUsers),
      redaction: redaction)
    self.clock = clock
    self.logger = logger
    batchSize = Int(prefetch)
    consumer = AMQPConsumer(
      settings: connection, queue: names.deadLetters, prefetch: prefetch, maxBatch: Int(prefetch),
      consumerTag: "journey-dead-letters"
    ) { [shared, logger] event in Self.handle(event, shared, logger) }
  }

  public func start() { consumer.start() }

  /// Whether the broker has confirmed the subscription on the current connection.
  public var isConsuming: Bool { consumer.isConsuming }

  private static func handle(_ event: ConsumerEvent, _ shared: Shared, _ logger: Logger) {
    switch event {
    case .deliveries(let deliveries): wake(shared) { $0.arrived.append(contentsOf: deliveries) }
    case .started: logger.debug("archiving dead letters")
    case .lost(let generation, let error):
      logger.warning("the queue of dead letters is lost, trying again: \(error)")
      wake(shared) { $0.arrived.removeAll { $0.tag.generation <= generation } }
    case .blocked, .unblocked: break
    case .cancelled, .closed: wake(shared) { $0.isFinished = true }
    }
  }

  private static func wake(_ shared: Shared, _ change: (inout State) -> Void) {
    let arrival = shared.state.withLock { state in
      change(&state)
      return state.arrival
    }
    arrival?.open()
  }

  // MARK: DeadLetterSource

  public func nextBatch() async -> [ReceivedDeadLetter]? {
    while true {
      let arrival = Latch()
      let taken: [Delivery]? = shared.state.withLock { state in
        guard !state.arrived.isEmpty || state.isFinished else {
          state.arrival = arrival
          return nil
        }
        let part = Array(state.arrived.prefix(batchSize))
        state.arrived.removeFirst(part.count)
        return part
      }
      if let taken { return taken.isEmpty ? nil : read(taken) }
      await arrival.wait()
    }
  }

  private func read(_ deliveries: [Delivery]) -> [ReceivedDeadLetter] {
    let now = clock.now()
    return deliveries.map { delivery in
      if delivery.problem == .bodyTooLarge {
        logger.warning(
          "a dead letter is larger than deadLetters.maximumBodyBytes: only its beginning is archived",
          metadata: .fields([
            .code: "cut", .messageID: delivery.properties.messageID?.asIdentifier, .bytes: "\(delivery.bodySize)",
          ]))
      }
      return ReceivedDeadLetter(token: AckToken(delivery.tag), deadLetter: reader.deadLetter(delivery, at: now))
    }
  }

  public func settle(_ tokens: [AckToken]) {
    consumer.settle(tokens.map { .ack(DeliveryTag($0)) })
  }

  public func stop() { consumer.cancel() }

  public func close(within deadline: Duration) async { await consumer.close(deadline: deadline) }
}
