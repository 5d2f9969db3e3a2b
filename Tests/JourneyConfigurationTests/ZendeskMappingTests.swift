import Journey
import Testing

@Suite("Mapping: Zendesk")
struct ZendeskMappingTests {
  static func event(_ type: String, event: String = "{}", requester: String = #""requester_id":"8001","#) -> String {
    #"""
    {"account_id":22,"id":"b3d1","subject":"zen:ticket:515","time":"2025-11-20T10:00:00.987654321Z","type":"zen:event-type:\#(type)",
     "zendesk_event_version":"2022-11-06","event":\#(event),"detail":{"actor_id":"9000",\#(requester)"id":"515","organization_id":"7001",
     "priority":"LOW","status":"OPEN","subject":"It does not start","tags":[],"via":{"channel":"web_service"}}}
    """#
  }

  static let tail = "b3d1 8001 2025-11-20T10:00:00.987654Z"

  static let cases: [MappingCase] = [
    MappingCase(
      "ticket created", event("ticket.created"), "event ticket_opened keep \(tail)",
      metadata: ["ticketId": "\"515\"", "priority": "\"LOW\"", "channel": "\"web_service\""]),
    MappingCase(
      "ticket solved", event("ticket.status_changed", event: #"{"current":"SOLVED","previous":"OPEN"}"#),
      "event ticket_resolved keep \(tail)", metadata: ["now": "\"SOLVED\"", "was": "\"OPEN\""]),
    MappingCase(
      "ticket solved, no requester",
      event("ticket.status_changed", event: #"{"current":"SOLVED","previous":"OPEN"}"#, requester: ""),
      "event ticket_resolved keep b3d1 ticket:515 2025-11-20T10:00:00.987654Z"),
    MappingCase(
      "ticket of nobody", event("ticket.created", requester: #""requester_id":"0","#),
      "event ticket_opened keep b3d1 ticket:515 2025-11-20T10:00:00.987654Z"),
    MappingCase(
      "ticket closed", event("ticket.status_changed", event: #"{"current":"CLOSED","previous":"SOLVED"}"#),
      "event ticket_closed keep \(tail)"),
    MappingCase(
      "ticket reopened", event("ticket.status_changed", event: #"{"current":"OPEN","previous":"SOLVED"}"#),
      "event ticket_reopened keep \(tail)"),
    MappingCase(
      "ticket pending", event("ticket.status_changed", event: #"{"current":"PENDING","previous":"OPEN"}"#),
      "event ticket_updated keep \(tail)"),
    MappingCase(
      "ticket urgent", event("ticket.priority_changed", event: #"{"current":"URGENT","previous":"LOW"}"#),
      "event ticket_escalated keep \(tail)"),
    MappingCase(
      "ticket's priority lowered", event("ticket.priority_changed", event: #"{"current":"LOW","previous":"NORMAL"}"#),
      "event ticket_updated keep \(tail)"),
    MappingCase(
      "client's comment",
      event(
        "ticket.comment_added",
        event: #"{"comment":{"id":"c1","is_public":true,"author":{"id":"8001","is_staff":false}}}"#),
      "event ticket_replied keep \(tail)", metadata: ["commentId": "\"c1\""]),
    MappingCase(
      "staff's comment",
      event(
        "ticket.comment_added", event: #"{"comment":{"id":"c1","is_public":true,"author":{"id":"1","is_staff":true}}}"#),
      "ignored staff's or bot's comment"),
    MappingCase(
      "bot's comment", event("ticket.comment_added", event: #"{"comment":{"id":"c1","author":{"id":"zd:answerBot"}}}"#),
      "ignored staff's or bot's comment"),
    MappingCase(
      "bad rating", event("ticket.csat_received", event: #"{"satisfaction_score":{"score":"BAD","reason":"slow"}}"#),
      "event survey_answered awaiting_feedback \(tail)",
      metadata: ["sentiment": "\"negative\"", "score": "\"BAD\"", "reason": "\"slow\""]),
    MappingCase(
      "good rating", event("ticket.csat_received", event: #"{"satisfaction_score":{"score":"good_with_comment"}}"#),
      "event survey_answered awaiting_feedback \(tail)", metadata: ["sentiment": "\"positive\""]),
    MappingCase(
      "rating of 3 in 5", event("ticket.csat_received", event: #"{"rating":3}"#),
      "event survey_answered awaiting_feedback \(tail)",
      metadata: ["sentiment": "\"neutral\"", "score": "3"]),
    MappingCase(
      "rating offered", event("ticket.csat_received", event: #"{"satisfaction_score":{"score":"OFFERED"}}"#),
      "ignored satisfaction unanswered"),
    MappingCase("rating asked", event("ticket.csat_requested"), "event survey_sent >=awaiting_feedback \(tail)"),
    MappingCase("tags", event("ticket.tags_changed"), "ignored ticket housekeeping"),
    MappingCase("organization", event("organization.created"), "ignored other domains"),
    MappingCase(
      "end user",
      #"""
      {"account_id":22,"id":"b3d2","time":"2025-11-20T10:00:00Z","type":"zen:event-type:user.created","event":{},
      "detail":{"id":"8002","email":"kim@example.org","role":"end-user"}}
      """#,
      "event contact_created keep b3d2 8002 2025-11-20T10:00:00Z",
      metadata: ["userId": "\"8002\"", "ticketId": "absent"]),
    MappingCase(
      "agent",
      #"{"id":"b3d2","time":"2025-11-20T10:00:00Z","type":"zen:event-type:user.created","detail":{"id":"8002","role":"agent"}}"#,
      "ignored other user events"),
    MappingCase(
      "unknown domain", event("spaceship.launched"), "unlisted zen:event-type:spaceship.launched"),
  ]

  @Test(arguments: cases) func maps(_ example: MappingCase) throws {
    try example.check(try #require(try ShippedMappings.load()["zendesk"]))
  }
}
