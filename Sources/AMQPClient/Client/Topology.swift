/// Exchanges, queues and bindings to declare.
public struct Topology: Hashable, Sendable {
  public var exchanges: [ExchangeDeclaration]
  public var queues: [QueueDeclaration]
  public var bindings: [Binding]

  public init(exchanges: [ExchangeDeclaration] = [], queues: [QueueDeclaration] = [], bindings: [Binding] = []) {
    self.exchanges = exchanges
    self.queues = queues
    self.bindings = bindings
  }
}

public struct ExchangeDeclaration: Hashable, Sendable {
  public var name: String
  /// `topic`, `direct`, `fanout`, `headers`, or a plugin's type.
  public var kind: String
  public var isDurable: Bool
  public var arguments: FieldTable

  public init(name: String, kind: String, isDurable: Bool = true, arguments: FieldTable = [:]) {
    self.name = name
    self.kind = kind
    self.isDurable = isDurable
    self.arguments = arguments
  }
}

public struct QueueDeclaration: Hashable, Sendable {
  public var name: String
  public var isDurable: Bool
  public var arguments: FieldTable
  /// Arguments of earlier versions that are accepted for an existing queue, whose arguments cannot be changed.
  public var acceptedArguments: [FieldTable]
  /// Names of arguments that an existing queue may have with any number.
  public var acceptedLimits: Set<String>

  public init(
    name: String, isDurable: Bool = true, arguments: FieldTable = [:], acceptedArguments: [FieldTable] = [],
    acceptedLimits: Set<String> = []
  ) {
    self.name = name
    self.isDurable = isDurable
    self.arguments = arguments
    self.acceptedArguments = acceptedArguments
    self.acceptedLimits = acceptedLimits
  }
}

/// What the broker tells of a queue to everybody who may see it.
public struct QueueState: Hashable, Sendable {
  /// Messages ready for delivery, without the unsettled ones, which AMQP does not tell.
  public var ready: Int
  public var consumers: Int

  public init(ready: Int, consumers: Int) {
    self.ready = ready
    self.consumers = consumers
  }
}

public struct Binding: Hashable, Sendable {
  public var queue: String
  public var exchange: String
  public var routingKey: String
  public var arguments: FieldTable

  public init(queue: String, exchange: String, routingKey: String, arguments: FieldTable = [:]) {
    self.queue = queue
    self.exchange = exchange
    self.routingKey = routingKey
    self.arguments = arguments
  }
}

/// Names an exchange, a queue or a binding in reports.
public struct TopologyObject: Hashable, Sendable, CustomStringConvertible {
  public enum Kind: String, Hashable, Sendable { case exchange, queue, binding }
  public let kind: Kind
  public let name: String

  public var description: String { "\(kind.rawValue) \(name)" }
}

/// What `declare` did with one object.
public struct TopologyChange: Hashable, Sendable {
  public enum Outcome: String, Hashable, Sendable {
    case created
    case alreadyThere
    /// For bindings: AMQP does not report whether one is new.
    case ensured
  }
  public let object: TopologyObject
  public let outcome: Outcome

  init(_ kind: TopologyObject.Kind, _ name: String, _ outcome: Outcome) {
    object = TopologyObject(kind: kind, name: name)
    self.outcome = outcome
  }
}

/// One difference between the broker and the topology.
public struct TopologyMismatch: Hashable, Sendable, CustomStringConvertible {
  public enum Difference: Hashable, Sendable {
    case missing
    /// It exists, but the broker compares it only for a user with permission to configure it.
    case notCompared
    /// Texts as the broker gives them; `nil` is "not set".
    case argument(name: String, actual: String?, wanted: String?)
    /// The broker's text, when it is not about an argument.
    case other(String)
  }
  public let object: TopologyObject
  public let difference: Difference

  public var description: String {
    switch difference {
    case .missing: "\(object) is missing"
    case .notCompared: "\(object) was not compared: the user may not configure it"
    case .argument(let name, let actual, let wanted):
      "\(object): argument \(name) is \(actual ?? "not set"), wanted \(wanted ?? "not set")"
    case .other(let text): "\(object): \(text)"
    }
  }
}

extension TopologyMismatch.Difference {
  /// Reads RabbitMQ's reply text of a 406, as built by `rabbit_misc:assert_args_equivalence` and by the exchange and
  /// queue checks: `… inequivalent arg 'N' for queue 'Q' in vhost 'V': received the value '1' of type 'long' but
  /// current is none`.
  init(replyText: String) {
    let expected = /(?s)inequivalent arg '(.*?)'.*?: received (.*?) but current is (.*)/
    guard let match = replyText.firstMatch(of: expected) else {
      self = .other(replyText)
      return
    }
    self = .argument(name: String(match.1), actual: Self.value(match.3), wanted: Self.value(match.2))
  }

  /// `none`, `'text'`, or `the value 'text' of type 'longstr'`.
  private static func value(_ text: Substring) -> String? {
    text.firstMatch(of: /(?s)'(.*?)(?:' of type '|'[^']*$)/).map { String($0.1) }
  }
}
