import FoundationEssentials
public import Journey

/// The message that recommends an action to a worker: a CloudEvents 1.0 event in structured JSON.
public enum ActionEvent {
  public static let type = "journey.action.recommended.v1"

  /// Pure: the same action always yields the same bytes.
  public static func message(_ action: RecommendedAction) -> ActionMessage {
    var routingKey = ""
    routingKey.reserveCapacity(56)
    for (index, segment) in [action.channel.rawValue, action.action.rawValue, action.priority.rawValue].enumerated() {
      if index > 0 { routingKey += "." }
      routingKey += segment
    }
    return ActionMessage(
      id: action.id, orgID: action.orgID, routingKey: routingKey, priority: action.priority,
      timeToLive: action.timeToLive,
      decidedAt: action.decidedAt,
      causeID: action.causeID, traceparent: action.traceparent, body: body(action))
  }

  private static func body(_ action: RecommendedAction) -> [UInt8] {
    var json = JSONWriter(reservingCapacity: 1024)
    json.beginObject()
    json.member("specversion", unescaped: "1.0")
    json.member("id", action.id)
    json.cloudEventAttributes(
      type: type, time: action.decidedAt, subject: action.clientID, orgID: action.orgID,
      traceparent: action.traceparent)
    writeData(action, into: &json)
    json.endObject()
    return json.bytes
  }

  private static func writeData(_ action: RecommendedAction, into json: inout JSONWriter) {
    json.beginObject()
    json.member("action", unescaped: action.action.rawValue)
    json.member("channel", action.channel.rawValue)
    json.member("priority", unescaped: action.priority.rawValue)
    json.member("reason", action.reason)
    json.key("score")
    json.double(action.score)
    json.member("riskLevel", unescaped: action.level.rawValue)
    json.key("risks")
    json.raw(action.risks)
    json.member("stage", unescaped: action.stage.rawValue)
    json.key("recommendedActions")
    json.raw(action.recommended)
    json.key("client")
    json.beginObject()
    json.member("name", action.name)
    json.member("email", action.email)
    json.member("phone", action.phone)
    json.endObject()
    json.member("causationId", action.causeID)
    json.member("decidedAt", action.decidedAt)
    json.member("notBefore", action.decidedAt)
    json.member("expiresAt", action.expiresAt)
    json.member("ruleVersion", action.ruleVersion)
    json.endObject()
  }
}
