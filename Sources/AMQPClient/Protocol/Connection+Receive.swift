import ConnectionThreads
import CRabbitMQ
import Glibc

extension Connection {
  /// The next event, without waiting; nil when everything that arrived is read. Also keeps up the heartbeat.
  ///
  /// Reads frame by frame, because the library's functions for whole messages lose frames of channel 0 in between.
  func next() throws(AMQPError) -> Event? {
    // Reading may send a heartbeat, and a send has no deadline of its own. Armed for each frame, so that a large
    // message on a slow line may take as long as it needs while frames arrive.
    let limit = (settings.stallTimeout + .seconds(1)).wholeNanoseconds
    let before = stallGuard?.arm(until: .distantFuture)
    defer { stallGuard?.arm(until: before ?? .distantFuture) }
    while true {
      stallGuard?.arm(until: .now().advanced(byNanoseconds: limit))
      var frame = amqp_frame_t()
      var noWait = timeval(tv_sec: 0, tv_usec: 0)
      let status = amqp_simple_wait_frame_noblock(state, &frame, &noWait)
      if status == AMQP_STATUS_TIMEOUT.rawValue { return nil }
      try check(status, "receive")
      // Runs after the frame is copied. Without it the library's memory grows with every frame (rabbitmq-c#211).
      defer { amqp_maybe_release_buffers_on_channel(state, frame.channel) }
      let event = frame.channel == 0 ? try connectionFrame(frame) : try channelFrame(frame)
      if let event { return event }
    }
  }

  private func connectionFrame(_ frame: amqp_frame_t) throws(AMQPError) -> Event? {
    guard Int32(frame.frame_type) == AMQP_FRAME_METHOD else { return nil }
    switch frame.payload.method.id {
    case AMQP_CONNECTION_CLOSE_METHOD:
      throw connectionClosed(frame.payload.method.decoded, "use the connection")
    case AMQP_CONNECTION_BLOCKED_METHOD:
      let blocked = frame.payload.method.decoded.assumingMemoryBound(to: amqp_connection_blocked_t.self)
      return .blocked(reason: WireDecoder.text(blocked.pointee.reason))
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
      return .unblocked
    case AMQP_CONNECTION_CLOSE_OK_METHOD:
      return .closeOK
    default:
      return nil
    }
  }

  private func channelFrame(_ frame: amqp_frame_t) throws(AMQPError) -> Event? {
    // After a refusal the broker may still send what it had under way; it belongs to a channel that is gone.
    guard isChannelOpen else { return nil }
    switch Int32(frame.frame_type) {
    case AMQP_FRAME_METHOD:
      return try method(frame.payload.method)
    case AMQP_FRAME_HEADER:
      guard let decoded = frame.payload.properties.decoded, Int32(frame.payload.properties.class_id) == AMQP_BASIC_CLASS
      else {
        throw AMQPError(.protocolViolation, operation: "receive", message: "a content header of a foreign class")
      }
      let (properties, isTooDeep) = decoder.properties(decoded.assumingMemoryBound(to: amqp_basic_properties_t.self))
      return try assembler.header(
        size: frame.payload.properties.body_size, properties: properties, isTooDeep: isTooDeep
      )
      .map(Event.content)
    case AMQP_FRAME_BODY:
      let fragment = frame.payload.body_fragment
      return try assembler.body(UnsafeRawBufferPointer(start: fragment.bytes, count: fragment.len)).map(Event.content)
    default:
      return nil
    }
  }

  private func method(_ method: amqp_method_t) throws(AMQPError) -> Event? {
    switch method.id {
    case AMQP_BASIC_DELIVER_METHOD:
      let deliver = method.decoded.assumingMemoryBound(to: amqp_basic_deliver_t.self).pointee
      try assembler.open(
        .delivery(
          tag: deliver.delivery_tag, isRedelivered: deliver.redelivered != 0,
          exchange: exchanges.text(deliver.exchange),
          routingKey: routingKeys.text(deliver.routing_key)))
    case AMQP_BASIC_RETURN_METHOD:
      let returned = method.decoded.assumingMemoryBound(to: amqp_basic_return_t.self).pointee
      try assembler.open(
        .returned(
          code: Int(returned.reply_code), text: WireDecoder.text(returned.reply_text),
          exchange: exchanges.text(returned.exchange),
          routingKey: routingKeys.text(returned.routing_key)))
    case AMQP_BASIC_ACK_METHOD:
      let ack = method.decoded.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee
      return .confirm(sequence: ack.delivery_tag, multiple: ack.multiple != 0, isAck: true)
    case AMQP_BASIC_NACK_METHOD:
      let nack = method.decoded.assumingMemoryBound(to: amqp_basic_nack_t.self).pointee
      return .confirm(sequence: nack.delivery_tag, multiple: nack.multiple != 0, isAck: false)
    case AMQP_BASIC_CANCEL_METHOD:
      return .consumerCancelled
    case AMQP_BASIC_CANCEL_OK_METHOD:
      return .cancelOK
    case AMQP_TX_ROLLBACK_OK_METHOD:
      return .rollbackOK
    case AMQP_BASIC_QOS_OK_METHOD:
      break  // of `consumeNoWait`, which did not wait for it
    case AMQP_CHANNEL_CLOSE_METHOD:
      return .channelClosed(try channelClosed(method.decoded, "use the channel"))
    default:
      throw AMQPError(.protocolViolation, operation: "receive", message: "unexpected method \(method.id)")
    }
    return nil
  }
}
