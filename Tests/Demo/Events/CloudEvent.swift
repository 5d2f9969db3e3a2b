/// CloudEvents 1.0 in structured JSON.
struct CloudEvent: Encodable {
  let specversion = "1.0"
  let id: String
  let source: String
  let type: String
  let time: String
  let subject: String
  let orgid: String
  let data: [String: JSONScalar]

  init(_ event: Occurrence) {
    let client = event.client
    id = "\(event.line.source)-\(client.number)-\(event.number)"
    source = "/\(event.line.source)/\(client.organisation.key)"
    type = event.what
    time = event.rfc3339
    subject = client.isKnown ? client.id : "lead-\(client.number)"
    orgid = client.organisation.id
    var data = event.data
    if event.what == "lead_created" {
      data["name"] = .text(client.name)
      data["email"] = .text(client.email)
    }
    self.data = data
  }
}

/// The adapter's own body (config/mappings/journey.yaml).
struct OwnEvent: Encodable {
  let id: String
  let clientId: String
  let stage: String
  let eventType: String
  let occurredAt: String
  let metadata: [String: JSONScalar]

  init(_ event: Occurrence) {
    id = "own-\(event.client.number)-\(event.number)"
    clientId = event.client.id
    stage = event.text("stage") ?? ""
    eventType = event.what
    occurredAt = event.rfc3339
    metadata = event.data
  }
}
