public import AMQPClient
public import Journey
public import Logging
import Synchronization

/// The ingest queue as a source of events.
///
/// A message keeps its delivery until it is settled, because a rejected one has to be published to a retry queue or to
/// the dead letters, and confirmed there, before it is acknowledged here. The prefetch bounds how many there are.
public final class IngestConsumer: EventSource {
  public struct Settings: Sendable {
    public var names = MessagingNames()
    /// How many unsettled deliveries the broker hands out. 1...2,000 on quorum queues.
    public var prefetch: UInt16 = 2000
    public var retry = RetryPolicy()
    /// Other users of the broker as whom instances of the adapter publish, or did.
    public var otherUsers: Set<String> = []

    public init() {}
  }

  private struct State {
    var deadLettersUnderWay = 0
    /// Messages that went back to the queue at a stop because their copies were not taken.
    var handedBack = 0
    var refusals = CopyRefusals()
    /// Whether somebody waits for the time when refusals are forgotten.
    var isForgetting = false
    var isAborted = false
    var closer: CheckedContinuation<Void, Never>?
    var isFinished = false
    var onDeliveries: (@Sendable ([Delivery]) -> Void)?
    var receiver: CheckedContinuation<Void, Never>?
  }

  private final class Shared: Sendable {
    let state = Mutex(State())
    /// The newest generation that is lost.
    let lostGeneration = Atomic<UInt64>(0)
  }

  /// They are mapped on the connection's thread, which looks after the connection in between.
  private static let maxAtOnce = 64

  private let shared = Shared()
  private let consumer: AMQPConsumer
  private let deadLetters: AMQPPublisher
  private let decoder: InboundDecoder
  private let settings: Settings
  private let own: OwnMessages
  private let clock: any WallClock
  private let health: Health
  private let logger: Logger

  /// - Parameters:
  ///   - letters: publishes retries and dead letters, as the same user as `connection`; started and closed by the
  ///     caller.
  ///   - health: gets to know how `ingest` and `copies` are doing.
  public init(
    connection: AMQPConnectionSettings, deadLetters: AMQPPublisher, decoder: InboundDecoder, settings: Settings,
    clock: any WallClock,
    health: Health = Health(), logger: Logger
  ) {
    self.health = health
    self.deadLetters = deadLetters
    self.decoder = decoder
    self.settings = settings
    own = OwnMessages(names: settings.names, user: connection.userID, others: settings.otherUsers)
    self.clock = clock
    self.logger = logger
    consumer = AMQPConsumer(
      settings: connection, queue: settings.names.ingest, prefetch: settings.prefetch, maxBatch: Self.maxAtOnce,
      consumerTag: "journey-ingest"
    ) { [shared, health, logger] event in Self.handle(event, shared, health, logger) }
  }

  /// Whether the broker has confirmed the subscription on the present connection.
  public var isConsuming: Bool { consumer.isConsuming }

  /// How many messages wait until the broker has taken their copies for retry queues or dead letters.
  public var copiesUnderWay: Int { shared.state.withLock(\.deadLettersUnderWay) }

  public var leftBehind: Int { shared.state.withLock { $0.handedBack + $0.deadLettersUnderWay } }

  private static func handle(_ event: ConsumerEvent, _ shared: Shared, _ health: Health, _ logger: Logger) {
    switch event {
    case .deliveries(let deliveries):
      shared.state.withLock { $0.onDeliveries }?(deliveries)
    case .started(let generation):
      logger.info("consuming", metadata: ["generation": "\(generation)"])
      health.succeeded(.ingest)
    case .lost(let generation, let error):
      logger.warning("the ingest queue is lost, trying again: \(error)")
      health.failed(.ingest, "the ingest queue is lost: \(error.reason)")
      // The broker delivers these again; what is under way already ends as a duplicate.
      shared.lostGeneration.max(generation, ordering: .releasing)
    case .blocked(let reason):
      logger.warning("the broker blocks the consumer's connection: \(reason)")
    case .unblocked:
      logger.info("the broker no longer blocks the consumer's connection")
    case .cancelled, .closed:
      let continuation = shared.state.withLock { state in
        state.isFinished = true
        state.onDeliveries = nil
        defer { state.receiver = nil }
        return state.receiver
      }
      continuation?.resume()
    }
  }

  // MARK: EventSource

  public func receive(_ handOut: @escaping @Sendable ([InboundMessage]) -> Void) async {
    await withCheckedContinuation { continuation in
      let isFinished = shared.state.withLock { state in
        guard !state.isFinished else { return true }
        state.onDeliveries = { [self] in handOut(map($0)) }
        state.receiver = continuation
        return false
      }
      if isFinished { continuation.resume() } else { consumer.start() }
    }
  }

  private func map(_ deliveries: [Delivery]) -> [InboundMessage] {
    var random = IDRandom()
    return deliveries.compactMap { map(MessageCopy.restored($0, own: own), &random) }
  }

  /// A message that is too large ever to be read is handed back whole, to the broker's own dead-lettering.
  private func map(_ delivery: Delivery, _ random: inout IDRandom) -> InboundMessage? {
    switch delivery.problem {
    case .bodyTooLarge:
      logger.error(
        "a message is too large to be read and goes to the dead letters", metadata: ["bytes": "\(delivery.bodySize)"])
      consumer.settle([.reject(delivery.tag, requeue: false)])
      return nil
    case .headersTooDeep, nil:
      let (events, rejections) = decoder.decode(delivery, random: &random)
      return InboundMessage(
        token: AckToken(delivery.tag), events: events, rejections: rejections, delivery: delivery)
    }
  }

  public var lostGeneration: UInt64 { shared.lostGeneration.load(ordering: .acquiring) }

  public func settle(_ outcomes: [MessageOutcome]) {
    var direct: [Settlement] = []
    direct.reserveCapacity(outcomes.count)
    var rejected: [RejectedDelivery] = []
    let lost = lostGeneration
    for outcome in outcomes where outcome.message.token.generation > lost {
      switch outcome.kind {
      case .applied: direct.append(.ack(DeliveryTag(outcome.message.token)))
      case .released: direct.append(.nack(DeliveryTag(outcome.message.token), requeue: true))
      case .rejected(let reasons):
        guard let delivery = outcome.message.delivery as? Delivery else { continue }
        rejected.append(RejectedDelivery(delivery, reasons, tier: retryTier(of: delivery, reasons)))
      case .postponed:
        guard let delivery = outcome.message.delivery as? Delivery else { continue }
        rejected.append(RejectedDelivery(delivery, [], tier: MessagingNames.retryTiers[0].name))
      }
    }
    consumer.settle(direct)
    guard !rejected.isEmpty else { return }
    shared.state.withLock { $0.deadLettersUnderWay += rejected.count }
    deadLetter(rejected, attempt: 0)
  }

  private func retryTier(of delivery: Delivery, _ reasons: [Rejection]) -> String? {
    settings.retry.tier(for: reasons, attempts: AttemptRecord(delivery.properties.headers).attempts)
  }

  /// Publishes copies to retry queues and dead letters, and acknowledges each message once the broker has confirmed its
  /// copy.
  private func deadLetter(_ rejected: [RejectedDelivery], attempt: Int) {
    let now = clock.now()
    if attempt == 0 {
      for item in rejected where !item.isPostponed { log(item) }
      let postponed = rejected.count(where: \.isPostponed)
      // One line for all of them: where nothing passes, there are many.
      if postponed > 0 {
        logger.info("messages are put off, to be tried again later", metadata: ["count": "\(postponed)"])
      }
    }
    let messages = rejected.map { $0.message(settings, own, now) }
    deadLetters.publish(messages) { [self] outcomes in
      var settled: [Settlement] = []
      var again: [RejectedDelivery] = []
      // Retries that cannot wait become dead letters at once: that shall not hold the stream up.
      var dead: [RejectedDelivery] = []
      var last: PublishOutcome?
      let isCrowded = shared.state.withLock { $0.deadLettersUnderWay } > Int(settings.prefetch) / 4
      for (var item, outcome) in zip(rejected, outcomes) {
        switch item.next(after: outcome, isCrowded: isCrowded) {
        case .settle(let settlement):
          settled.append(settlement)
        case .deadLetter:
          item.tier = nil
          dead.append(item)
        case .again:
          last = outcome
          again.append(item)
        }
      }
      record(messages, outcomes)
      consumer.settle(settled)
      deadLettersEnded(settled.count)
      if !dead.isEmpty { deadLetter(dead, attempt: attempt + 1) }
      if let last { retry(again, attempt: attempt, because: last) }
    }
  }

  private func record(_ messages: [OutboundMessage], _ outcomes: [PublishOutcome]) {
    let (news, startsForgetting) = shared.state.withLock { state in
      let news = zip(messages, outcomes).compactMap { state.refusals.record($1, by: $0.exchange, now: .now) }
      report(state.refusals)
      let starts = !state.isForgetting && !state.refusals.isEmpty
      if starts { state.isForgetting = true }
      return (news, starts)
    }
    for reason in news { logger.error("\(reason)") }
    if startsForgetting { Task { await forgetRefusals() } }
  }

  private func report(_ refusals: CopyRefusals) {
    if let problem = refusals.problem { health.failed(.copies, problem) } else { health.succeeded(.copies) }
  }

  /// Where nothing more is published to an exchange, nobody learns that it takes copies again.
  private func forgetRefusals() async {
    while true {
      let next = shared.state.withLock { state in
        state.refusals.forget(now: .now)
        report(state.refusals)
        state.isForgetting = !state.refusals.isEmpty
        return state.refusals.nextForgotten
      }
      guard let next else { return }
      try? await Task.sleep(until: next, clock: .continuous)
    }
  }

  /// The code and the field as the mapping calls it, never the value, nor names that the body made up: a log is no
  /// place for a client's data.
  private func log(_ item: RejectedDelivery) {
    let reason = item.reasons.first
    let field = reason?.code == .malformed && reason?.field?.hasPrefix("$") == true ? "body" : reason?.field
    let metadata: Logger.Metadata = [
      "code": "\(reason?.code.rawValue ?? "")", "field": "\(field ?? "")",
      "routing_key": "\(item.delivery.routingKey)",
    ]
    guard let tier = item.tier else { return logger.notice("dead letter", metadata: metadata) }
    logger.info("tried again later", metadata: metadata.merging(["in": "\(tier)"]) { $1 })
  }

  private func retry(_ rejected: [RejectedDelivery], attempt: Int, because outcome: PublishOutcome) {
    if attempt == 0 {
      logger.warning(
        "retries or dead letters are not taken, trying again: \(outcome.explanation)",
        metadata: ["count": "\(rejected.count)"])
    }
    let isFinished = shared.state.withLock(\.isFinished), lost = lostGeneration
    // What belongs to a lost connection is delivered, and rejected, again.
    let open = isFinished ? [] : rejected.filter { $0.delivery.tag.generation > lost }
    if isFinished {
      shared.state.withLock { $0.handedBack += rejected.count }
      consumer.settle(rejected.map { .nack($0.delivery.tag, requeue: true) })
    }
    deadLettersEnded(rejected.count - open.count)
    guard !open.isEmpty else { return }
    Task {
      try? await Task.sleep(for: .seconds(min(30, 1 << min(attempt, 5))))
      deadLetter(open, attempt: attempt + 1)
    }
  }

  private func deadLettersEnded(_ count: Int) {
    let closer = shared.state.withLock { state in
      state.deadLettersUnderWay -= count
      guard state.deadLettersUnderWay == 0 else { return nil as CheckedContinuation<Void, Never>? }
      defer { state.closer = nil }
      return state.closer
    }
    closer?.resume()
  }

  public func pause() { consumer.pause() }

  public func resume(limit: UInt16?) { consumer.resume(limit: limit) }

  public func stop() { consumer.cancel() }

  public func close(within deadline: Duration) async {
    let end = ContinuousClock.now + deadline
    let alarm = Task { [shared] in
      try await Task.sleep(until: end)
      let closer = shared.state.withLock { state in
        state.isAborted = true
        defer { state.closer = nil }
        return state.closer
      }
      closer?.resume()
    }
    await withCheckedContinuation { continuation in
      let isReady = shared.state.withLock { state in
        guard state.deadLettersUnderWay > 0, !state.isAborted else { return true }
        state.closer = continuation
        return false
      }
      if isReady { continuation.resume() }
    }
    alarm.cancel()
    await consumer.close(deadline: max(.seconds(1), ContinuousClock.now.duration(to: end)))
  }
}
