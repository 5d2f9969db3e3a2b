import CRabbitMQ

/// The meaning of rabbitmq-c's negative status codes.
enum LibraryStatus {
  static func error(_ status: Int32, operation: String, wasStalled: Bool) -> AMQPError {
    if wasStalled {
      return AMQPError(
        .timeout, nativeCode: Int(status), operation: operation,
        message: "made no progress within its deadline; the connection was cut")
    }
    let message = amqp_error_string2(status).map { String(cString: $0) } ?? "unknown error"
    return AMQPError(code(status), nativeCode: Int(status), operation: operation, message: message)
  }

  private static func code(_ status: Int32) -> AMQPError.Code {
    switch amqp_status_enum_(status) {
    case AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED: .connectFailed
    case AMQP_STATUS_SOCKET_ERROR, AMQP_STATUS_CONNECTION_CLOSED, AMQP_STATUS_SOCKET_CLOSED, AMQP_STATUS_TCP_ERROR,
      AMQP_STATUS_HEARTBEAT_TIMEOUT:
      .connectionLost
    case AMQP_STATUS_TIMEOUT: .timeout
    case AMQP_STATUS_SSL_ERROR, AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED, AMQP_STATUS_SSL_PEER_VERIFY_FAILED,
      AMQP_STATUS_SSL_CONNECTION_FAILED, AMQP_STATUS_SSL_SET_ENGINE_FAILED:
      .tls
    case AMQP_STATUS_BAD_AMQP_DATA, AMQP_STATUS_UNKNOWN_CLASS, AMQP_STATUS_UNKNOWN_METHOD,
      AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION,
      AMQP_STATUS_WRONG_METHOD, AMQP_STATUS_UNEXPECTED_STATE:
      .protocolViolation
    case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD: .authentication
    case AMQP_STATUS_TABLE_TOO_BIG: .tooLarge
    case AMQP_STATUS_INVALID_PARAMETER: .invalidArgument
    default: .internalError
    }
  }
}
