import ConnectionThreads

/// The thread of an `AMQPAdmin`: runs one request after the other and keeps up the heartbeat in between.
final class AdminWorker {
  struct Job: Sendable {
    /// Gets the connection, or the reason why there is none. Returns its own error, if any.
    let run: @Sendable (Result<Connection, AMQPError>) -> AMQPError?
    init(_ run: @escaping @Sendable (Result<Connection, AMQPError>) -> AMQPError?) { self.run = run }
  }

  enum Command: Sendable {
    case perform(Job)
    case close(deadline: MonotonicInstant)
  }

  private let mailbox: Mailbox<Command>
  private let status: ConnectionStatus
  private var connector: Connector
  private var connection: Connection?
  private var closeDeadline: MonotonicInstant?

  init(settings: AMQPConnectionSettings, mailbox: Mailbox<Command>, status: ConnectionStatus) {
    self.mailbox = mailbox
    self.status = status
    connector = Connector(settings: settings, use: .receiving)
  }

  func run() {
    while closeDeadline == nil {
      mailbox.drain().forEach(serve)
      if closeDeadline == nil { idle() }
    }
    for command in mailbox.close() { refuse(command) }
    if let closeDeadline { connection?.close(deadline: closeDeadline) }
    connection = nil
    status.end()
  }

  private func serve(_ command: Command) {
    switch command {
    case .close(let deadline):
      closeDeadline = min(closeDeadline ?? .distantFuture, deadline)
    case .perform where closeDeadline != nil:
      refuse(command)
    case .perform(let job):
      pump()
      // Only a refused request leaves the connection usable.
      let error = job.run(connect())
      if error != nil, connection?.isUsable(after: error) != true { connection = nil }
    }
  }

  private func refuse(_ command: Command) {
    guard case .perform(let job) = command else { return }
    _ = job.run(.failure(AMQPError(.shutdown, operation: "administer", message: "the connection was closed")))
  }

  private func connect() -> Result<Connection, AMQPError> {
    if let connection { return .success(connection) }
    var hosts = connector.settings.endpoints.count
    while true {
      do {
        let connection = try connector.connect()
        self.connection = connection
        return .success(connection)
      } catch {
        hosts -= 1
        if hosts <= 0 || !error.isRetriable { return .failure(error) }
      }
    }
  }

  /// Reads what the broker sent meanwhile: its heartbeats, or that it closed the connection.
  private func pump() {
    guard let connection else { return }
    do {
      while try connection.next() != nil {}
    } catch {
      self.connection = nil
    }
  }

  private func idle() {
    pump()
    guard let connection else { return mailbox.wait(milliseconds: -1) }
    do {
      try connection.wait(mailbox: mailbox.descriptor, milliseconds: 1000)
    } catch {
      self.connection = nil
    }
  }
}
