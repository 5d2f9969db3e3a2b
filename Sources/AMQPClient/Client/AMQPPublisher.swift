import ConnectionThreads
import Synchronization

/// What happens on a publisher's connection. Every event comes on the connection's thread.
public enum PublisherEvent: Sendable {
  /// Connected, with confirms on.
  case connected
  /// The connection was lost, or an attempt to connect failed. It goes on trying.
  case lost(AMQPError)
  /// The broker closed the channel, for example because an exchange does not exist. A new one is opened at once.
  case channelClosed(AMQPError)
  /// The broker is short of memory or disk; publishing waits.
  case blocked(String)
  case unblocked
  /// The last event. No connection is left.
  case closed
}

/// Publishes with confirms on a connection and thread of its own.
///
/// Messages are written in the order of the calls. When the connection is lost, those written and not confirmed end as
/// `unknown`; those not yet written wait for the next connection, until the publisher is closed. A channel on which the
/// broker refuses messages is replaced, at most once a second, since the broker may go on refusing on it. An exchange
/// that the broker refuses (403, 404) is tried again alone, after 1 to 30 s; until then messages to it end as `failed`
/// at once, and others go on. All methods may be called from any thread.
public final class AMQPPublisher: Sendable {
  private let configuration: PublisherWorker.Configuration
  private let mailbox = Mailbox<PublisherWorker.Command>()
  private let status = ConnectionStatus()

  /// - Parameters:
  ///   - window: the most unconfirmed messages, at least 1. 256...1024 keeps a broker busy.
  ///   - windowBytes: the most unconfirmed body bytes; a larger message goes alone. Returned messages come back with
  ///     their
  ///     bodies, so this bounds what may have to be read.
  ///   - confirmTimeout: how long the broker may answer nothing while something is outstanding (and it has not said
  ///     that it
  ///     is blocked). After that the connection counts as lost.
  ///   - onEvent: called on the connection's thread; must not block.
  public init(
    settings: AMQPConnectionSettings, window: Int = 512, windowBytes: Int = 8 << 20,
    confirmTimeout: Duration = .seconds(30),
    onEvent: @escaping @Sendable (PublisherEvent) -> Void = { _ in }
  ) {
    configuration = PublisherWorker.Configuration(
      settings: settings, window: max(window, 1), windowBytes: max(windowBytes, 1), confirmTimeout: confirmTimeout,
      onEvent: onEvent)
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
  /// - Parameter completion: called once, when every message is resolved, with one outcome per message in the same
  ///   order; on the connection's thread, or on the caller's if the batch is empty or the publisher is closed. Must not
  ///   block.
  public func publish(_ messages: [OutboundMessage], completion: @escaping @Sendable ([PublishOutcome]) -> Void) {
    guard !messages.isEmpty else { return completion([]) }
    if !mailbox.post(.publish(messages, completion)) {
      completion(messages.map { _ in .failed(PublisherWorker.closedError()) })
    }
  }

  /// Publishes a batch and waits until every message is resolved. Not cancellable: what is written cannot be taken
  /// back.
  public func publish(_ messages: [OutboundMessage]) async -> [PublishOutcome] {
    await withCheckedContinuation { continuation in
      publish(messages) { continuation.resume(returning: $0) }
    }
  }

  /// Takes no more messages, waits for the confirms of those it has, and closes the connection.
  ///
  /// At the deadline what was never written ends as `failed`, what was written as `unknown`. May be called several
  /// times.
  public func close(deadline: Duration = .seconds(5)) async {
    let deadline = MonotonicInstant.now() + deadline
    if status.begin() {
      // Never started: there is a batch to answer for at most.
      for case .publish(let messages, let completion) in mailbox.close() {
        completion(messages.map { _ in .failed(PublisherWorker.closedError()) })
      }
      configuration.onEvent(.closed)
      status.end()
    } else {
      mailbox.post(.close(deadline: deadline))
    }
    // The thread notices the deadline by itself; the margin is for its last messages to be resolved first.
    await status.ended(by: deadline + .milliseconds(500))
  }

  public var isConnected: Bool { status.isUp }
  /// Whether the broker has said that it takes no messages for now, for want of memory or disk.
  public var isBlocked: Bool { status.isBlocked }
}
