import AMQPClient
import FoundationEssentials
public import Journey
public import JourneyPipeline

/// What can be told of a message that could not be applied.
extension InboundDecoder {
  /// Whose message it seems to be, for a filter: whatever part of it can be read.
  func guessOrigin(_ properties: MessageProperties, body: [UInt8], routingKey: String) -> (
    source: String?, orgID: UUID?, type: String?
  ) {
    // The beginning of a body that is cut is no JSON, as a rule; what it is is seen at once.
    let form = body.count <= maximumBodyBytes ? try? form(of: properties, body: body) : nil
    let routed = form.map { (source: $0.source, orgID: $0.orgID) } ?? (try? route(properties))
    let document = form?.document ?? (body.count <= maximumBodyBytes ? try? JSONDocument(parsing: body) : nil)
    guard let document else {
      return (routed?.source ?? properties.headers["x-source"]?.headerText, routed?.orgID, properties.type)
    }
    let root = document.root
    if routed?.source == Self.cloudEvents {
      return (
        root["source"]?.string ?? Self.cloudEvents, root["orgid"]?.string.flatMap { UUID(uuidString: $0) },
        root["type"]?.string
      )
    }
    let source = routed?.source ?? properties.headers["x-source"]?.headerText
    let orgID =
      routed?.orgID ?? ["orgId", "org_id"].lazy.compactMap { root[$0]?.string.flatMap { UUID(uuidString: $0) } }.first
    var type = properties.type ?? root["type"]?.string
    if let mapping = source.flatMap({ mappings[$0] }) {
      let input = Self.input(document, properties, routingKey: routingKey, orgID: routed?.orgID, now: clock.now())
      type = mapping.trace(input).elements.first?.type ?? type
    }
    return (source, orgID, type)
  }

  /// What the mapping makes of an archived message as things stand now, rule by rule. For the screen of a person; it
  /// shows values of the body.
  /// - Throws: the rejection where no mapping gets to see it.
  public func trace(of message: OriginalMessage) throws(Rejection) -> MappingTrace {
    guard let properties = MessageEncoding.properties(message.properties, headers: message.headers) else {
      throw Rejection(.malformed, field: "properties", "what is archived of the message's properties cannot be read")
    }
    try requireFitting(message.bodySize)
    guard message.body.count == message.bodySize else {
      throw Rejection(.tooLarge, field: "body", "only its beginning is archived")
    }
    let form = try form(of: properties, body: message.body)
    guard let mapping = mappings[form.source] else { throw Self.noMapping(form.source) }
    return mapping.trace(
      Self.input(form.document, properties, routingKey: message.routingKey, orgID: form.orgID, now: clock.now()))
  }
}
