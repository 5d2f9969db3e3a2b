public import AMQPClient
import FoundationEssentials
public import Journey

/// Publishes actions to the exchange that workers consume from: persistent, mandatory, confirmed.
public struct AMQPActionPublisher: ActionPublisher {
  private let publisher: AMQPPublisher
  private let exchange: String
  private let changes: String
  private let gate: ActionGate?
  private let userID: String?

  /// - Parameters:
  ///   - exchange: of actions and revocations.
  ///   - changes: the exchange of changes of clients.
  ///   - userID: of the login that publishes: by it an action that comes back is recognized.
  ///   - gate: nil: all actions are published at once.
  public init(
    publisher: AMQPPublisher, exchange: String, changes: String, userID: String? = nil, gate: ActionGate? = nil
  ) {
    self.publisher = publisher
    self.exchange = exchange
    self.changes = changes
    self.gate = gate
    self.userID = userID
  }

  public func publish(_ actions: [ActionMessage], completion: @escaping @Sendable ([PublishFailure?]) -> Void) {
    var verdicts: PublishGate?
    if let gate { verdicts = { gate.verdict(on: actions[$0]) } }
    publisher.publish(actions.map(message), gate: verdicts) { outcomes in completion(outcomes.map(Self.failure)) }
  }

  private func message(_ action: ActionMessage) -> OutboundMessage {
    var headers: FieldTable = ["x-cause-id": .string(action.causeID)]
    if let traceparent = action.traceparent { headers["traceparent"] = .string(traceparent) }
    let properties = MessageProperties(
      contentType: "application/cloudevents+json", headers: headers, priority: action.priority.level,
      // An AMQP short string holds at most 255 bytes; the header has the whole id.
      correlationID: action.causeID.utf8.count <= 255 ? action.causeID : nil,
      // The broker closes the channel if the time to live exceeds 32 bits (49 days).
      expiration: action.timeToLive.map { String(min(max(0, $0.microseconds / 1000), Int64(UInt32.max))) },
      messageID: action.kind == .revocation ? RevocationEvent.id(of: action.id) : action.id.text,
      timestamp: action.decidedAt.microseconds / 1_000_000, type: action.kind.type, userID: userID,
      appID: "client-journey-adapter")
    let isChange = action.kind == .clientChange
    return OutboundMessage(
      exchange: isChange ? changes : exchange, routingKey: action.routingKey, properties: properties, body: action.body,
      isMandatory: !isChange)
  }

  private static func failure(_ outcome: PublishOutcome) -> PublishFailure? {
    switch outcome {
    case .confirmed: nil
    case .returned:
      PublishFailure(
        "\(outcome.explanation); is a queue bound for its channel?", isCertain: true, cause: .returned)
    case .nacked: PublishFailure(outcome.explanation, cause: .refused)
    case .failed(let error): PublishFailure(outcome.explanation, reason: error.reason, isCertain: true)
    case .unknown(let error): PublishFailure(outcome.explanation, reason: error.reason, cause: .unknown)
    case .held(let hold): PublishFailure(outcome.explanation, isCertain: true, hold: hold)
    }
  }
}

extension ActionMessage.Kind {
  fileprivate var type: String {
    switch self {
    case .recommendation: ActionEvent.type
    case .revocation: RevocationEvent.type
    case .clientChange: ClientChangedEvent.type
    }
  }
}

extension PublishOutcome {
  /// A human-readable description of the outcome.
  var explanation: String {
    switch self {
    case .confirmed: "the broker has confirmed it"
    case .returned(let code, let text): "no queue took it (\(code) \(text))"
    case .nacked: "the broker refused it; a queue may be full"
    case .failed(let error), .unknown(let error): "\(error)"
    case .held(let hold): "hold \(hold) is open"
    }
  }
}

extension Priority {
  /// AMQP's priority, 0 to 9.
  var level: UInt8 {
    switch self {
    case .low: 1
    case .medium: 4
    case .high: 7
    case .urgent: 9
    }
  }
}
