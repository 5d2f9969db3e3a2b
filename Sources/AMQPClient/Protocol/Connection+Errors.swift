import CRabbitMQ

/// Turns what the library and the broker report into errors.
extension Connection {
  func lost(_ message: String) -> AMQPError {
    AMQPError(.connectionLost, operation: "use the connection", message: message)
  }

  func check(_ status: Int32, _ operation: @autoclosure () -> String) throws(AMQPError) {
    guard status != AMQP_STATUS_OK.rawValue else { return }
    throw LibraryStatus.error(status, operation: operation(), wasStalled: stallGuard?.fired ?? false)
  }

  /// Turns the outcome of the library's last request into an error, and answers a `channel.close`.
  func checkReply(_ operation: @autoclosure () -> String) throws(AMQPError) {
    try checkReply(amqp_get_rpc_reply(state), operation())
  }

  func checkReply(_ reply: amqp_rpc_reply_t, _ operation: @autoclosure () -> String)
    throws(AMQPError)
  {
    switch reply.reply_type {
    case AMQP_RESPONSE_NORMAL:
      return
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
      try check(reply.library_error, operation())
    case AMQP_RESPONSE_SERVER_EXCEPTION where reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD:
      throw try channelClosed(reply.reply.decoded, operation())
    case AMQP_RESPONSE_SERVER_EXCEPTION where reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD:
      throw connectionClosed(reply.reply.decoded, operation())
    default:
      throw lost("the library has no answer to \(operation())")
    }
  }

  /// Answers a `channel.close`: without that the channel number cannot be used again (rabbitmq-c#479).
  func channelClosed(_ method: UnsafeMutableRawPointer, _ operation: String) throws(AMQPError)
    -> AMQPError
  {
    let close = method.assumingMemoryBound(to: amqp_channel_close_t.self).pointee
    let code = Int(close.reply_code)
    let text = WireDecoder.text(close.reply_text)
    let error = AMQPError(
      AMQPError.Code(replyCode: code, text: text, closesChannel: true), nativeCode: code, operation: operation,
      message: text)
    isChannelOpen = false
    var answer = amqp_channel_close_ok_t()
    try check(amqp_send_method(state, Self.channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &answer), "channel.close-ok")
    return error
  }

  func connectionClosed(_ method: UnsafeMutableRawPointer, _ operation: String) -> AMQPError {
    let close = method.assumingMemoryBound(to: amqp_connection_close_t.self).pointee
    let code = Int(close.reply_code)
    isClosed = true
    var answer = amqp_connection_close_ok_t()
    _ = amqp_send_method(state, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &answer)
    let text = WireDecoder.text(close.reply_text)
    return AMQPError(
      AMQPError.Code(replyCode: code, text: text, closesChannel: false), nativeCode: code, operation: operation,
      message: text)
  }
}
