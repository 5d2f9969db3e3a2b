import FoundationEssentials
public import Journey

/// The message that takes an action back: a CloudEvents 1.0 event in structured JSON. It goes the way of the action.
public enum RevocationEvent {
  public static let type = "journey.action.revoked.v1"

  /// The id of the message: another one than the action's, which workers use to drop copies.
  static func id(of action: UUID) -> String { action.text + "/revoked" }

  /// Pure: the same revocation always yields the same bytes.
  public static func message(_ revoked: RevokedAction) -> ActionMessage {
    var message = ActionMessage(
      id: revoked.id, orgID: revoked.orgID,
      routingKey: [revoked.channel.rawValue, revoked.action.rawValue, revoked.priority.rawValue].joined(separator: "."),
      priority: revoked.priority, timeToLive: revoked.timeToLive, decidedAt: revoked.at, causeID: revoked.id.text,
      traceparent: revoked.traceparent, body: body(revoked))
    message.kind = .revocation
    return message
  }

  private static func body(_ revoked: RevokedAction) -> [UInt8] {
    var json = JSONWriter(reservingCapacity: 512)
    json.beginObject()
    json.member("specversion", unescaped: "1.0")
    json.member("id", id(of: revoked.id))
    json.cloudEventAttributes(
      type: type, time: revoked.at, subject: revoked.clientID, orgID: revoked.orgID, traceparent: revoked.traceparent)
    json.beginObject()
    json.member("actionId", revoked.id)
    json.member("action", unescaped: revoked.action.rawValue)
    json.member("channel", revoked.channel.rawValue)
    json.member("state", unescaped: revoked.state.rawValue)
    json.member("reason", revoked.reason)
    json.member("revokedAt", revoked.at)
    json.endObject()
    json.endObject()
    return json.bytes
  }
}
