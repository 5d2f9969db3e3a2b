import ConnectionThreads
import Synchronization

/// What happens on a consumer, in order. Every event comes on the connection's thread.
public enum ConsumerEvent: Sendable {
  /// The broker confirmed the subscription on a new channel.
  case started(generation: UInt64)
  /// Everything the broker had pushed and that could be read without waiting, oldest first; never empty, at most
  /// `maxBatch`, and no more after 1 MiB of bodies.
  case deliveries([Delivery])
  /// The subscription ended: the connection or channel was lost, or the queue was deleted. Also sent, with the last
  /// generation (0 before the first), for each attempt to reconnect that fails. The broker redelivers the unsettled
  /// deliveries of that generation. The consumer goes on reconnecting.
  case lost(generation: UInt64, AMQPError)
  /// The broker is low on memory or disk space and stops reading from connections that publish.
  case blocked(String)
  case unblocked
  /// After `cancel`: no more deliveries. The connection stays open for their settlement.
  case cancelled
  /// The last event. No connection is left.
  case closed
}

/// A subscription to one queue on a connection and thread of its own. It reconnects by itself until it is cancelled or
/// closed.
///
/// All methods may be called from any thread.
public final class AMQPConsumer: Sendable {
  private let configuration: ConsumerWorker.Configuration
  private let mailbox = Mailbox<ConsumerWorker.Command>()
  private let status = ConnectionStatus()

  /// - Parameters:
  ///   - queue: must exist; until it does, each attempt ends in `lost` with `notFound`.
  ///   - prefetch: the maximum of unsettled deliveries, 1...65535 (0 counts as 1); quorum queues allow at most 2000. A
  ///     part of it is a second subscription (`<consumerTag>.<number>`), which exists only while bodies are small.
  ///   - maxBatch: the maximum of deliveries in one event, at least 1.
  ///   - consumerTag: unique on the connection, at most 255 bytes.
  ///   - arguments: of `basic.consume`, for example `x-priority`.
  ///   - onTurn: called on the connection's thread: true at least every second or two while there is a connection, and
  ///     false before a pause of any length.
  ///   - onEvent: called on the connection's thread, which also sends the heartbeats: must not block.
  public init(
    settings: AMQPConnectionSettings, queue: String, prefetch: UInt16, maxBatch: Int, consumerTag: String,
    arguments: FieldTable = [:], onTurn: @escaping @Sendable (Bool) -> Void = { _ in },
    onEvent: @escaping @Sendable (ConsumerEvent) -> Void
  ) {
    configuration = ConsumerWorker.Configuration(
      settings: settings, queue: queue, prefetch: max(prefetch, 1), maxBatch: max(maxBatch, 1),
      consumerTag: consumerTag,
      arguments: arguments, onTurn: onTurn, onEvent: onEvent)
  }

  deinit {
    // Nobody can settle the deliveries any more, so the broker may give them to another consumer.
    mailbox.post(.close(deadline: .now() + .seconds(1)))
  }

  /// Starts the thread. A second call does nothing.
  public func start() {
    guard status.begin() else { return }
    NamedThread.startForConnection(name: "amqp-consume") { [configuration, mailbox, status] in
      ConsumerWorker(configuration, mailbox: mailbox, status: status).run()
    }
  }

  /// Writes settlements soon; acknowledgements that come together share frames. Returns at once.
  ///
  /// Ignores tags of an earlier channel, whose messages the broker has already requeued, and tags settled before.
  public func settle(_ settlements: [Settlement]) {
    guard !settlements.isEmpty else { return }
    mailbox.post(.settle(settlements))
  }

  /// Stops taking messages from the queue until `resume`. Deliveries that are already sent still arrive, and all can be
  /// settled.
  public func pause() { mailbox.post(.demand(nil)) }

  /// Takes messages from the queue again, with at most `limit` unsettled deliveries (nil: the prefetch). May be called
  /// at any time, also before `start`.
  public func resume(limit: UInt16? = nil) {
    mailbox.post(.demand(max(1, min(limit ?? configuration.prefetch, configuration.prefetch))))
  }

  /// Ends the subscription. Deliveries that are already sent still arrive, then `cancelled` comes.
  public func cancel() { mailbox.post(.cancel) }

  /// Writes the settlements made so far and closes the connection; returns at the deadline at the latest. Unsettled
  /// deliveries go back to the queue. May be called several times.
  public func close(deadline: Duration = .seconds(5)) async {
    let deadline = MonotonicInstant.now() + deadline
    if status.begin() {
      _ = mailbox.close()
      configuration.onEvent(.closed)
      status.end()
    } else {
      mailbox.post(.close(deadline: deadline))
    }
    await status.waitUntilEnded(by: deadline)
  }

  /// Whether the broker has confirmed the subscription on the current channel.
  public var isConsuming: Bool { status.isUp }

  /// Whether a pause has taken effect: the broker sends nothing more, and everything that it sent has been handed over.
  public var isPaused: Bool { status.isIdle }
}
