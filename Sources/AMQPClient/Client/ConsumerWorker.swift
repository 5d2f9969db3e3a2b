import ConnectionThreads

/// The thread of an `AMQPConsumer`: reads deliveries, hands them over, writes settlements, sleeps in `poll`.
final class ConsumerWorker {
  struct Configuration: Sendable {
    let settings: AMQPConnectionSettings
    let queue: String
    let prefetch: UInt16
    let maxBatch: Int
    let consumerTag: String
    let arguments: FieldTable
    let onTurn: @Sendable (Bool) -> Void
    let onEvent: @Sendable (ConsumerEvent) -> Void
  }

  enum Command: Sendable {
    case settle([Settlement])
    /// The prefetch, nil to pause.
    case demand(UInt16?)
    case cancel
    case close(deadline: MonotonicInstant)
  }

  private enum Cancellation {
    case none
    /// By the owner; the broker was asked, if there was a connection.
    case asked
    /// The owner knows that nothing more comes.
    case done
  }

  /// A batch ends once its bodies hold this much, because the owner handles it on this thread.
  private static let batchBytes = 1 << 20

  private let configuration: Configuration
  private let mailbox: Mailbox<Command>
  private let status: ConnectionStatus
  private var connector: Connector
  private var backoff: Backoff
  private var acks = AckTracker(generation: 0)
  private var demand: DeliveryDemand
  /// Numbers the subscriptions of a channel. Each has its own tag, because the broker still counts the unsettled
  /// deliveries of one that ended.
  private var subscriptions = 0
  private var tag = ""
  /// The tag of the second subscription, which exists only while bodies are small.
  private var furtherTag = ""
  private var cancellation = Cancellation.none
  /// The prefetch that the owner wants, and that of the current subscription.
  private var wanted: UInt16?
  private var subscribed: UInt16?
  /// The broker was asked to end the subscription and has not replied yet.
  private var isEnding = false
  private var hasAnnouncedStart = false
  private var closeDeadline: MonotonicInstant?

  init(_ configuration: Configuration, mailbox: Mailbox<Command>, status: ConnectionStatus) {
    self.configuration = configuration
    self.mailbox = mailbox
    self.status = status
    connector = Connector(settings: configuration.settings, use: .receiving)
    wanted = configuration.prefetch
    demand = Self.demand(configuration, prefetch: configuration.prefetch)
    backoff = configuration.settings.reconnectBackoff()
  }

  private static func demand(_ configuration: Configuration, prefetch: UInt16) -> DeliveryDemand {
    DeliveryDemand(
      prefetch: prefetch, maxBodyBytes: configuration.settings.maxBodyBytes,
      ceiling: configuration.settings.maxBufferedBytes)
  }

  func run() {
    while closeDeadline == nil {
      if cancellation == .none {
        do {
          try consumeOnce()
        } catch {
          status.isUp = false
          configuration.onEvent(.lost(generation: acks.generation, error))
          rest(until: .now() + backoff.next())
        }
      } else {
        // The subscription ended with the connection, and the owner wants no new one.
        announceCancelled()
        rest(until: .distantFuture)
      }
    }
    status.isUp = false
    _ = mailbox.close()
    configuration.onEvent(.closed)
    status.end()
  }

  /// One connection from its start to its end; returns when it was closed by the owner.
  private func consumeOnce() throws(AMQPError) {
    defer { configuration.onTurn(false) }
    let connection = try connector.connect()
    acks = AckTracker(generation: acks.generation + 1)
    (subscribed, isEnding, hasAnnouncedStart, subscriptions) = (nil, false, false, 0)
    backoff.connected(at: .now())
    try readMail(connection)
    try adjust(connection)
    while true {
      configuration.onTurn(true)
      let pause = try receive(connection)
      try readMail(connection)
      if let closeDeadline {
        connection.close(deadline: closeDeadline)
        return
      }
      switch pause {
      case .batchFull: break
      // A second is well below the shortest heartbeat's tolerance.
      case .drained: try connection.wait(mailbox: mailbox.descriptor, milliseconds: 1000)
      case .bufferFull:
        if !hasCapacity { try connection.waitWithoutReading(mailbox: mailbox.descriptor, milliseconds: 1000) }
      }
    }
  }

  /// Why no more was read.
  private enum Pause {
    case drained
    case batchFull
    /// The unsettled bodies fill the buffer.
    case bufferFull
  }

  private var hasCapacity: Bool { acks.unsettledBytes < configuration.settings.maxBufferedBytes }

  /// Reads what arrived. Deliveries read before an error are dropped: the broker redelivers them.
  private func receive(_ connection: Connection) throws(AMQPError) -> Pause {
    var batch: [Delivery] = []
    var bytes = 0
    var pause: Pause?
    while pause == nil {
      if !hasCapacity {
        pause = .bufferFull
        break
      }
      if batch.count >= configuration.maxBatch || bytes >= Self.batchBytes {
        pause = .batchFull
        break
      }
      switch try connection.next() {
      case .content(let content):
        guard let delivery = try delivery(content) else { continue }
        batch.append(delivery)
        bytes += delivery.body.count
        if subscribed != nil, !isEnding,
          let change = demand.delivered(bytes: delivery.bodySize, unsettledBytes: acks.unsettledBytes)
        {
          try apply(change, connection)
        }
      case .cancelOK:
        handOver(&batch)
        (subscribed, isEnding) = (nil, false)
        if cancellation == .asked { announceCancelled() } else { try adjust(connection) }
      case .consumerCancelled:
        throw AMQPError(
          .consumerCancelled, operation: "consume \(configuration.queue)",
          message: "the broker ended the consumer: queue deleted or moved")
      case .channelClosed(let error):
        throw error
      case .blocked(let reason):
        configuration.onEvent(.blocked(reason))
      case .unblocked:
        configuration.onEvent(.unblocked)
      case .confirm, .closeOK, .rollbackOK:
        break
      case nil:
        pause = .drained
      }
    }
    handOver(&batch)
    return pause ?? .drained
  }

  private func nextTag() -> String {
    subscriptions += 1
    return subscriptions == 1 ? configuration.consumerTag : "\(configuration.consumerTag).\(subscriptions)"
  }

  private func apply(_ change: DeliveryDemand.Change, _ connection: Connection) throws(AMQPError) {
    try connection.armed(configuration.settings.stallTimeout) { () throws(AMQPError) in
      switch change {
      case .more:
        furtherTag = nextTag()
        try connection.consumeNoWait(
          queue: configuration.queue, consumerTag: furtherTag, prefetch: demand.rest, arguments: configuration.arguments
        )
      case .less: try connection.cancelNoWait(consumerTag: furtherTag)
      }
    }
  }

  private func handOver(_ batch: inout [Delivery]) {
    guard !batch.isEmpty else { return }
    configuration.onEvent(.deliveries(batch))
    batch = []
  }

  private func delivery(_ content: ContentAssembler.Content) throws(AMQPError) -> Delivery? {
    guard case .delivery(let tag, let isRedelivered, let exchange, let routingKey) = content.opening else { return nil }
    try acks.delivered(tag: tag, bytes: content.body.count)
    return Delivery(
      tag: DeliveryTag(generation: acks.generation, value: tag), exchange: exchange, routingKey: routingKey,
      isRedelivered: isRedelivered, properties: content.properties, body: content.body, bodySize: content.bodySize,
      bodyDigest: content.bodyDigest, problem: content.problem)
  }

  private func readMail(_ connection: Connection) throws(AMQPError) {
    let commands = mailbox.drain()
    guard !commands.isEmpty else { return }
    try connection.armed(configuration.settings.stallTimeout) { () throws(AMQPError) in
      for command in commands {
        switch command {
        case .settle(let settlements):
          for settlement in settlements {
            for frame in acks.settle(settlement) { try connection.write(frame) }
          }
        case .demand(let prefetch):
          want(prefetch)
        case .cancel where cancellation == .none:
          cancellation = .asked
          if subscribed == nil { announceCancelled() } else if !isEnding { try end(connection) }
        case .cancel:
          break
        case .close(let deadline):
          record(deadline)
        }
      }
      // Relative to what is granted, not to the whole prefetch: no more arrives while the first is unsettled.
      let gaps = closeDeadline == nil && subscribed != nil ? demand.granted / 4 * 3 : 0
      for frame in acks.flush(keeping: gaps) { try connection.write(frame) }
    }
    try adjust(connection)
  }

  /// Makes the subscription match what the owner wants. A prefetch applies to later subscriptions only, so a new
  /// prefetch needs a new subscription; deliveries of the old one can still be settled.
  private func adjust(_ connection: Connection) throws(AMQPError) {
    guard cancellation == .none, closeDeadline == nil, !isEnding else { return }
    guard subscribed != wanted else {
      if wanted == nil { (status.isUp, status.isIdle) = (false, true) }
      return
    }
    guard subscribed == nil, let wanted else {
      try connection.armed(configuration.settings.stallTimeout) { () throws(AMQPError) in try end(connection) }
      return
    }
    demand = Self.demand(configuration, prefetch: wanted)
    tag = nextTag()
    try connection.consume(
      queue: configuration.queue, consumerTag: tag, prefetch: demand.share, arguments: configuration.arguments)
    subscribed = wanted
    status.isUp = true
    guard !hasAnnouncedStart else { return }
    hasAnnouncedStart = true
    configuration.onEvent(.started(generation: acks.generation))
  }

  private func end(_ connection: Connection) throws(AMQPError) {
    if demand.asksForRest { try connection.cancelNoWait(consumerTag: furtherTag) }
    try connection.requestCancel(consumerTag: tag)
    isEnding = true
  }

  private func want(_ prefetch: UInt16?) {
    wanted = prefetch
    if prefetch != nil { status.isIdle = false }
  }

  /// Waits without a connection, until the deadline or a command that matters.
  private func rest(until deadline: MonotonicInstant) {
    while closeDeadline == nil {
      for command in mailbox.drain() {
        switch command {
        case .settle: break  // of a channel that is gone
        case .demand(let prefetch):
          want(prefetch)
          status.isIdle = prefetch == nil
        case .cancel:
          if cancellation != .none { break }
          cancellation = .asked
          return
        case .close(let deadline): record(deadline)
        }
      }
      let now = MonotonicInstant.now()
      guard closeDeadline == nil, now < deadline else { return }
      mailbox.wait(milliseconds: deadline == .distantFuture ? -1 : deadline.millisecondsLeft(from: now))
    }
  }

  private func record(_ deadline: MonotonicInstant) { closeDeadline = min(closeDeadline ?? .distantFuture, deadline) }

  private func announceCancelled() {
    guard cancellation != .done else { return }
    cancellation = .done
    status.isUp = false
    configuration.onEvent(.cancelled)
  }
}
