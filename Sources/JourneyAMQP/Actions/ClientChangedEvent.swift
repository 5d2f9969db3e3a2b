import FoundationEssentials
public import Journey

/// The message that tells what has changed of a client: a CloudEvents 1.0 event in structured JSON, with the routing
/// key `<stage>.<risk level>`.
public enum ClientChangedEvent {
  public static let type = "journey.client.changed.v1"

  /// Pure: the same change always yields the same bytes.
  public static func message(_ change: ClientChange) -> ActionMessage {
    var message = ActionMessage(
      id: change.id, orgID: change.orgID, routingKey: "\(change.stage.rawValue).\(change.level.rawValue.lowercased())",
      priority: .low,
      timeToLive: nil, decidedAt: change.at, causeID: change.id.text, traceparent: nil, body: body(change))
    message.kind = .clientChange
    return message
  }

  private static func body(_ change: ClientChange) -> [UInt8] {
    var json = JSONWriter(reservingCapacity: 512)
    json.beginObject()
    json.member("specversion", unescaped: "1.0")
    json.member("id", change.id)
    json.cloudEventAttributes(type: type, time: change.at, subject: change.clientID, orgID: change.orgID)
    json.beginObject()
    json.member("stage", unescaped: change.stage.rawValue)
    json.member("riskLevel", unescaped: change.level.rawValue)
    json.key("changes")
    json.raw(change.changes)
    json.key("cause")
    json.raw(change.cause)
    json.endObject()
    json.endObject()
    return json.bytes
  }
}
