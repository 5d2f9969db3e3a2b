import ConnectionThreads
import Synchronization

/// Declares, verifies and inspects exchanges and queues, on a connection and thread of its own.
///
/// It connects with the first request and keeps the connection until `close`. When the connection is lost, the request
/// under way fails and the next one connects again. Requests run one after the other; all methods may be called from
/// any task.
public final class AMQPAdmin: Sendable {
  private let settings: AMQPConnectionSettings
  private let mailbox = Mailbox<AdminWorker.Command>()
  private let status = ConnectionStatus()

  public init(settings: AMQPConnectionSettings) { self.settings = settings }

  deinit { mailbox.post(.close(deadline: .now() + .seconds(1))) }

  /// Runs `body` with a connection, and closes it.
  public static func with<Value>(
    _ settings: AMQPConnectionSettings, _ body: (AMQPAdmin) async throws -> Value
  ) async throws -> Value {
    let admin = AMQPAdmin(settings: settings)
    let result: Result<Value, any Error>
    do { result = .success(try await body(admin)) } catch { result = .failure(error) }
    await admin.close()
    return try result.get()
  }

  /// Creates what is missing, in the order exchanges, queues, bindings.
  ///
  /// - Throws: `preconditionFailed` when an object exists with other arguments; `verify` lists all of them.
  public func declare(_ topology: Topology) async throws(AMQPError) -> [TopologyChange] {
    try await perform { connection throws(AMQPError) in
      var changes: [TopologyChange] = []
      for exchange in topology.exchanges {
        let isThere = try Self.exists { () throws(AMQPError) in try connection.exchangeDeclare(exchange, passive: true)
        }
        try connection.exchangeDeclare(exchange, passive: false)
        changes.append(.init(.exchange, exchange.name, isThere ? .alreadyThere : .created))
      }
      for queue in topology.queues {
        let isThere = try Self.exists { () throws(AMQPError) in _ = try connection.queueDeclare(queue, passive: true) }
        let difference = isThere ? try Self.difference(of: queue, connection) : .missing
        if let difference, difference != .notCompared {
          // Creates the queue, or throws the error that names the difference.
          try connection.queueDeclare(queue, passive: false)
        }
        changes.append(.init(.queue, queue.name, isThere ? .alreadyThere : .created))
      }
      for binding in topology.bindings {
        try connection.bind(binding)
        changes.append(.init(.binding, "\(binding.exchange) -> \(binding.queue) (\(binding.routingKey))", .ensured))
      }
      return changes
    }
  }

  /// Compares the exchanges and queues with the topology and reports the first difference of each. Creates nothing.
  /// Bindings and policies cannot be read over AMQP, so they are not compared; nor is what the user may not configure
  /// (`notCompared`).
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

  /// The number of messages ready for delivery, without the unsettled ones.
  ///
  /// - Throws: `notFound` when there is no such queue.
  public func messageCount(queue: String) async throws(AMQPError) -> Int {
    try await perform { connection throws(AMQPError) in
      try connection.queueDeclare(QueueDeclaration(name: queue), passive: true).ready
    }
  }

  /// The state of each queue, by its name; a missing queue is left out. Takes no message, so it counts no delivery.
  ///
  /// - Throws: `accessRefused` where the broker asks for a permission: RabbitMQ 4.2.6 and 4.3.0 for `configure`, later
  ///   versions for any permission on the queue, earlier ones for none.
  public func states(of queues: [String]) async throws(AMQPError) -> [String: QueueState] {
    try await perform { connection throws(AMQPError) in
      var states: [String: QueueState] = [:]
      for queue in queues {
        _ = try Self.exists { () throws(AMQPError) in
          states[queue] = try connection.queueDeclare(QueueDeclaration(name: queue), passive: true)
        }
      }
      return states
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

  /// Checks whether a message could be published, without publishing one. It does not check whether a queue would take
  /// the message.
  ///
  /// - Parameters:
  ///   - userID: the message's user id; the broker refuses any other than the login's.
  ///   - timeout: how long to wait while the broker blocks publishers because memory or disk space is low.
  ///   - onBlocked: called with the broker's reason when that wait begins.
  /// - Throws: `accessRefused` without the permission, `notFound` without the exchange, `blocked` when the broker still
  ///   blocks publishers.
  public func checkPublish(
    exchange: String, routingKey: String, userID: String? = nil, timeout: Duration = .zero,
    onBlocked: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws(AMQPError) {
    try await perform { connection throws(AMQPError) in
      try connection.checkPublish(
        exchange: exchange, routingKey: routingKey, userID: userID, timeout: timeout, onBlocked: onBlocked)
    }
  }

  /// Checks whether a queue could be consumed, without taking a message from it.
  ///
  /// - Throws: `accessRefused` without the permission, `notFound` without the queue.
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

  /// Sends a request that needs no permission and waits for the reply.
  ///
  /// - Returns: the broker's name and version from the login, for example `RabbitMQ 3.10.8`.
  @discardableResult
  public func ping() async throws(AMQPError) -> String {
    try await perform { connection throws(AMQPError) in
      try connection.reopenChannel()
      return connection.serverDescription
    }
  }

  /// Finishes the requests made so far and closes the connection. May be called several times.
  public func close(deadline: Duration = .seconds(5)) async {
    let deadline = MonotonicInstant.now() + deadline
    if status.begin() {
      _ = mailbox.close()
      status.end()
    } else {
      mailbox.post(.close(deadline: deadline))
    }
    await status.waitUntilEnded(by: deadline)
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

  /// The difference from the declared arguments; nil when the queue has those or accepted ones.
  private static func difference(of queue: QueueDeclaration, _ connection: Connection) throws(AMQPError)
    -> TopologyMismatch.Difference?
  {
    var wanted: TopologyMismatch.Difference?
    for arguments in [queue.arguments] + queue.acceptedArguments {
      var queue = queue
      queue.arguments = arguments
      var difference = try difference(from: queue, connection)
      if case .argument(let name, let actual?, _)? = difference, queue.acceptedLimits.contains(name),
        let limit = Int64(actual)
      {
        queue.arguments[name] = .int(limit)
        difference = try self.difference(from: queue, connection)
      }
      guard let difference else { return nil }
      wanted = wanted ?? difference
      if difference == .missing || difference == .notCompared { break }
    }
    return wanted
  }

  private static func difference(from queue: QueueDeclaration, _ connection: Connection) throws(AMQPError)
    -> TopologyMismatch.Difference?
  {
    try difference { passive throws(AMQPError) in _ = try connection.queueDeclare(queue, passive: passive) }
  }

  /// A passive declaration shows whether the object exists, an active one whether it is the same. An active one alone
  /// would create a missing object.
  private static func difference(
    _ declare: (_ passive: Bool) throws(AMQPError) -> Void
  ) throws(AMQPError) -> TopologyMismatch.Difference? {
    do {
      guard try exists({ () throws(AMQPError) in try declare(true) }) else { return .missing }
      try declare(false)
      return nil
    } catch  where error.code == .preconditionFailed {
      return TopologyMismatch.Difference(replyText: error.message)
    } catch  where error.code == .accessRefused {
      return .notCompared
    }
  }
}
