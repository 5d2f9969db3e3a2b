/// Names one delivery on one channel.
///
/// The broker counts tags from 1 again on every channel, so a tag alone would settle somebody else's message after a
/// reconnect; `generation` says which channel it belongs to.
public struct DeliveryTag: Hashable, Sendable {
  /// Counts the consumer's channels, from 1.
  public let generation: UInt64
  /// The broker's delivery tag, from 1.
  public let value: UInt64

  public init(generation: UInt64, value: UInt64) {
    self.generation = generation
    self.value = value
  }
}

/// Why a delivery is not all that was sent. It still has to be settled.
public enum DeliveryProblem: Hashable, Sendable {
  /// The body exceeds `maxBodyBytes`; its bytes were thrown away as they came in, but for the beginning that was asked
  /// for. It will never fit.
  case bodyTooLarge
  /// A header table or array was nested deeper than 32 levels; everything below that level was dropped.
  case headersTooDeep
}

/// A message from a queue, owned by the receiver: no memory of the C library is behind it.
///
/// A class, for it passes through many hands and never changes: handing it on is one reference counted, not one for
/// each of its texts.
public final class Delivery: Sendable {
  public let tag: DeliveryTag
  public let exchange: String
  public let routingKey: String
  /// The broker has handed it out before; it may have been processed.
  public let isRedelivered: Bool
  public let properties: MessageProperties
  /// Empty, or the beginning, when `problem` says that the body was thrown away.
  public let body: [UInt8]
  /// The SHA-256 of a body that was thrown away but for its beginning.
  public let bodyDigest: [UInt8]?
  /// The size of the body as sent, in bytes.
  public let bodySize: Int
  public let problem: DeliveryProblem?

  public init(
    tag: DeliveryTag, exchange: String, routingKey: String, isRedelivered: Bool, properties: MessageProperties,
    body: [UInt8],
    bodySize: Int? = nil, bodyDigest: [UInt8]? = nil, problem: DeliveryProblem? = nil
  ) {
    self.tag = tag
    self.exchange = exchange
    self.routingKey = routingKey
    self.isRedelivered = isRedelivered
    self.properties = properties
    self.body = body
    self.bodySize = bodySize ?? body.count
    self.bodyDigest = bodyDigest
    self.problem = problem
  }
}

/// What is to become of deliveries. A tag that is settled already, or belongs to an earlier channel, is ignored.
public enum Settlement: Hashable, Sendable {
  case ack(DeliveryTag)
  /// Every unsettled delivery of that generation up to and including the tag.
  case ackThrough(DeliveryTag)
  /// Not requeued: dead-lettered if the queue has somewhere to, else dropped. Counts as a failed attempt.
  case reject(DeliveryTag, requeue: Bool)
  /// `basic.nack`: like `reject`; brokers from 4.3 on do not count a requeue by it as a failed attempt. For shutdown.
  case nack(DeliveryTag, requeue: Bool)
  /// `basic.nack` for every unsettled delivery of that generation up to and including the tag.
  case nackThrough(DeliveryTag, requeue: Bool)
}

public struct OutboundMessage: Sendable {
  /// At most 255 bytes; empty is the default exchange.
  public var exchange: String
  /// At most 255 bytes.
  public var routingKey: String
  public var properties: MessageProperties
  public var body: [UInt8]
  /// Whether the broker gives the message back when no queue takes it. Without it such a message is confirmed and gone.
  public var isMandatory: Bool

  public init(
    exchange: String, routingKey: String, properties: MessageProperties, body: [UInt8], isMandatory: Bool = true
  ) {
    self.exchange = exchange
    self.routingKey = routingKey
    self.properties = properties
    self.body = body
    self.isMandatory = isMandatory
  }
}

/// What became of a published message.
public enum PublishOutcome: Hashable, Sendable {
  /// The broker took responsibility for it.
  case confirmed
  /// No queue took the mandatory message.
  case returned(code: Int, text: String)
  /// The broker refused responsibility, for example because a queue with `reject-publish` is full.
  case nacked
  /// Not taken by the broker: never written, or refused for what it is (`AMQPError.isRefusal`), e.g. because its
  /// exchange does not exist.
  case failed(AMQPError)
  /// Written, but the connection or channel ended before the confirm. Publish it again under the same message id.
  case unknown(AMQPError)

  public var isConfirmed: Bool { self == .confirmed }
}
