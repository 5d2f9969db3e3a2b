import ConnectionThreads
import Synchronization

/// What happens on a consumer, in order. Every event comes on the connection's thread.
public enum ConsumerEvent: Sendable {
  /// The broker confirmed the subscription on a new channel.
  case started(generation: UInt64)
  /// Everything the broker had pushed and that could be read without waiting, oldest first; never empty, at most
  /// `maxBatch`, and no more after 1 MiB of bodies.
  case deliveries([Delivery])
  /// The subscription ended: connection or channel lost, the queue deleted, or (again with the last generation, 0
  /// before the first) an attempt to reconnect failed. Unsettled deliveries of that generation will come again. It goes
  /// on trying.
  case lost(generation: UInt64, AMQPError)
  /// The broker is short of memory or disk and reads nothing more from this connection if it publishes.
  case blocked(String)
  case unblocked
  /// After `cancel`: no more deliveries. The connection stays, so that those delivered can be settled.
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
  ///   - queue: has to exist; while it does not, each attempt ends in `lost` with `notFound`.
  ///   - prefetch: how many unsettled deliveries the broker hands out, 1...65535 (0, without a limit, is taken as 1);
  ///     fewer while bodies are large,
  ///     by a second subscription (`<consumerTag>.<number>`) that is there only while they are small. `maxBufferedBytes` bounds memory whatever their
  ///     size: over it nothing is read until something is settled. Quorum queues allow at most 2000.
  ///   - maxBatch: the most deliveries in one event, at least 1.
  ///   - consumerTag: unique on the connection, at most 255 bytes.
  ///   - arguments: of `basic.consume`, for example `x-priority`.
  ///   - onEvent: called on the connection's thread, which also keeps the connection alive: it must not block.
  public init(
    settings: AMQPConnectionSettings, queue: String, prefetch: UInt16, maxBatch: Int, consumerTag: String,
    arguments: FieldTable = [:],
    onEvent: @escaping @Sendable (ConsumerEvent) -> Void
  ) {
    configuration = ConsumerWorker.Configuration(
      settings: settings, queue: queue, prefetch: max(prefetch, 1), maxBatch: max(maxBatch, 1),
      consumerTag: consumerTag,
      arguments: arguments, onEvent: onEvent)
  }

  deinit {
    // Nobody can settle any more, so the broker may hand the messages to somebody else.
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
  /// Tags of an earlier channel and tags settled before are ignored: the broker has already taken those messages back.
  public func settle(_ settlements: [Settlement]) {
    guard !settlements.isEmpty else { return }
    mailbox.post(.settle(settlements))
  }

  /// Takes nothing more from the queue until `resume`. Deliveries under way are still handed over, and all can be
  /// settled.
  public func pause() { mailbox.post(.demand(nil)) }

  /// Takes from the queue again, with at most `limit` unsettled deliveries, nil: the prefetch. May be called before the
  /// start and at any time.
  public func resume(limit: UInt16? = nil) {
    mailbox.post(.demand(max(1, min(limit ?? configuration.prefetch, configuration.prefetch))))
  }

  /// Asks for the end of deliveries. Those under way are still handed over, then `cancelled` comes.
  public func cancel() { mailbox.post(.cancel) }

  /// Writes the settlements given so far, closes the connection and waits for the end, at most until the deadline.
  /// Unsettled deliveries go back to the queue. May be called several times.
  public func close(deadline: Duration = .seconds(5)) async {
    let deadline = MonotonicInstant.now() + deadline
    if status.begin() {
      _ = mailbox.close()
      configuration.onEvent(.closed)
      status.end()
    } else {
      mailbox.post(.close(deadline: deadline))
    }
    await status.ended(by: deadline)
  }

  /// Whether the broker has confirmed the subscription on the present channel.
  public var isConsuming: Bool { status.isUp }
}
