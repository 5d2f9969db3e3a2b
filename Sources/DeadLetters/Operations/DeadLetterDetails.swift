public import JourneyAMQP
public import Journey

/// A dead letter with what the mapping makes of it now and with its history, as JSON.
public struct DeadLetterDetails: Encodable {
  private let deadLetter: ArchivedDeadLetter
  private let history: [DeadLetterLogEntry]
  private let trace: Result<MappingTrace, Rejection>

  public init(
    _ deadLetter: ArchivedDeadLetter, history: [DeadLetterLogEntry], trace: Result<MappingTrace, Rejection>
  ) {
    self.deadLetter = deadLetter
    self.history = history
    self.trace = trace
  }

  public func encode(to encoder: any Encoder) throws {
    try DeadLetterJSON(deadLetter, body: .base64AndText).encode(to: encoder)
    let verdicts: [Verdict] =
      switch trace {
      case .failure(let rejection): [Verdict(rule: nil, outcome: .rejected(rejection, element: 0))]
      case .success(let trace):
        trace.elements.map { Verdict(rule: $0.rules.last { $0.isMatch }?.name, outcome: $0.outcome) }
      }
    try (["mapping": verdicts, "history": history] as JSONObject).encode(to: encoder)
  }

  /// What the mapping makes of an element of the body.
  private struct Verdict: Encodable {
    var rule: String?
    var outcome: MappingOutcome

    func encode(to encoder: any Encoder) throws {
      try (["rule": rule] as JSONObject).encode(to: encoder)
      try outcome.encode(to: encoder)
    }
  }
}

extension OriginalMessage {
  /// What the current mapping makes of the archived message, rule by rule; see `InboundDecoder.trace`.
  public func trace(with decoder: InboundDecoder) throws(Rejection) -> MappingTrace {
    guard let properties = MessageEncoding.properties(properties, headers: headers) else {
      throw Rejection(.malformed, field: "properties", "the archived properties of the message cannot be read")
    }
    return try decoder.trace(properties, body: body, bodySize: bodySize, routingKey: routingKey)
  }
}
