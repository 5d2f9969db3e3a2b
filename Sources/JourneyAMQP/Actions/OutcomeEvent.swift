import AMQPClient
import FoundationEssentials
import Journey

/// The message that reports what became of an action: a CloudEvents 1.0 event in structured JSON.
public enum OutcomeEvent {
  public static let type = "\(staticType)"
  static let staticType: StaticString = "journey.action.outcome.v1"
  /// The extension attribute with the person, which counts only in messages that the adapter itself publishes.
  public static let reporter = "reporter"

  /// The id follows from action and outcome: a copy counts once.
  ///
  /// - Parameters:
  ///   - orgID: as the action's message names it.
  ///   - userID: of the login that publishes it.
  static func message(
    exchange: String, action: UUID, orgID: String?, channel: String, outcome: String, at time: Timestamp,
    userID: String?, detail: String? = nil
  ) -> OutboundMessage {
    let id = "\(action.text)/\(outcome)"
    let body: JSONObject = [
      "specversion": "1.0", "id": id, "source": "/journey", "type": type, "time": time, "orgid": orgID,
      "datacontenttype": "application/json",
      "data": ["actionId": action, "outcome": outcome, "occurredAt": time, "detail": detail] as JSONObject,
    ]
    return OutboundMessage(
      exchange: exchange, routingKey: "\(channel).\(outcome)",
      properties: MessageProperties(
        contentType: "application/cloudevents+json", messageID: id, type: type, userID: userID,
        appID: "client-journey-adapter"),
      body: encodeJSON(body))
  }
}
