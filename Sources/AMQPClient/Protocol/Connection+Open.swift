import CRabbitMQ
import Glibc

extension Connection {
  /// Lets the library read frames above the agreed size.
  ///
  /// Dead-lettering adds headers, and the broker always sends a content header in one frame. The library would reject a
  /// larger frame, and the broker would redeliver the message forever.
  func raiseFrameLimit() throws(AMQPError) {
    try check(
      amqp_tune_connection(state, amqp_get_channel_max(state), 1 << 20, amqp_get_heartbeat(state)),
      "tune the connection")
  }

  /// Connects within `connectTimeout`. The result guards every later write on the socket.
  func openSocket(to endpoint: AMQPConnectionSettings.Endpoint) throws(AMQPError) -> WriteTimeout {
    let operation = "connect to \(endpoint)"
    let socket = if let tls = settings.tls { try secureSocket(tls, operation) } else { try plainSocket(operation) }
    var timeout = settings.connectTimeout.timeval
    do {
      try check(amqp_socket_open_noblock(socket, endpoint.host, Int32(endpoint.port), &timeout), operation)
    } catch  where error.code == .connectionLost {
      // The library reports a refused connection like a lost one.
      throw AMQPError(
        .connectFailed, nativeCode: error.nativeCode, operation: operation,
        message: "\(endpoint) does not answer (\(error.message))")
    }
    guard let stallGuard = WriteTimeout(socket: descriptor) else {
      throw AMQPError(.connectFailed, operation: operation, message: "the process has no file descriptor left")
    }
    SocketOptions.apply(to: descriptor, userTimeout: settings.tcpUserTimeout)
    return stallGuard
  }

  private func plainSocket(_ operation: String) throws(AMQPError) -> OpaquePointer {
    guard let socket = amqp_tcp_socket_new(state) else {
      throw AMQPError(.internalError, operation: operation, message: "the library could not make a socket")
    }
    return socket
  }

  private func secureSocket(_ tls: AMQPConnectionSettings.TLS, _ operation: String) throws(AMQPError) -> OpaquePointer {
    guard let socket = amqp_ssl_socket_new(state) else {
      throw AMQPError(.tls, operation: operation, message: "the library could not make a TLS socket")
    }
    func require(_ status: Int32, _ what: String) throws(AMQPError) {
      guard status == AMQP_STATUS_OK.rawValue else {
        throw AMQPError(.tls, nativeCode: Int(status), operation: operation, message: what)
      }
    }
    // By default the library allows TLS 1.0 and trusts no authority.
    try require(
      amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST), "TLS 1.2 or later is not available")
    amqp_ssl_socket_set_verify_peer(socket, tls.verifiesPeer ? 1 : 0)
    amqp_ssl_socket_set_verify_hostname(socket, tls.verifiesPeer ? 1 : 0)
    if tls.verifiesPeer {
      guard let authorities = tls.authoritiesFile ?? Self.systemAuthorities() else {
        throw AMQPError(
          .tls, operation: operation, message: "no bundle of certificate authorities found; set cacertfile")
      }
      try require(amqp_ssl_socket_set_cacert(socket, authorities), "cannot read the authorities in \(authorities)")
    }
    if let certificate = tls.certificateFile, let key = tls.keyFile {
      try require(
        amqp_ssl_socket_set_key(socket, certificate, key),
        "cannot read the client certificate \(certificate) or its key")
    }
    return socket
  }

  private static func systemAuthorities() -> String? {
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"].first {
      access($0, R_OK) == 0
    }
  }

  func logIn(to endpoint: AMQPConnectionSettings.Endpoint) throws(AMQPError) {
    var handshake = settings.connectTimeout.timeval
    amqp_set_handshake_timeout(state, &handshake)
    var rpc = settings.rpcTimeout.timeval
    amqp_set_rpc_timeout(state, &rpc)
    defer { arena.recycle() }
    // Without the first two, the broker reports neither a cancelled consumer nor that it blocks publishers.
    var properties = arena.table([
      "product": "client-journey-adapter", "connection_name": .string(settings.connectionName),
      "capabilities": .table([
        "consumer_cancel_notify": true, "connection.blocked": true, "basic.nack": true, "publisher_confirms": true,
        "authentication_failure_close": true, "exchange_exchange_bindings": true,
      ]),
    ])
    let heartbeat = Int32(clamping: max(1, settings.heartbeat.components.seconds))
    let operation = "log in to \(endpoint) as \(settings.user), vhost \(settings.virtualHost)"
    do {
      try armed(settings.connectTimeout) { () throws(AMQPError) in
        let reply =
          switch settings.mechanism {
          case .plain:
            shim_amqp_login_plain(
              state, settings.virtualHost, 0, Int32(settings.frameMax), heartbeat, &properties, settings.user,
              settings.password.value)
          case .external:
            shim_amqp_login_external(
              state, settings.virtualHost, 0, Int32(settings.frameMax), heartbeat, &properties, settings.user)
          }
        try checkReply(reply, operation)
      }
    } catch  where error.nativeCode == 403 {
      throw AMQPError(.authentication, nativeCode: 403, operation: operation, message: error.message)
    }
  }
}
