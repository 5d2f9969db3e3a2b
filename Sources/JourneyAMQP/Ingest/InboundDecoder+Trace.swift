package import AMQPClient
package import FoundationEssentials
package import Journey

/// Reports about messages that could not be applied.
extension InboundDecoder {
  /// Guesses the origin of a message from the parts that are readable, for filters.
  package func guessOrigin(_ properties: MessageProperties, body: [UInt8], routingKey: String) -> (
    source: String?, orgID: UUID?, type: String?
  ) {
    // A truncated body is usually invalid JSON, and parsing fails early.
    let form = body.count <= maxBodyBytes ? try? form(of: properties, body: body) : nil
    let routed = form.map { (source: $0.source, orgID: $0.orgID) } ?? (try? route(properties))
    let document = form?.document ?? (body.count <= maxBodyBytes ? try? JSONDocument(parsing: body) : nil)
    guard let document else {
      return (routed?.source ?? properties.headers.header("x-source"), routed?.orgID, properties.type)
    }
    let root = document.root
    if routed?.source == Self.cloudEvents {
      return (
        root["source"]?.string ?? Self.cloudEvents, root["orgid"]?.string.flatMap { UUID(uuidString: $0) },
        root["type"]?.string
      )
    }
    let source = routed?.source ?? properties.headers.header("x-source")
    let orgID =
      routed?.orgID ?? ["orgId", "org_id"].lazy.compactMap { root[$0]?.string.flatMap { UUID(uuidString: $0) } }.first
    var type = properties.type ?? root["type"]?.string
    if let mapping = source.flatMap({ mappings[$0] }) {
      let input = self.input(
        document, properties, routingKey: routingKey, orgID: routed?.orgID,
        received: AttemptRecord(properties.headers).firstFailureTime, now: clock.now())
      type = mapping.trace(input).elements.first?.type ?? type
    }
    return (source, orgID, type)
  }

  /// Traces how the current mapping handles a message, rule by rule. The trace contains values of the body, so it must
  /// not be logged.
  /// - Parameter bodySize: the size of the original body; `body` may be truncated.
  /// - Throws: the rejection if no mapping applies to the message.
  package func trace(
    _ properties: MessageProperties, body: [UInt8], bodySize: Int, routingKey: String
  ) throws(Rejection) -> MappingTrace {
    try requireFitting(bodySize)
    guard body.count == bodySize else { throw Rejection(.tooLarge, field: "body", "only its beginning is archived") }
    let form = try form(of: properties, body: body)
    guard let mapping = mappings[form.source] else { throw Self.noMapping(form.source) }
    return mapping.trace(
      input(
        form.document, properties, routingKey: routingKey, orgID: form.orgID,
        received: AttemptRecord(properties.headers).firstFailureTime, now: clock.now()))
  }
}
