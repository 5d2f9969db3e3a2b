import ConnectionThreads

extension PublisherWorker {
  /// Handles everything that arrived.
  func receive(_ connection: Connection) throws(AMQPError) {
    while let event = try connection.next() { try handle(event, connection) }
  }

  private func handle(_ event: Connection.Event, _ connection: Connection) throws(AMQPError) {
    switch event {
    case .confirm(let sequence, let multiple, let isAck):
      try tracker.confirm(sequence: sequence, multiple: multiple, isAck: isAck) { position, resolution in
        if !refusals.isEmpty { refusals.answered() }
        switch resolution {
        case .confirmed: position.resolve(.confirmed)
        case .nacked:
          renewal.refused()
          position.resolve(.nacked)
        case .returned(let code, let text): position.resolve(.returned(code: code, text: text))
        }
      }
    case .content(let content):
      guard case .returned(let code, let text, let exchange, let routingKey) = content.opening else { return }
      let identity = ConfirmTracker<PublishQueue.Position>.Identity(
        exchange: exchange, routingKey: routingKey, messageID: content.properties.messageID)
      // Without this the confirm that follows would count as success.
      guard tracker.returned(identity, code: code, text: text) else {
        throw AMQPError(
          .protocolViolation, operation: "receive a returned message", message: "it matches nothing that was published")
      }
    case .blocked(let reason):
      isBlocked = true
      // The broker reads nothing until the alarm ends, so only the heartbeat shows whether it is alive.
      SocketOptions.setUserTimeout(connection.descriptor, .zero)
      configuration.onEvent(.blocked(reason))
    case .unblocked:
      isBlocked = false
      SocketOptions.setUserTimeout(connection.descriptor, configuration.settings.tcpUserTimeout)
      configuration.onEvent(.unblocked)
    case .channelClosed(let error):
      resolveOutstanding(after: error)
      configuration.onEvent(.channelClosed(error))
      try connection.openChannel()
      try connection.selectConfirms()
      renewal.opened(at: .now())
    case .consumerCancelled, .cancelOK, .closeOK, .rollbackOK:
      break
    }
  }

  /// Refused messages failed. The outcome of the others is unknown.
  private func resolveOutstanding(after error: AMQPError) {
    let positions = tracker.reset()
    guard error.isRefusal else { return positions.forEach { $0.resolve(.unknown(error)) } }
    let culprits = refusals.refused(
      error, outstanding: positions.map { ($0.message.exchange, $0.message.routingKey) }, now: .now())
    for (position, isCulprit) in zip(positions, culprits) {
      position.resolve(isCulprit ? .failed(error) : .unknown(error))
    }
  }
}
