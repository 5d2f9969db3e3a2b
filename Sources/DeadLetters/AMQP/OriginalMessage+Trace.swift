public import Journey
public import JourneyAMQP

extension OriginalMessage {
  /// What the mapping makes of the archived message as things stand now, rule by rule; see `InboundDecoder.trace`.
  public func trace(with decoder: InboundDecoder) throws(Rejection) -> MappingTrace {
    guard let properties = MessageEncoding.properties(properties, headers: headers) else {
      throw Rejection(.malformed, field: "properties", "what is archived of the message's properties cannot be read")
    }
    return try decoder.trace(properties, body: body, bodySize: bodySize, routingKey: routingKey)
  }
}
