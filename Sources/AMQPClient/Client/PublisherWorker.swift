import ConnectionThreads

/// The thread of an `AMQPPublisher`: reads confirms, publishes as far as the window and the socket allow, sleeps in
/// `poll`.
final class PublisherWorker {
  struct Configuration: Sendable {
    let settings: AMQPConnectionSettings
    let window: Int
    let windowBytes: Int
    let confirmTimeout: Duration
    let onTurn: @Sendable (Bool) -> Void
    let onEvent: @Sendable (PublisherEvent) -> Void
  }

  enum Command: Sendable {
    case publish([OutboundMessage], PublishGate?, @Sendable ([PublishOutcome]) -> Void)
    /// To be called once nothing is under way that its gate would not let through now.
    case settle(@Sendable () -> Void)
    case close(deadline: MonotonicInstant)
  }

  /// Why publishing paused.
  private enum Pause {
    case nothingLeft
    /// The window is full or the broker blocks; a confirm or an unblock will arrive.
    case windowFull
    case socketFull
    /// Time to read what arrived.
    case burstDone
  }

  /// Confirms are read after this many messages at the latest: unread ones could block the broker, and then this
  /// client.
  private static let burst = 64
  /// The socket's capacity is checked after this many bytes or messages.
  private static let strideBytes = 16 << 10
  private static let strideMessages = 16
  /// How often gates are asked again, in milliseconds.
  private static let gatePoll: Int32 = 100
  /// For how long messages may be under way after their gate has closed. Then the connection is reset, so that what is
  /// still on its way does not arrive later.
  private static let gateTimeout = Duration.milliseconds(400)

  let configuration: Configuration
  private let mailbox: Mailbox<Command>
  private let status: ConnectionStatus
  private var connector: Connector
  private var backoff: Backoff
  var renewal = ChannelRenewal()
  var refusals = RefusedExchanges()
  private var queue = PublishQueue()
  var tracker = ConfirmTracker<PublishQueue.Position>()
  var isBlocked = false {
    didSet { status.isBlocked = isBlocked }
  }
  /// Called once nothing is under way that its gate would not let through now.
  private var settling: [@Sendable () -> Void] = []
  /// The last message with a gate that was accepted for writing, and the last one that is not flushed.
  private var gated: PublishQueue.Position?
  private var unflushed: PublishQueue.Position?
  /// Since when messages are under way whose gate makes others wait.
  private var waitingSince: MonotonicInstant?
  private var closeDeadline: MonotonicInstant?
  /// The oldest unconfirmed message, and since when it is the oldest. The time of the last confirm would not do: one
  /// stalled queue must show although others make progress.
  private var oldest: (sequence: UInt64?, since: MonotonicInstant) = (nil, .distantPast)

  init(_ configuration: Configuration, mailbox: Mailbox<Command>, status: ConnectionStatus) {
    self.configuration = configuration
    self.mailbox = mailbox
    self.status = status
    connector = Connector(settings: configuration.settings, use: .publishing)
    backoff = configuration.settings.reconnectBackoff()
  }

  static func closedError() -> AMQPError {
    AMQPError(.shutdown, operation: "publish", message: "the publisher was closed before the message was written")
  }

  /// Answers a command that came after the end.
  static func refuse(_ command: Command) {
    switch command {
    case .publish(let messages, _, let completion): completion(messages.map { _ in .failed(closedError()) })
    case .settle(let completion): completion()
    case .close: break
    }
  }

  func run() {
    while !isDone {
      do {
        try publishOnce()
      } catch {
        status.isUp = false
        isBlocked = false
        refusals.lost()
        (gated, unflushed) = (nil, nil)
        for position in tracker.reset() { position.resolve(.unknown(error)) }
        configuration.onEvent(.lost(error))
        rest(until: .now() + backoff.next())
      }
    }
    status.isUp = false
    for command in mailbox.close() { Self.refuse(command) }
    for position in queue.removeAll() { position.resolve(.failed(Self.closedError())) }
    for completion in settling { completion() }
    configuration.onEvent(.closed)
    status.end()
  }

  /// Whether it is closing, and nothing is left or the deadline has passed.
  private var isDone: Bool {
    guard let closeDeadline else { return false }
    return (queue.isEmpty && tracker.outstandingCount == 0) || MonotonicInstant.now() >= closeDeadline
  }

  /// One connection from its start to its end; returns when it was closed by the owner.
  private func publishOnce() throws(AMQPError) {
    defer { configuration.onTurn(false) }
    let connection = try connector.connect()
    try connection.selectConfirms()
    isBlocked = false
    oldest = (nil, .now())
    backoff.connected(at: oldest.since)
    renewal.opened(at: oldest.since)
    status.isUp = true
    configuration.onEvent(.connected)
    while true {
      configuration.onTurn(true)
      try receive(connection)
      readMail()
      if isDone { break }
      try checkProgress()
      try checkGate(connection)
      let pause = try isRenewalDue ? renew(connection) : send(connection)
      if pause == .burstDone { continue }
      try connection.wait(
        mailbox: mailbox.descriptor, forWriting: pause == .socketFull, milliseconds: sleepMilliseconds)
    }
    let isClean = tracker.outstandingCount == 0
    for position in tracker.reset() {
      position.resolve(
        .unknown(AMQPError(.shutdown, operation: "publish", message: "closed before the broker confirmed it")))
    }
    // A blocked or silent broker would not reply to `connection.close` either.
    if isClean, !isBlocked, let closeDeadline { connection.close(deadline: closeDeadline) }
  }

  private var sleepMilliseconds: Int32 {
    // A gate closes and opens with time, and nothing wakes this thread then.
    let limit: Int32 = queue.hasWaiting || gated != nil ? Self.gatePoll : 1000
    return min(limit, closeDeadline?.millisecondsLeft() ?? limit)
  }

  private func checkProgress() throws(AMQPError) {
    let now = MonotonicInstant.now()
    guard let open = tracker.oldest, open.sequence == oldest.sequence, !isBlocked else {
      oldest = (tracker.oldest?.sequence, now)
      return
    }
    guard now < oldest.since + configuration.confirmTimeout else {
      let message = open.item.message
      throw AMQPError(
        .timeout, operation: "wait for confirms",
        message:
          """
          no answer for \(configuration.confirmTimeout) to a message for exchange '\(message.exchange)' with key \
          '\(message.routingKey)'; a queue behind it may have no leader
          """)
    }
  }

  private func readMail() {
    for command in mailbox.drain() {
      switch command {
      case .publish(let messages, let gate, let completion):
        if closeDeadline == nil {
          queue.append(messages, gate, completion)
        } else {
          completion(messages.map { _ in .failed(Self.closedError()) })
        }
      case .settle(let completion): settling.append(completion)
      case .close(let deadline):
        closeDeadline = min(closeDeadline ?? .distantFuture, deadline)
      }
    }
    guard !settling.isEmpty, !tracker.contains(where: { $0.verdict != .open }) else { return }
    for completion in settling { completion() }
    settling = []
  }

  /// Waits without a connection, until the deadline or until it is done.
  private func rest(until deadline: MonotonicInstant) {
    while true {
      readMail()
      let now = MonotonicInstant.now()
      let deadline = min(deadline, closeDeadline ?? .distantFuture)
      guard !isDone, now < deadline else { return }
      mailbox.wait(milliseconds: deadline.millisecondsLeft(from: now))
    }
  }
}

// MARK: Writing

extension PublisherWorker {
  /// Not while blocked, because the broker would not reply, nor while closing, which has a deadline.
  private var isRenewalDue: Bool {
    !queue.isEmpty && !isBlocked && closeDeadline == nil && renewal.isDue(at: .now())
  }

  /// Waits for the outstanding confirms first: closing the channel would make those messages `unknown`.
  private func renew(_ connection: Connection) throws(AMQPError) -> Pause {
    guard tracker.outstandingCount == 0 else {
      renewal.postponeIfTimedOut(at: .now())
      return .windowFull
    }
    try connection.reopenChannel()
    try connection.selectConfirms()
    _ = tracker.reset()
    renewal.opened(at: .now())
    return .burstDone
  }

  private func send(_ connection: Connection) throws(AMQPError) -> Pause {
    defer { connection.stallGuard?.disarm() }
    queue.resume()
    let pause = try publish(on: connection)
    try flush(connection)
    return pause
  }

  /// The process may have stood still since the gate was asked. Then nothing of what is buffered is written.
  private func flush(_ connection: Connection) throws(AMQPError) {
    if let unflushed, unflushed.verdict == .waiting { throw reset(connection) }
    unflushed = nil
    try connection.flush()
  }

  private func checkGate(_ connection: Connection) throws(AMQPError) {
    guard let last = gated else { return }
    if tracker.outstandingCount == 0 { gated = nil }
    guard last.verdict == .waiting, tracker.contains(where: { $0.verdict == .waiting }) else {
      waitingSince = nil
      return
    }
    let since = waitingSince ?? .now()
    waitingSince = since
    guard MonotonicInstant.now() < since + Self.gateTimeout else { throw reset(connection) }
  }

  private func reset(_ connection: Connection) -> AMQPError {
    waitingSince = nil
    SocketOptions.resetAtClose(connection.descriptor)
    return AMQPError(
      .timeout, operation: "publish", message: "the right to publish ran out before the broker had confirmed everything"
    )
  }

  private func publish(on connection: Connection) throws(AMQPError) -> Pause {
    var written = 0
    // Both start at the limit, so that the first message checks the capacity.
    var strideBytes = Self.strideBytes
    var strideMessages = Self.strideMessages
    while let position = queue.first {
      // Confirms may have arrived, and writing over TLS may have made the library read: handle that before sleeping.
      if written >= Self.burst { return .burstDone }
      let message = position.message
      // First: a message that can never be sent fails with its own error, whatever the exchange refuses.
      if let error = connection.publishError(message) {
        queue.removeFirst()
        position.resolve(.failed(error))
        continue
      }
      if !refusals.isEmpty {
        switch verdict(on: message) {
        case .send: break
        case .wait: return written > 0 ? .burstDone : .windowFull
        case .refused(let error):
          queue.removeFirst()
          position.resolve(.failed(error))
          continue
        }
      }
      guard !isBlocked, hasWindow(for: message) else { return written > 0 ? .burstDone : .windowFull }
      if strideBytes >= Self.strideBytes || strideMessages >= Self.strideMessages {
        try flush(connection)
        guard connection.hasCapacity() else { return written > 0 ? .burstDone : .socketFull }
        strideBytes = 0
        strideMessages = 0
      }
      switch position.verdict {
      case .open: break
      case .waiting:
        queue.putAside()
        continue
      case .held(let reason):
        queue.removeFirst()
        position.resolve(.held(by: reason))
        continue
      }
      try write(message, at: position, connection)
      written += 1
      strideMessages += 1
      strideBytes += message.body.count
    }
    return written > 0 ? .burstDone : .nothingLeft
  }

  private func write(_ message: OutboundMessage, at position: PublishQueue.Position, _ connection: Connection)
    throws(AMQPError)
  {
    queue.removeFirst()
    if position.hasGate { (gated, unflushed) = (position, position) }
    // Recorded before the write: from here on the message may have left.
    tracker.published(
      position, bytes: message.body.count,
      identity: message.isMandatory
        ? .init(exchange: message.exchange, routingKey: message.routingKey, messageID: message.properties.messageID)
        : nil)
    connection.stallGuard?.arm(
      until: min(closeDeadline ?? .distantFuture, .now() + configuration.settings.stallTimeout))
    try connection.publish(message)
  }

  private func verdict(on message: OutboundMessage) -> RefusedExchanges.Verdict {
    refusals.verdict(
      exchange: message.exchange, routingKey: message.routingKey, outstanding: tracker.outstandingCount,
      now: .now())
  }

  private func hasWindow(for message: OutboundMessage) -> Bool {
    guard tracker.outstandingCount > 0 else { return true }
    return tracker.outstandingCount < configuration.window
      && tracker.outstandingBytes + message.body.count <= configuration.windowBytes
  }
}
