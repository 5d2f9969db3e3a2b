import Journey
import Testing

@Suite("Mapping: HubSpot")
struct HubSpotMappingTests {
  static func element(_ type: String, _ more: String = "", typeKey: String = "subscriptionType") -> String {
    #"""
    {"eventId":501,"\#(typeKey)":"\#(type)","portalId":77,"appId":9,"occurredAt":1763632800123,"attemptNumber":0,
    "objectId":4711,"changeSource":"CRM_UI"\#(more)}
    """#
  }

  static func change(_ type: String, _ property: String, _ value: String, _ more: String = "") -> String {
    element(type, #","propertyName":"\#(property)","propertyValue":"\#(value)"\#(more)"#)
  }

  static let tail = "501:4711 4711 2025-11-20T10:00:00.123Z"
  static let dealTail = "501:4711 880 2025-11-20T10:00:00.123Z"
  /// Where no contact is named, the deal or the ticket is looked for among the linked identities.
  static func linkedTail(_ object: String) -> String { "501:4711 \(object):4711 2025-11-20T10:00:00.123Z" }

  static let cases: [MappingCase] = [
    MappingCase(
      "contact created", "[\(element("contact.creation"))]", "event lead_created >=lead \(tail)",
      metadata: ["objectId": "4711", "portalId": "77"]),
    MappingCase("contact created, not in a list", element("contact.creation"), "event lead_created >=lead \(tail)"),
    MappingCase(
      "contact created, documentation's key", "[\(element("contact.creation", typeKey: "eventType"))]",
      "event lead_created >=lead \(tail)"),
    MappingCase(
      "generic contact created", element("object.creation", #","objectTypeId":"0-1""#),
      "event lead_created >=lead \(tail)"),
    MappingCase(
      "generic company created", element("object.creation", #","objectTypeId":"0-2""#), "ignored companies"),
    MappingCase(
      "subscriber", change("contact.propertyChange", "lifecyclestage", "subscriber"),
      "event lifecycle_changed >=lead \(tail)",
      metadata: ["value": "\"subscriber\""]),
    MappingCase(
      "qualified by marketing", change("contact.propertyChange", "lifecyclestage", "marketingqualifiedlead"),
      "event lead_qualified >=qualified_lead \(tail)"),
    MappingCase(
      "opportunity", change("object.propertyChange", "lifecyclestage", "opportunity", #","objectTypeId":"0-1""#),
      "event lead_qualified >=qualified_lead \(tail)"),
    MappingCase(
      "lifecycle of a company",
      change("object.propertyChange", "lifecyclestage", "opportunity", #","objectTypeId":"0-2""#),
      "ignored companies"),
    MappingCase(
      "customer", change("contact.propertyChange", "lifecyclestage", "customer"),
      "event lifecycle_changed >=onboarding \(tail)"),
    MappingCase(
      "evangelist", change("contact.propertyChange", "lifecyclestage", "evangelist"),
      "event lifecycle_changed >=retention \(tail)"),
    MappingCase(
      "own lifecycle stage", change("contact.propertyChange", "lifecyclestage", "94216345"),
      "event lifecycle_changed keep \(tail)"),
    MappingCase(
      "lead connected", change("contact.propertyChange", "hs_lead_status", "CONNECTED"),
      "event lead_qualified >=qualified_lead \(tail)"),
    MappingCase(
      "lead attempted", change("contact.propertyChange", "hs_lead_status", "ATTEMPTED_TO_CONTACT"),
      "event lead_status_changed keep \(tail)"
    ),
    MappingCase(
      "sensitive property", change("contact.propertyChange", "passport_number", "REDACTED"),
      "ignored contact's other properties"),
    MappingCase("contact deleted", element("contact.deletion"), "ignored contact housekeeping"),
    MappingCase(
      "contacts merged", element("contact.merge", #","primaryObjectId":1,"mergedObjectIds":[2,3]"#),
      "event client_merged keep 501:4711 1 2025-11-20T10:00:00.123Z becomes one with 2, 3"),
    MappingCase(
      "deal created, no contact", element("deal.creation"), "event deal_created >=qualified_lead \(linkedTail("deal"))"),
    MappingCase(
      "deal created, contact added", element("deal.creation", #","contactId":880"#),
      "event deal_created >=qualified_lead \(dealTail)",
      metadata: ["dealId": "4711"]),
    MappingCase(
      "deal won", change("deal.propertyChange", "dealstage", "closedwon", #","contactId":880"#),
      "event deal_won onboarding \(dealTail)"),
    MappingCase(
      "deal won, no contact", change("deal.propertyChange", "dealstage", "closedwon"),
      "event deal_won onboarding \(linkedTail("deal"))"),
    MappingCase(
      "deal lost", change("deal.propertyChange", "dealstage", "closedlost", #","contactId":880"#),
      "event deal_lost keep \(dealTail)"),
    MappingCase(
      "contract sent", change("deal.propertyChange", "dealstage", "contractsent", #","contactId":880"#),
      "event proposal_sent >=qualified_lead \(dealTail)"),
    MappingCase(
      "deal in a portal's own stage",
      change("deal.propertyChange", "dealstage", "5d7a7c1e-0000-4000-8000-7e1bd1c1f001", #","contactId":880"#),
      "event deal_stage_changed >=qualified_lead \(dealTail)"),
    MappingCase("deal's amount", change("deal.propertyChange", "amount", "12"), "ignored deal's other changes"),
    MappingCase(
      "ticket opened, no contact", element("ticket.creation"), "event ticket_opened keep \(linkedTail("ticket"))"),
    MappingCase(
      "ticket opened", element("ticket.creation", #","associatedContactId":"880""#),
      "event ticket_opened keep \(dealTail)",
      metadata: ["ticketId": "4711"]),
    MappingCase(
      "ticket closed", change("ticket.propertyChange", "hs_pipeline_stage", "4", #","contactId":880"#),
      "event ticket_closed keep \(dealTail)"),
    MappingCase("company created", element("company.creation"), "ignored companies"),
    MappingCase(
      "many events",
      "[\(element("contact.creation")),\(element("deal.creation")),\(element("company.creation")),\(element("contact.exploded")),7]",
      "event lead_created >=lead \(tail)", "event deal_created >=qualified_lead \(linkedTail("deal"))",
      "ignored companies",
      "unlisted contact.exploded",
      "rejected malformed $"),
  ]

  @Test(arguments: cases) func maps(_ example: MappingCase) throws {
    try example.check(try #require(try ShippedMappings.load()["hubspot"]))
  }

  @Test func takesTheContactFromAHeader() throws {
    let example = MappingCase(
      "header", Self.element("deal.creation"), "event deal_created >=qualified_lead \(Self.dealTail)")
    try example.check(
      try #require(try ShippedMappings.load()["hubspot"]), headers: ["x-org-id": MappingCase.org, "x-client-id": "880"])
  }
}
