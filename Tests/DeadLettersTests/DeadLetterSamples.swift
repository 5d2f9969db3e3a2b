import FoundationEssentials
import Journey

@testable import DeadLetters

extension DeadLetter {
  /// A sample dead letter; the number makes it unique.
  static func test(
    _ number: Int, code: String = "unknown_type", field: String? = "$.type", failedAt: Int64 = 100,
    replayCount: Int = 0,
    body: [UInt8]? = nil, source: String = "stripe", orgID: UUID? = nil
  ) -> DeadLetter {
    let body = body ?? Array(#"{"id":"e\#(number)"}"#.utf8)
    let message = OriginalMessage(
      exchange: "journey.events", routingKey: "a.b", messageID: "m\(number)", contentType: "application/json",
      properties: Array(#"{"deliveryMode":2,"messageId":"m\#(number)"}"#.utf8),
      headers: Array(#"[{"name":"x-source","type":"string","value":"\#(source)"}]"#.utf8), body: body,
      bodySize: body.count)
    return DeadLetter(
      message: message, orgID: orgID, source: source, type: "invoice.odd", code: code,
      reason: "the reason of \(number)", field: field,
      value: "value \(number)", attempts: 1, firstFailedAt: Timestamp(seconds: failedAt),
      failedAt: Timestamp(seconds: failedAt),
      replayCount: replayCount, causedBy: nil)
  }
}
