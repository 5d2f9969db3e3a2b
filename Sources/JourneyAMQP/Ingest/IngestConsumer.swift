public import AMQPClient
public import Journey
public import Logging
import ConnectionThreads
import Synchronization

/// Consumes the ingest queue.
///
/// A message stays unacknowledged until it is settled: a rejected message is first published to a retry queue or to the
/// dead letters, and acked after the confirm. The prefetch limits the number of unsettled messages.
public final class IngestConsumer: EventSource {
  public struct Settings: Sendable {
    public var names = MessagingNames()
    /// The maximum number of unacknowledged deliveries. 1...2,000 on quorum queues.
    public var prefetch: UInt16 = 2000
    public var retry = RetryPolicy()
    /// Other broker users that instances of the adapter publish as, or have published as.
    public var otherUsers: Set<String> = []

    public init() {}
  }

  struct State {
    var deadLettersUnderWay = 0
    var copies = CopyCounts()
    /// Messages that were requeued at a stop because their copies were not confirmed.
    var requeued = 0
    var refusals = CopyRefusals()
    /// Whether a task waits until refusals expire.
    var isForgetting = false
    /// Opens when no copy waits for its confirm any more, once `close` waits for that.
    var copiesEnded: Latch?
    var isFinished = false
    var onDeliveries: (@Sendable ([Delivery]) -> Void)?
    var demand = Demand.some(limit: nil)
    /// An operator has paused consuming, whatever the demand.
    var isHeld = false
    var isStopping = false
  }

  /// How much the pipeline wants.
  enum Demand {
    case none
    case some(limit: UInt16?)
  }

  final class Shared: Sendable {
    let state = Mutex(State())
    /// The newest lost generation.
    let lostGeneration = Atomic<UInt64>(0)
    /// Opens after the last delivery.
    let finished = Latch()
    let connectionsLost = Atomic<Int>(0)
    let sentInFuture = Atomic<Int>(0)
  }

  /// A batch is mapped on the connection's thread, which must return to the connection in between.
  private static let maxAtOnce = 64

  let shared = Shared()
  let consumer: AMQPConsumer
  let deadLetters: AMQPPublisher
  private let decoder: InboundDecoder
  let settings: Settings
  let own: OwnMessages
  let clock: any WallClock
  let health: Health
  private let parked: (any ParkedMessageLog)?
  let logger: Logger

  /// - Parameters:
  ///   - deadLetters: publishes retries and dead letters, as the same user as `connection`. The caller starts and
  ///     closes it.
  ///   - health: gets the state of `ingest` and `copies`.
  ///   - parked: gets each message before its copy goes to a retry queue; nil: none is recorded.
  ///   - turns: of the connection's thread.
  public init(
    connection: AMQPConnectionSettings, deadLetters: AMQPPublisher, decoder: InboundDecoder, settings: Settings,
    clock: any WallClock,
    health: Health = Health(), turns: Liveness.Loop? = nil, parked: (any ParkedMessageLog)? = nil, logger: Logger
  ) {
    self.health = health
    self.parked = parked
    self.deadLetters = deadLetters
    self.decoder = decoder
    self.settings = settings
    own = OwnMessages(names: settings.names, user: connection.userID, others: settings.otherUsers)
    self.clock = clock
    self.logger = logger
    consumer = AMQPConsumer(
      settings: connection, queue: settings.names.ingest, prefetch: settings.prefetch, maxBatch: Self.maxAtOnce,
      consumerTag: "journey-ingest", onTurn: { $0 ? turns?.turn() : turns?.rest() }
    ) { [shared, health, logger] event in Self.handle(event, shared, health, logger) }
  }

  /// Whether the broker has confirmed the subscription on the current connection.
  public var isConsuming: Bool { consumer.isConsuming }

  /// How many messages wait for the confirm of their copy in a retry queue or the dead letters.
  public var copiesUnderWay: Int { shared.state.withLock(\.deadLettersUnderWay) }

  /// What became of the copies of messages that were not stored.
  public var copies: CopyCounts { shared.state.withLock(\.copies) }

  /// Connections lost, and attempts to connect that failed.
  public var connectionsLost: Int { shared.connectionsLost.load(ordering: .relaxed) }

  /// Messages that were sent later than they were received, by their own time.
  public var sentInFuture: Int { shared.sentInFuture.load(ordering: .relaxed) }

  public var leftBehind: Int { shared.state.withLock { $0.requeued + $0.deadLettersUnderWay } }

  private static func handle(_ event: ConsumerEvent, _ shared: Shared, _ health: Health, _ logger: Logger) {
    switch event {
    case .deliveries(let deliveries):
      shared.state.withLock { $0.onDeliveries }?(deliveries)
    case .started(let generation):
      logger.info("consuming", metadata: .fields([.generation: "\(generation)"]))
      health.succeeded(.ingest)
    case .lost(let generation, let error):
      logger.warning("the ingest queue is lost, trying again: \(error)")
      shared.connectionsLost.add(1, ordering: .relaxed)
      health.failed(.ingest, "the ingest queue is lost: \(error.reason)")
      // The broker redelivers these messages; those already in progress end as duplicates.
      shared.lostGeneration.max(generation, ordering: .releasing)
    case .blocked(let reason):
      logger.warning("the broker blocks the consumer's connection: \(reason)")
    case .unblocked:
      logger.info("the broker no longer blocks the consumer's connection")
    case .cancelled, .closed:
      shared.state.withLock { state in
        state.isFinished = true
        state.onDeliveries = nil
      }
      shared.finished.open()
    }
  }

  // MARK: EventSource

  public func receive(_ handOut: @escaping @Sendable ([InboundMessage]) -> Void) async {
    shared.state.withLock { state in
      if !state.isFinished { state.onDeliveries = { [self] in handOut(map($0)) } }
    }
    consumer.start()
    await shared.finished.wait()
  }

  private func map(_ deliveries: [Delivery]) -> [InboundMessage] {
    var random = IDRandom()
    let arrival = ArrivalTime(at: .now, wall: clock.now())
    return deliveries.compactMap { map(MessageCopy.restored($0, own: own), arrival, &random) }
  }

  /// Rejects an oversized message, so that the broker dead-letters it unchanged.
  private func map(_ delivery: Delivery, _ arrival: ArrivalTime, _ random: inout IDRandom) -> InboundMessage? {
    switch delivery.problem {
    case .bodyTooLarge:
      logger.error(
        "a message is too large to be read and goes to the dead letters",
        metadata: .fields([
          .code: "too_large", .messageID: delivery.properties.messageID?.asIdentifier, .bytes: "\(delivery.bodySize)",
        ]))
      consumer.settle([.reject(delivery.tag, requeue: false)])
      shared.state.withLock { $0.copies.deadLettered += 1 }
      return nil
    case .headersTooDeep, nil:
      let decoded = decoder.decode(delivery, random: &random)
      return InboundMessage(
        token: AckToken(delivery.tag), events: decoded.events, rejections: decoded.rejections, delivery: delivery,
        origin: decoded.origin, sentAt: sendTime(of: delivery, decoded.origin, arrival))
    }
  }

  private func sendTime(of delivery: Delivery, _ origin: RawOrigin?, _ arrival: ArrivalTime) -> ContinuousClock.Instant
  {
    let sent = arrival.sendTime(of: delivery.properties, origin)
    if sent > arrival.at + ArrivalTime.tolerance { shared.sentInFuture.add(1, ordering: .relaxed) }
    return min(sent, arrival.at)
  }

  public var lostGeneration: UInt64 { shared.lostGeneration.load(ordering: .acquiring) }

  public func settle(_ outcomes: [MessageOutcome]) {
    var direct: [Settlement] = []
    direct.reserveCapacity(outcomes.count)
    var rejected: [RejectedDelivery] = []
    var records: [ParkedMessage] = []
    let lost = lostGeneration
    for outcome in outcomes where outcome.message.token.generation > lost {
      switch outcome.kind {
      case .applied: direct.append(.ack(DeliveryTag(outcome.message.token)))
      case .released: direct.append(.nack(DeliveryTag(outcome.message.token), requeue: true))
      case .rejected(let reasons):
        guard let delivery = outcome.message.delivery as? Delivery else { continue }
        let copy = RejectedDelivery(delivery: delivery, reasons: reasons, tier: retryTier(of: delivery, reasons))
        rejected.append(copy)
        if parked != nil { records += copy.records(of: outcome.message, settings.retry, at: clock.now()) }
      case .postponed:
        guard let delivery = outcome.message.delivery as? Delivery else { continue }
        let copy = RejectedDelivery(delivery: delivery, reasons: [], tier: MessagingNames.retryTiers[0].name)
        rejected.append(copy)
        if parked != nil { records += copy.records(of: outcome.message, settings.retry, at: clock.now()) }
      }
    }
    consumer.settle(direct)
    guard !rejected.isEmpty else { return }
    shared.state.withLock { $0.deadLettersUnderWay += rejected.count }
    guard let parked, !records.isEmpty else { return deadLetter(rejected, attempt: 0) }
    let dead = rejected.filter { $0.tier == nil }
    if !dead.isEmpty { deadLetter(dead, attempt: 0) }
    let retried = rejected.filter { $0.tier != nil }
    Task { [records] in
      await parked.record(records)
      // The broker redelivers messages of a connection that was lost meanwhile.
      let lost = lostGeneration
      let open = retried.filter { $0.delivery.tag.generation > lost }
      deadLettersEnded(retried.count - open.count)
      if !open.isEmpty { deadLetter(open, attempt: 0) }
    }
  }

  public func pause() { change { $0.demand = .none } }

  public func resume(limit: UInt16?) { change { $0.demand = .some(limit: limit) } }

  /// Pauses consuming for an operator, or ends that pause. Meanwhile `pause` and `resume` take effect later.
  public func hold(_ isHeld: Bool) { change { $0.isHeld = isHeld } }

  /// Whether a `hold` has taken effect: nothing more arrives.
  public var isHeld: Bool { shared.state.withLock { $0.isHeld && ($0.isFinished || consumer.isPaused) } }

  private func change(_ body: (inout State) -> Void) {
    // Within the lock, so that the consumer sees the changes in order.
    shared.state.withLock { state in
      body(&state)
      if !state.isHeld, case .some(let limit) = state.demand { consumer.resume(limit: limit) } else { consumer.pause() }
    }
  }

  public func stop() {
    shared.state.withLock { $0.isStopping = true }
    consumer.cancel()
  }

  /// Whether `stop` was called.
  public var isStopping: Bool { shared.state.withLock(\.isStopping) }

  public func close(within deadline: Duration) async {
    let end = ContinuousClock.now + deadline
    let ended = Latch()
    let isReady = shared.state.withLock { state in
      state.copiesEnded = ended
      return state.deadLettersUnderWay == 0
    }
    if isReady { ended.open() }
    let alarm = Task {
      try await Task.sleep(until: end)
      ended.open()
    }
    await ended.wait()
    alarm.cancel()
    await consumer.close(deadline: max(.seconds(1), ContinuousClock.now.duration(to: end)))
  }
}
