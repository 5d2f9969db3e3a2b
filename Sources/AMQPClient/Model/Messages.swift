/// Identifies one delivery on one channel.
///
/// The broker numbers deliveries from 1 on every channel, so after a reconnect a tag alone would settle another
/// message. `generation` identifies the channel.
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

/// Why a delivery is incomplete. It still has to be settled.
public enum DeliveryProblem: Hashable, Sendable {
  /// The body exceeds `maxBodyBytes` and was discarded, except for the beginning if `beginningOfLargerBodies` is set.
  case bodyTooLarge
  /// A header table or array was nested deeper than 32 levels; everything below that level was dropped.
  case headersTooDeep
}

/// A message from a queue, in memory of its own: nothing refers to the C library.
///
/// An immutable class, so that passing it on counts one reference instead of one for each of its strings.
public final class Delivery: Sendable {
  public let tag: DeliveryTag
  public let exchange: String
  public let routingKey: String
  /// Whether the broker has delivered it before, so that it may have been processed.
  public let isRedelivered: Bool
  public let properties: MessageProperties
  /// Empty, or the beginning only, when `problem` is `bodyTooLarge`.
  public let body: [UInt8]
  /// The SHA-256 of a body of which only the beginning is kept.
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

/// How to settle deliveries. A tag that is already settled or belongs to an earlier channel is ignored.
public enum Settlement: Hashable, Sendable {
  case ack(DeliveryTag)
  /// Every unsettled delivery of that generation up to and including the tag.
  case ackThrough(DeliveryTag)
  /// Counts as a failed attempt. Without `requeue`, the message is dead-lettered if the queue has a dead-letter
  /// exchange, otherwise dropped.
  case reject(DeliveryTag, requeue: Bool)
  /// `basic.nack`: like `reject`, but brokers from 4.3 on do not count its requeue as a failed attempt.
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
  /// Whether the broker returns the message when no queue takes it. Otherwise it confirms and drops the message.
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

/// Decides about the messages of a batch, each by its position, immediately before it is written. Called on the
/// connection's thread for every message, so it has to be quick.
public typealias PublishGate = @Sendable (_ position: Int) -> GateVerdict

public enum GateVerdict: Hashable, Sendable {
  case open
  /// The message waits in the publisher until its gate says otherwise; messages without a gate overtake it.
  case waiting
  /// The message ends as `held`.
  case held(by: Int64)
}

/// The outcome of a published message.
public enum PublishOutcome: Hashable, Sendable {
  /// The broker took responsibility for it.
  case confirmed
  /// No queue took the mandatory message.
  case returned(code: Int, text: String)
  /// The broker refused responsibility, for example because a queue with `reject-publish` is full.
  case nacked
  /// The broker does not have it: it was never written, or refused (`AMQPError.isRefusal`), for example because the
  /// exchange does not exist.
  case failed(AMQPError)
  /// Written, but the connection or channel ended before the confirm. Publish it again with the same message id.
  case unknown(AMQPError)
  /// Its gate holds it, for this reason: it was never written.
  case held(by: Int64)

  public var isConfirmed: Bool { self == .confirmed }
}
