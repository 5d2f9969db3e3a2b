import ConnectionThreads
import Synchronization

/// Declares, verifies and inspects exchanges and queues, on a connection and thread of its own.
///
/// It connects when the first request comes, keeps the connection until `close`, and opens another one when it was
/// lost; a request that meets the loss fails. Requests are served one after the other; all methods may be called from
/// any task.
public final class AMQPAdmin: Sendable {
  private let settings: AMQPConnectionSettings
  private let mailbox = Mailbox<AdminWorker.Command>()
  private let status = ConnectionStatus()

  public init(settings: AMQPConnectionSettings) { self.settings = settings }

  deinit { mailbox.post(.close(deadline: .now() + .seconds(1))) }

  /// Creates what is missing, in the order exchanges, queues, bindings.
  ///
  /// - Throws: `preconditionFailed` when an object is there with other arguments; use `verify` for the whole list.
  public func declare(_ topology: Topology) async throws(AMQPError) -> [TopologyChange] {
    try await perform { connection throws(AMQPError) in
      var changes: [TopologyChange] = []
      for exchange in topology.exchanges {
        let isThere = try Self.exists { () throws(AMQPError) in try connection.exchangeDeclare(exchange, passive: true)
        }
        try connection.exchangeDeclare(exchange, passive: false)
        changes.append(
          .init(object: .init(kind: .exchange, name: exchange.name), outcome: isThere ? .alreadyThere : .created))
      }
      for queue in topology.queues {
        let isThere = try Self.exists { () throws(AMQPError) in _ = try connection.queueDeclare(queue, passive: true) }
        if !isThere {
          try connection.queueDeclare(queue, passive: false)
        } else if try Self.difference(of: queue, connection) != nil {
          // For its error.
          try connection.queueDeclare(queue, passive: false)
        }
        changes.append(
          .init(object: .init(kind: .queue, name: queue.name), outcome: isThere ? .alreadyThere : .created))
      }
      for binding in topology.bindings {
        try connection.bind(binding)
        changes.append(
          .init(
            object: .init(kind: .binding, name: "\(binding.exchange) -> \(binding.queue) (\(binding.routingKey))"),
            outcome: .ensured))
      }
      return changes
    }
  }

  /// Compares exchanges and queues with what is wanted and reports the first difference of each. Creates nothing that
  /// is missing. Bindings cannot be read over AMQP and are not compared; policies do not show either.
  public func verify(_ topology: Topology) async throws(AMQPError) -> [TopologyMismatch] {
    try await perform { connection throws(AMQPError) in
      var mismatches: [TopologyMismatch] = []
      for exchange in topology.exchanges {
        let difference = try Self.difference { passive throws(AMQPError) in
          try connection.exchangeDeclare(exchange, passive: passive)
        }
        if let difference {
          mismatches.append(.init(object: .init(kind: .exchange, name: exchange.name), difference: difference))
        }
      }
      for queue in topology.queues {
        if let difference = try Self.difference(of: queue, connection) {
          mismatches.append(.init(object: .init(kind: .queue, name: queue.name), difference: difference))
        }
      }
      return mismatches
    }
  }

  /// The messages ready for delivery: those handed out and not settled are not counted.
  ///
  /// - Throws: `notFound` when there is no such queue.
  public func messageCount(queue: String) async throws(AMQPError) -> Int {
    try await perform { connection throws(AMQPError) in
      try connection.queueDeclare(QueueDeclaration(name: queue), passive: true)
    }
  }

  public enum GetMode: Sendable {
    /// Takes the message off the queue.
    case take
    /// Puts it back, which a quorum queue may count as a delivery attempt.
    case peek
  }

  /// One message, or nil when the queue is empty. For tools and tests; a consumer is the way to read a queue.
  public func get(queue: String, mode: GetMode = .take) async throws(AMQPError) -> Delivery? {
    try await perform { connection throws(AMQPError) in try connection.get(queue: queue, acknowledging: mode == .take) }
  }

  /// Finds out whether a message could be published so, without publishing one. Whether a queue would take it does not
  /// show.
  ///
  /// - Parameters:
  ///   - userID: the user whom the message would name; the broker refuses any but the login's.
  ///   - patience: how long to wait for a broker that takes no messages, for want of memory or disk.
  ///   - isBlocked: called with the broker's reason where that is waited for.
  /// - Throws: `accessRefused` where the user may not, `notFound` where there is no such exchange, `blocked` where the
  ///   broker takes no messages.
  public func checkPublish(
    exchange: String, routingKey: String, userID: String? = nil, timeout: Duration = .zero,
    isBlocked: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws(AMQPError) {
    try await perform { connection throws(AMQPError) in
      try connection.checkPublish(
        exchange: exchange, routingKey: routingKey, userID: userID, timeout: timeout, isBlocked: isBlocked)
    }
  }

  /// Finds out whether a queue could be consumed, without taking anything from it.
  ///
  /// - Throws: `accessRefused` where the user may not, `notFound` where there is no such queue.
  public func checkConsume(queue: String) async throws(AMQPError) {
    try await perform { connection throws(AMQPError) in try connection.checkConsume(queue: queue) }
  }

  public func bind(_ binding: Binding) async throws(AMQPError) {
    try await perform { connection throws(AMQPError) in try connection.bind(binding) }
  }

  package func unbind(_ binding: Binding) async throws(AMQPError) {
    try await perform { connection throws(AMQPError) in try connection.unbind(binding) }
  }

  /// Returns how many messages were removed.
  @discardableResult
  package func purge(queue: String) async throws(AMQPError) -> Int {
    try await perform { connection throws(AMQPError) in try connection.purge(queue: queue) }
  }

  package func deleteQueue(_ name: String) async throws(AMQPError) {
    try await perform { connection throws(AMQPError) in try connection.delete(queue: name) }
  }

  /// Asks the broker something that needs no permission and waits for the answer.
  ///
  /// - Returns: the broker's name and version, as it told them at login, for example `RabbitMQ 3.10.8`.
  @discardableResult
  public func ping() async throws(AMQPError) -> String {
    try await perform { connection throws(AMQPError) in
      try connection.reopenChannel()
      return connection.serverDescription
    }
  }

  /// Serves the requests given so far and closes the connection. May be called several times.
  public func close(deadline: Duration = .seconds(5)) async {
    let deadline = MonotonicInstant.now() + deadline
    if status.begin() {
      _ = mailbox.close()
      status.end()
    } else {
      mailbox.post(.close(deadline: deadline))
    }
    await status.ended(by: deadline)
  }

  private func perform<R: Sendable>(
    _ body: @escaping @Sendable (Connection) throws(AMQPError) -> R
  ) async throws(AMQPError) -> R {
    if status.begin() {
      NamedThread.startForConnection(name: "amqp-admin") { [settings, mailbox, status] in
        AdminWorker(settings: settings, mailbox: mailbox, status: status).run()
      }
    }
    let result: Result<R, AMQPError> = await withCheckedContinuation { continuation in
      let job = AdminWorker.Job { connection in
        do throws(AMQPError) {
          continuation.resume(returning: .success(try body(connection.get())))
          return nil
        } catch {
          continuation.resume(returning: .failure(error))
          return error
        }
      }
      if !mailbox.post(.perform(job)) {
        let error = AMQPError(.shutdown, operation: "administer", message: "the connection was closed")
        continuation.resume(returning: .failure(error))
      }
    }
    return try result.get()
  }

  private static func exists(_ check: () throws(AMQPError) -> Void) throws(AMQPError) -> Bool {
    do {
      try check()
      return true
    } catch  where error.code == .notFound {
      return false
    }
  }

  /// The difference from the arguments that are wanted, unless those that are there are accepted as well.
  private static func difference(of queue: QueueDeclaration, _ connection: Connection) throws(AMQPError)
    -> TopologyMismatch.Difference?
  {
    var wanted: TopologyMismatch.Difference?
    for arguments in [queue.arguments] + queue.acceptedArguments {
      var queue = queue
      queue.arguments = arguments
      let difference = try difference { passive throws(AMQPError) in
        _ = try connection.queueDeclare(queue, passive: passive)
      }
      guard let difference else { return nil }
      wanted = wanted ?? difference
      if difference == .missing { break }
    }
    return wanted
  }

  /// A passive declaration tells whether the object is there, an active one whether it is the same; the latter alone
  /// would create what is missing.
  private static func difference(
    _ declare: (_ passive: Bool) throws(AMQPError) -> Void
  ) throws(AMQPError) -> TopologyMismatch.Difference? {
    guard try exists({ () throws(AMQPError) in try declare(true) }) else { return .missing }
    do {
      try declare(false)
      return nil
    } catch  where error.code == .preconditionFailed {
      return TopologyMismatch.Difference(replyText: error.message)
    }
  }
}
