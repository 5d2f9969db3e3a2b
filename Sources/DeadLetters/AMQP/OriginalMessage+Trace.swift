public import Journey
public import JourneyAMQP

extension OriginalMessage {
  /// What the current mapping makes of the archived message, rule by rule; see `InboundDecoder.trace`.
  public func trace(with decoder: InboundDecoder) throws(Rejection) -> MappingTrace {
    guard let properties = MessageEncoding.properties(properties, headers: headers) else {
      throw Rejection(.malformed, field: "properties", "the archived properties of the message cannot be read")
    }
    return try decoder.trace(properties, body: body, bodySize: bodySize, routingKey: routingKey)
  }
}
