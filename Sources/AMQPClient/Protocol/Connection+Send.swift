import CRabbitMQ

/// Everything that is written without waiting for an answer, and the requests of consumer and publisher.
extension Connection {
  func write(_ frame: AckTracker.Frame) throws(AMQPError) {
    switch frame {
    case .ack(let tag, let multiple):
      try check(amqp_basic_ack(state, Self.channel, tag, multiple ? 1 : 0), "basic.ack")
    case .reject(let tag, let requeue):
      try check(amqp_basic_reject(state, Self.channel, tag, requeue ? 1 : 0), "basic.reject")
    case .nack(let tag, let multiple, let requeue):
      try check(amqp_basic_nack(state, Self.channel, tag, multiple ? 1 : 0, requeue ? 1 : 0), "basic.nack")
    }
  }

  /// Accepts a message whose size was checked with `publishError`. It is written by the time `flush` returns. Over TLS
  /// rabbitmq-c writes: the first message at once, later ones corked into full segments.
  func publish(_ message: OutboundMessage) throws(AMQPError) {
    defer { arena.recycle() }
    var properties = arena.properties(message.properties)
    let exchange = arena.bytes(message.exchange)
    let routingKey = arena.bytes(message.routingKey)
    let mandatory: amqp_boolean_t = message.isMandatory ? 1 : 0
    let status = message.body.withUnsafeBytes { body in
      guard settings.tls == nil else {
        if writtenByLibrary == 1 { SocketOptions.setCork(descriptor, true) }
        writtenByLibrary += 1
        let bytes = amqp_bytes_t(len: body.count, bytes: UnsafeMutableRawPointer(mutating: body.baseAddress))
        return amqp_basic_publish(state, Self.channel, exchange, routingKey, mandatory, 0, &properties, bytes)
      }
      var method = amqp_basic_publish_t(
        ticket: 0, exchange: exchange, routing_key: routingKey, mandatory: mandatory, immediate: 0)
      return frames.append(&method, &properties, body: body, channel: Self.channel, frameMax: frameMax)
    }
    try check(status, "basic.publish")
    if frames.count >= FrameBuffer.limit { try flush() }
  }

  /// Why a message cannot be written at all, if so. Writing it nevertheless would break the connection for the others.
  func publishError(_ message: OutboundMessage) -> AMQPError? {
    do {
      _ = try PropertySize.short(message.exchange, "exchange name")
      _ = try PropertySize.short(message.routingKey, "routing key")
      let size = try PropertySize.of(message.properties)
      // Frame header 7, class, weight and body size 12, frame end 1.
      guard size + 20 <= frameMax else {
        return PropertySize.tooLarge("properties take \(size) bytes; a frame holds \(frameMax - 20)")
      }
      guard message.body.count <= settings.maxBodyBytes else {
        return PropertySize.tooLarge("the body has \(message.body.count) bytes; the limit is \(settings.maxBodyBytes)")
      }
      return nil
    } catch {
      return error
    }
  }

  func selectConfirms() throws(AMQPError) {
    try armed(settings.rpcTimeout) { () throws(AMQPError) in
      _ = amqp_confirm_select(state, Self.channel)
      try checkReply("confirm.select")
    }
  }

  func consume(queue: String, consumerTag: String, prefetch: UInt16, arguments: FieldTable) throws(AMQPError) {
    defer { arena.recycle() }
    try armed(settings.rpcTimeout) { () throws(AMQPError) in
      _ = amqp_basic_qos(state, Self.channel, 0, prefetch, 0)
      try checkReply("basic.qos")
      _ = amqp_basic_consume(
        state, Self.channel, arena.bytes(queue), arena.bytes(consumerTag), 0, 0, 0, arena.table(arguments))
      try checkReply("basic.consume \(queue)")
    }
  }

  /// Subscribes once more on the same channel, without waiting for an answer: a prefetch counts for subscriptions that
  /// come after it.
  func consumeNoWait(queue: String, consumerTag: String, prefetch: UInt16, arguments: FieldTable) throws(AMQPError) {
    defer { arena.recycle() }
    var limit = amqp_basic_qos_t(prefetch_size: 0, prefetch_count: prefetch, global: 0)
    try check(amqp_send_method(state, Self.channel, AMQP_BASIC_QOS_METHOD, &limit), "basic.qos")
    var consume = amqp_basic_consume_t(
      ticket: 0, queue: arena.bytes(queue), consumer_tag: arena.bytes(consumerTag), no_local: 0, no_ack: 0,
      exclusive: 0, nowait: 1,
      arguments: arena.table(arguments))
    try check(amqp_send_method(state, Self.channel, AMQP_BASIC_CONSUME_METHOD, &consume), "basic.consume \(queue)")
  }

  /// Cancels such a subscription with no-wait. Its unacknowledged deliveries still have to be settled.
  func cancelNoWait(consumerTag: String) throws(AMQPError) {
    defer { arena.recycle() }
    var cancel = amqp_basic_cancel_t(consumer_tag: arena.bytes(consumerTag), nowait: 1)
    try check(amqp_send_method(state, Self.channel, AMQP_BASIC_CANCEL_METHOD, &cancel), "basic.cancel")
  }

  /// Asks the broker to stop delivering; the answer comes as an event, after what was under way.
  func requestCancel(consumerTag: String) throws(AMQPError) {
    defer { arena.recycle() }
    var cancel = amqp_basic_cancel_t(consumer_tag: arena.bytes(consumerTag), nowait: 0)
    try check(amqp_send_method(state, Self.channel, AMQP_BASIC_CANCEL_METHOD, &cancel), "basic.cancel")
  }
}
