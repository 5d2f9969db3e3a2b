import ConnectionThreads
import CRabbitMQ

/// Requests about exchanges, queues and single messages. A refusal closes the channel; `request` opens a new one first.
extension Connection {
  func exchangeDeclare(_ exchange: ExchangeDeclaration, passive: Bool) throws(AMQPError) {
    try request("declare exchange \(exchange.name)") {
      _ = amqp_exchange_declare(
        state, Self.channel, arena.bytes(exchange.name), arena.bytes(exchange.kind), passive ? 1 : 0,
        exchange.isDurable ? 1 : 0, 0, 0,
        arena.table(exchange.arguments))
    }
  }

  @discardableResult
  func queueDeclare(_ queue: QueueDeclaration, passive: Bool) throws(AMQPError) -> QueueState {
    try request("declare queue \(queue.name)") {
      amqp_queue_declare(
        state, Self.channel, arena.bytes(queue.name), passive ? 1 : 0, queue.isDurable ? 1 : 0, 0, 0,
        arena.table(queue.arguments)
      ).map { QueueState(ready: Int($0.pointee.message_count), consumers: Int($0.pointee.consumer_count)) }
        ?? QueueState(ready: 0, consumers: 0)
    }
  }

  func bind(_ binding: Binding) throws(AMQPError) {
    try request("bind queue \(binding.queue) to \(binding.exchange)") {
      _ = amqp_queue_bind(
        state, Self.channel, arena.bytes(binding.queue), arena.bytes(binding.exchange), arena.bytes(binding.routingKey),
        arena.table(binding.arguments))
    }
  }

  func unbind(_ binding: Binding) throws(AMQPError) {
    try request("unbind queue \(binding.queue) from \(binding.exchange)") {
      _ = amqp_queue_unbind(
        state, Self.channel, arena.bytes(binding.queue), arena.bytes(binding.exchange), arena.bytes(binding.routingKey),
        arena.table(binding.arguments))
    }
  }

  func purge(queue: String) throws(AMQPError) -> Int {
    try request("purge queue \(queue)") {
      amqp_queue_purge(state, Self.channel, arena.bytes(queue)).map { Int($0.pointee.message_count) } ?? 0
    }
  }

  func delete(queue: String) throws(AMQPError) {
    try request("delete queue \(queue)") { _ = amqp_queue_delete(state, Self.channel, arena.bytes(queue), 0, 0) }
  }

  /// The broker checks permission and existence when a message is published, and delivers none of a transaction that is
  /// rolled back.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait for a broker that takes no messages.
  ///   - onBlocked: called with the broker's reason.
  func checkPublish(
    exchange: String, routingKey: String, userID: String?, timeout: Duration, onBlocked: (String) -> Void
  ) throws(AMQPError) {
    let operation = "publish to exchange \(exchange)"
    try request(operation) { _ = amqp_tx_select(state, Self.channel) }
    let properties = MessageProperties(userID: userID)
    try publish(
      OutboundMessage(exchange: exchange, routingKey: routingKey, properties: properties, body: [], isMandatory: false))
    try flush()
    // Not as a request: while rabbitmq-c waits for the answer, it does not report `connection.blocked`.
    var rollback = amqp_tx_rollback_t()
    try check(amqp_send_method(state, Self.channel, AMQP_TX_ROLLBACK_METHOD, &rollback), operation)
    var deadline = MonotonicInstant.now() + settings.rpcTimeout
    var reason: String?
    while true {
      switch try next() {
      case .rollbackOK:
        // The channel stays in tx mode, so it is replaced.
        return try reopenChannel()
      case .channelClosed(let error):
        throw AMQPError(error.code, nativeCode: error.nativeCode, operation: operation, message: error.message)
      case .blocked(let why):
        reason = why
        deadline = .now() + timeout
        if timeout > .zero { onBlocked(why) }
      case .unblocked:
        reason = nil
        deadline = .now() + settings.rpcTimeout
      case nil:
        let now = MonotonicInstant.now()
        guard now < deadline else {
          if let reason { throw AMQPError(.blocked, operation: operation, message: reason) }
          throw AMQPError(.timeout, operation: operation, message: "no answer within \(settings.rpcTimeout)")
        }
        try wait(mailbox: -1, milliseconds: min(1000, deadline.millisecondsLeft(from: now)))
      default: continue
      }
    }
  }

  /// The broker checks permission and existence before it refuses an argument of a wrong type.
  func checkConsume(queue: String) throws(AMQPError) {
    do throws(AMQPError) {
      try request("consume queue \(queue)") {
        _ = amqp_basic_consume(
          state, Self.channel, arena.bytes(queue), arena.bytes("journey-check"), 0, 0, 0,
          arena.table(["x-priority": "none"]))
      }
    } catch  where error.code == .preconditionFailed {
      return
    }
    // The broker accepted it after all. Closing the channel requeues what was delivered.
    try reopenChannel()
  }

  /// Nil when the queue is empty. The tag's generation is 0: it is settled before any other use.
  func get(queue: String, acknowledging: Bool) throws(AMQPError) -> Delivery? {
    if !isChannelOpen { try openChannel() }
    defer { arena.recycle() }
    let operation = "get from queue \(queue)"
    return try armed(settings.rpcTimeout) { () throws(AMQPError) in
      let reply = amqp_basic_get(state, Self.channel, arena.bytes(queue), acknowledging ? 1 : 0)
      try checkReply(reply, operation)
      guard reply.reply.id == AMQP_BASIC_GET_OK_METHOD else { return nil }
      let found = reply.reply.decoded.assumingMemoryBound(to: amqp_basic_get_ok_t.self).pointee
      try assembler.open(
        .delivery(
          tag: found.delivery_tag, isRedelivered: found.redelivered != 0, exchange: WireDecoder.text(found.exchange),
          routingKey: WireDecoder.text(found.routing_key)))
      let content = try content(by: .now() + settings.rpcTimeout, operation)
      if !acknowledging { try write(.nack(tag: found.delivery_tag, multiple: false, requeue: true)) }
      guard case .delivery(let tag, let isRedelivered, let exchange, let routingKey) = content.opening else {
        return nil
      }
      return Delivery(
        tag: DeliveryTag(generation: 0, value: tag), exchange: exchange, routingKey: routingKey,
        isRedelivered: isRedelivered,
        properties: content.properties, body: content.body, bodySize: content.bodySize, bodyDigest: content.bodyDigest,
        problem: content.problem)
    }
  }

  /// The rest of a message whose method frame is read.
  private func content(by deadline: MonotonicInstant, _ operation: String) throws(AMQPError) -> ContentAssembler.Content
  {
    while true {
      switch try next() {
      case .content(let content): return content
      case .channelClosed(let error): throw error
      case nil:
        let now = MonotonicInstant.now()
        guard now < deadline else {
          throw AMQPError(.timeout, operation: operation, message: "the message did not come in full")
        }
        try wait(mailbox: -1, milliseconds: deadline.millisecondsLeft(from: now))
      default: continue
      }
    }
  }

  private func request<R>(_ operation: String, _ call: () -> R) throws(AMQPError) -> R {
    if !isChannelOpen { try openChannel() }
    defer {
      arena.recycle()
      amqp_maybe_release_buffers_on_channel(state, Self.channel)
    }
    return try armed(settings.rpcTimeout) { () throws(AMQPError) in
      let result = call()
      try checkReply(operation)
      return result
    }
  }
}
