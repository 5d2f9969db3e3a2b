/// An element of a webhook body of HubSpot, which sends lists.
struct HubSpotEvent: Encodable {
  let eventId: Int
  let subscriptionId = 25
  let portalId = 33
  let appId = 1160
  /// Milliseconds since 1970.
  let occurredAt: Int
  let subscriptionType: String
  let attemptNumber = 0
  let objectId: Int
  let changeSource = "CRM_UI"
  let propertyName: String?
  let propertyValue: String?

  init(_ event: Occurrence) {
    eventId = event.client.number * 1000 + event.number
    occurredAt = event.time * 1000
    objectId = event.client.hubspotObject
    (propertyName, propertyValue) =
      switch event.what {
      case "lifecycle.lead": ("lifecyclestage", "lead")
      case "lifecycle.mql": ("lifecyclestage", "marketingqualifiedlead")
      case "lead_status": ("hs_lead_status", event.text("status"))
      default: (nil, nil)
      }
    subscriptionType = propertyName == nil ? event.what : "contact.propertyChange"
  }
}
