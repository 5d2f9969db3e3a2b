public import AMQPClient

/// The names of the exchanges and queues, and the topology built from them.
public struct MessagingNames: Hashable, Sendable {
  /// Where upstream systems publish events, with the routing key `<source>.<type>`.
  public var events = "journey.events"
  /// The queue that all instances consume.
  public var ingest = "journey.ingest"
  /// Where dead letters are published. The broker also dead-letters to it.
  public var dead = "journey.dead"
  public var deadLetters = "journey.dead-letters"
  /// Where actions are published, with the routing key `<channel>.<action>.<priority>`. One queue per channel is bound
  /// to it.
  public var actions = "journey.actions"
  public var channels = ["email", "voice", "human"]
  /// Where workers report the outcomes of actions: an exchange and a queue of the same name.
  public var outcomes = "journey.outcomes"
  /// Where changes of clients are published, with the routing key `<stage>.<risk level>`, if that is on.
  public var changes = "journey.changes"
  /// Routes retries to the delay queues by the name of their tier, and back to the ingest queue by its name. The delay
  /// queues are `<retry>.10s` and so on.
  public var retry = "journey.retry"
  /// The broker's delivery limit: after so many redeliveries it dead-letters a message.
  package var deliveryLimit = 20
  /// How many actions wait for the workers of a channel at most. The broker refuses more.
  public var actionQueueLimit = 1_000_000

  public init() {}

  public static let retryTiers: [(name: String, milliseconds: Int64)] = [
    ("10s", 10_000), ("1m", 60_000), ("10m", 600_000), ("1h", 3_600_000),
  ]

  /// The delay queue of a tier. Its messages expire back into the ingest queue.
  public func retryQueue(_ tier: String) -> String { "\(retry).\(tier)" }

  public func actionQueue(_ channel: String) -> String { "\(actions).\(channel)" }

  /// All exchanges, queues and bindings. All queues are durable quorum queues, and the broker dead-letters at least
  /// once.
  ///
  /// What a worker rejects, takes too often or lets expire goes to the outcomes. The queue of dead letters has no
  /// delivery limit: the broker never removes its messages.
  public var topology: Topology {
    let lasting: FieldTable = ["x-queue-type": "quorum"]
    let limited: [String: FieldValue] = ["x-delivery-limit": .int(Int64(deliveryLimit))]
    var queues = [
      QueueDeclaration(name: ingest, arguments: quorum(deadLetterExchange: dead, limited)),
      QueueDeclaration(name: deadLetters, arguments: lasting),
      // Accepts queues of earlier versions; `policies` gives them the same.
      QueueDeclaration(
        name: outcomes, arguments: quorum(deadLetterExchange: dead, limited), acceptedArguments: [lasting]),
    ]
    var bindings = [
      Binding(queue: ingest, exchange: events, routingKey: "#"),
      Binding(queue: deadLetters, exchange: dead, routingKey: "#"),
      Binding(queue: outcomes, exchange: outcomes, routingKey: "#"),
    ]
    for tier in Self.retryTiers {
      let more: [String: FieldValue] = [
        "x-dead-letter-routing-key": .string(ingest), "x-message-ttl": .int(tier.milliseconds),
      ]
      queues.append(
        QueueDeclaration(
          name: retryQueue(tier.name), arguments: quorum(deadLetterExchange: retry, more),
          // Accepts queues of earlier versions, which return messages through the default exchange.
          acceptedArguments: [quorum(deadLetterExchange: "", more)]))
      bindings.append(Binding(queue: retryQueue(tier.name), exchange: retry, routingKey: tier.name))
    }
    for channel in channels {
      let more: [String: FieldValue] = [
        "x-dead-letter-routing-key": .string("dead.\(channel)"), "x-max-length": .int(Int64(actionQueueLimit)),
      ]
      queues.append(
        QueueDeclaration(
          name: actionQueue(channel),
          arguments: quorum(deadLetterExchange: outcomes, limited.merging(more) { $1 }),
          acceptedArguments: [lasting], acceptedLimits: ["x-max-length"]))
      bindings.append(Binding(queue: actionQueue(channel), exchange: actions, routingKey: "\(channel).#"))
    }
    // Returns an expired retry to the ingest queue only, not to other queues bound to the events.
    bindings.append(Binding(queue: ingest, exchange: retry, routingKey: ingest))
    var exchanges = [events, dead, actions, outcomes, changes].map { ExchangeDeclaration(name: $0, kind: "topic") }
    exchanges.append(ExchangeDeclaration(name: retry, kind: "direct"))
    return Topology(exchanges: exchanges, queues: queues, bindings: bindings)
  }

  private func quorum(deadLetterExchange: String, _ more: [String: FieldValue]) -> FieldTable {
    var table: FieldTable = [
      "x-queue-type": "quorum", "x-dead-letter-exchange": .string(deadLetterExchange),
      "x-dead-letter-strategy": "at-least-once",
      "x-overflow": "reject-publish",
    ]
    for (name, value) in more.sorted(by: { $0.key < $1.key }) { table[name] = value }
    return table
  }
}
