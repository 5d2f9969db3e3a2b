import ConnectionThreads
import Synchronization

/// What happens on a publisher's connection. Every event comes on the connection's thread.
public enum PublisherEvent: Sendable {
  /// Connected, with confirms on.
  case connected
  /// The connection was lost, or an attempt to connect failed. The publisher goes on reconnecting.
  case lost(AMQPError)
  /// The broker closed the channel, for example because an exchange does not exist. A new one is opened at once.
  case channelClosed(AMQPError)
  /// The broker is low on memory or disk space; publishing waits.
  case blocked(String)
  case unblocked
  /// The last event. No connection is left.
  case closed
}

/// Publishes with confirms on a connection and thread of its own.
///
/// Messages are written in the order of the calls. When the connection is lost, written messages without a confirm end
/// as `unknown`, and unwritten ones wait for the next connection. A channel on which the broker nacks messages is
/// replaced, at most once a second, because the broker may keep nacking on it. After the broker refused an exchange
/// (403, 404), messages to it fail at once for 1 to 30 s; then one is tried alone. Other exchanges go on meanwhile. All
/// methods may be called from any thread.
public final class AMQPPublisher: Sendable {
  private let configuration: PublisherWorker.Configuration
  private let mailbox = Mailbox<PublisherWorker.Command>()
  private let status = ConnectionStatus()

  /// - Parameters:
  ///   - window: the maximum of unconfirmed messages, at least 1. 256...1024 keeps a broker busy.
  ///   - windowBytes: the maximum of unconfirmed body bytes; a larger message goes alone. The broker returns unroutable
  ///     messages with their bodies, so this also bounds what has to be read.
  ///   - confirmTimeout: the connection counts as lost after no confirm arrived for this long, unless the broker blocks
  ///     publishers.
  ///   - onEvent: called on the connection's thread; must not block.
  ///   - onTurn: called on the connection's thread: true at least every second or two while there is a connection, and
  ///     false before a pause of any length.
  public init(
    settings: AMQPConnectionSettings, window: Int = 512, windowBytes: Int = 8 << 20,
    confirmTimeout: Duration = .seconds(30), onEvent: @escaping @Sendable (PublisherEvent) -> Void = { _ in },
    onTurn: @escaping @Sendable (Bool) -> Void = { _ in }
  ) {
    configuration = PublisherWorker.Configuration(
      settings: settings, window: max(window, 1), windowBytes: max(windowBytes, 1), confirmTimeout: confirmTimeout,
      onTurn: onTurn, onEvent: onEvent)
  }

  deinit { mailbox.post(.close(deadline: .now() + .seconds(1))) }

  /// Starts the thread. A second call does nothing.
  public func start() {
    guard status.begin() else { return }
    NamedThread.startForConnection(name: "amqp-publish") { [configuration, mailbox, status] in
      PublisherWorker(configuration, mailbox: mailbox, status: status).run()
    }
  }

  /// Publishes a batch.
  ///
  /// - Parameters:
  ///   - gate: decides about each message just before it is written; nil: all are written.
  ///   - completion: called once, when every message is resolved, with one outcome per message in the same
  ///     order; on the connection's thread, or on the caller's if the batch is empty or the publisher is closed. Must
  ///     not block.
  public func publish(
    _ messages: [OutboundMessage], gate: PublishGate? = nil, completion: @escaping @Sendable ([PublishOutcome]) -> Void
  ) {
    guard !messages.isEmpty else { return completion([]) }
    post(.publish(messages, gate, completion))
  }

  /// Calls back, on the connection's thread, once no message is under way that its gate would not let through now: each
  /// of them is confirmed or has failed.
  public func whenGatesAreClosed(_ completion: @escaping @Sendable () -> Void) { post(.settle(completion)) }

  private func post(_ command: PublisherWorker.Command) {
    if !mailbox.post(command) { PublisherWorker.refuse(command) }
  }

  /// Publishes a batch and waits until every message is resolved. Ignores cancellation: what is written cannot be
  /// undone.
  public func publish(_ messages: [OutboundMessage]) async -> [PublishOutcome] {
    await withCheckedContinuation { continuation in
      publish(messages) { continuation.resume(returning: $0) }
    }
  }

  /// Accepts no more messages, waits for the outstanding confirms and closes the connection.
  ///
  /// At the deadline, messages never written end as `failed`, written ones as `unknown`. May be called several times.
  public func close(deadline: Duration = .seconds(5)) async {
    let deadline = MonotonicInstant.now() + deadline
    if status.begin() {
      // Not started: complete queued batches as failed.
      for command in mailbox.close() { PublisherWorker.refuse(command) }
      configuration.onEvent(.closed)
      status.end()
    } else {
      mailbox.post(.close(deadline: deadline))
    }
    // The thread notices the deadline by itself; the margin is for its last messages to be resolved first.
    await status.waitUntilEnded(by: deadline + .milliseconds(500))
  }

  public var isConnected: Bool { status.isUp }
  /// Whether the broker blocks publishers because it is low on memory or disk space.
  public var isBlocked: Bool { status.isBlocked }
}
