import Foundation

/// A webhook body of Zendesk. Keys are written in snake case.
struct ZendeskEvent: Encodable {
  struct Via: Encodable {
    let channel = "email"
  }
  struct Ticket: Encodable {
    let id: String
    let requesterId: String
    let status: String
    let priority = "NORMAL"
    let via = Via()
  }
  struct Satisfaction: Encodable {
    let score: String
  }
  struct Change: Encodable {
    var current: String?
    var previous: String?
    var satisfactionScore: Satisfaction?
  }

  let accountId = 22_000
  let detail: Ticket
  let event: Change
  let id: String
  let subject: String
  let time: String
  let type: String
  let zendeskEventVersion = "2022-11-06"

  init(_ event: Occurrence) {
    let number = event.client.number
    let ticket = number * 100 + (event.number("ticket") ?? 0)
    let (kind, change): (String, Change) =
      switch event.what {
      case "ticket.created": ("ticket.created", Change())
      case "ticket.solved": ("ticket.status_changed", Change(current: "SOLVED", previous: "OPEN"))
      case "ticket.escalated": ("ticket.priority_changed", Change(current: "URGENT", previous: "NORMAL"))
      case "csat.bad": ("ticket.csat_received", Change(satisfactionScore: Satisfaction(score: "BAD")))
      default: ("ticket.csat_received", Change(satisfactionScore: Satisfaction(score: "GOOD")))
      }
    detail = Ticket(
      id: String(ticket), requesterId: event.client.zendeskRequester,
      status: event.what == "ticket.solved" ? "SOLVED" : "OPEN")
    self.event = change
    id = String(format: "0c0de000-0000-4000-8000-%06d%06d", number, event.number)
    subject = "zen:ticket:\(ticket)"
    time = event.rfc3339
    type = "zen:event-type:\(kind)"
  }
}
