package import AMQPClient
import FoundationEssentials
package import Journey

/// The message that reports what became of an action: a CloudEvents 1.0 event in structured JSON.
public enum OutcomeEvent {
  public static let type = "\(staticType)"
  static let staticType: StaticString = "journey.action.outcome.v1"
  /// The extension attribute with the person, which counts only in messages that the adapter itself publishes.
  public static let reporter = "reporter"

  /// The message of a report by a person or by the adapter itself. Two messages of the same report have the same id.
  /// - Parameters:
  ///   - exchange: the exchange of outcomes.
  ///   - userID: the adapter's own user on the broker: only of it the reporter's name counts.
  package static func message(_ report: OutcomeReport, to exchange: String, userID: String?) -> OutboundMessage {
    let id = "\(report.actionID.text)/\(report.outcome.rawValue)/\(report.occurredAt.microseconds)"
    var json = JSONWriter(reservingCapacity: 512)
    json.beginObject()
    json.member("specversion", unescaped: "1.0")
    json.member("id", id)
    json.member(reporter, report.reporter.hasPrefix("person:") ? String(report.reporter.dropFirst(7)) : nil)
    json.cloudEventAttributes(type: type, time: report.occurredAt, orgID: report.orgID)
    json.beginObject()
    json.member("actionId", report.actionID)
    json.member("outcome", unescaped: report.outcome.rawValue)
    json.member("occurredAt", report.occurredAt)
    json.member("detail", report.detail)
    json.member("until", report.until)
    json.endObject()
    json.endObject()
    let properties = MessageProperties(
      contentType: "application/cloudevents+json", messageID: id, type: type, userID: userID,
      appID: "client-journey-adapter")
    return OutboundMessage(
      exchange: exchange, routingKey: "person.\(report.outcome.rawValue)", properties: properties, body: json.bytes)
  }
}
