import FoundationEssentials
import Journey
import Testing

@Suite("Mapping: CloudEvents and the journey body")
struct CanonicalMappingTests {
  static let client = "0193a6f2-7b1e-7c3a-9f0e-1a2b3c4d5e6f"

  static func event(
    _ type: String, data: String = "{}", subject: String = "\"\(client)\"",
    time: String = "\"2026-11-20T10:00:00.123Z\""
  )
    -> String
  {
    #"""
    {"specversion":"1.0","id":"e1","source":"/crm/acme","type":"\#(type)","time":\#(time),"subject":\#(subject),
    "orgid":"\#(MappingCase.org)","data":\#(data)}
    """#
  }

  static func stages(_ profile: ShippedMappings.Profile, _ expected: [String: [String]]) throws {
    let mapping = try #require(try ShippedMappings.load(profile)["cloudevents"])
    for (stage, types) in expected {
      for type in types {
        try MappingCase(type, event(type), "event \(type) \(stage) e1 \(client) 2026-11-20T10:00:00.123Z").check(
          mapping, headers: [:])
      }
    }
  }

  @Test func knowsTheStageOfEveryFamily() throws {
    try Self.stages(
      .defaultProfile,
      [
        ">=lead": ["lead_created"], ">=qualified_lead": ["lead_qualified", "deal_created"],
        "onboarding": ["contract_signed", "meeting_scheduled", "deal_won", "subscription_started", "trial_started"],
        ">=onboarding": ["trial_ending", "trial_ended"],
        "active_project": ["project_started", "milestone_completed", "milestone_delayed"],
        "awaiting_feedback": ["deliverable_sent", "survey_sent", "survey_answered", "feedback_received"],
        "billing": ["invoice_paid", "invoice_voided", "payment_received"],
        ">=billing": ["invoice_created", "invoice_sent", "invoice_overdue", "renewal_upcoming"],
        "retention": ["subscription_renewed", "dispute_won"], ">=retention": ["subscription_changed"],
        "upsell_candidate": ["usage_high", "usage_limit_reached"],
        "churn_risk": ["cancel_requested", "subscription_cancelled", "payment_failed"],
        "keep": [
          "ticket_opened", "ticket_closed", "ticket_reopened", "sentiment_detected", "usage_reported", "usage_low",
          "feature_used",
        ],
      ])
  }

  @Test func literalProfileSetsAStageWithEveryEvent() throws {
    try Self.stages(
      .literal,
      [
        "lead": ["lead_created"], "qualified_lead": ["lead_qualified"],
        "onboarding": ["contract_signed", "meeting_scheduled"],
        "active_project": [
          "milestone_completed", "milestone_delayed", "ticket_opened", "ticket_closed", "ticket_anything",
        ],
        "awaiting_feedback": ["deliverable_sent", "survey_answered"],
        "billing": ["invoice_sent", "invoice_paid", "invoice_overdue", "invoice_anything"],
        "retention": ["subscription_renewed"], "upsell_candidate": ["usage_high"], "churn_risk": ["cancel_requested"],
      ])
    let mapping = try #require(try ShippedMappings.load(.literal)["cloudevents"])
    for rule in mapping.rules {
      guard case .event(let template) = rule.outcome else { continue }
      #expect(template.stage != .keep, "\(rule.name)")
      #expect(template.metadata == MappingMetadata(base: .reference(try MappingReference("$.data"))), "\(rule.name)")
    }
  }

  @Test func literalProfileReplacesOneSourceAndKeepsTheOthers() throws {
    let plain = try ShippedMappings.load()
    let literal = try ShippedMappings.load(.literal)
    #expect(plain.sources.count == 33)
    #expect(literal.sources == plain.sources)
    func parts(_ source: String, _ catalog: MappingCatalog) throws -> [[AnyHashable?]] {
      try #require(catalog[source]).rules.map { rule in
        switch rule.outcome {
        case .ignore(let reason): [rule.name, rule.types, rule.condition, reason]
        case .reject(let rejection): [rule.name, rule.types, rule.condition, rejection]
        case .event(let event):
          [
            rule.name, rule.types, rule.condition, event.id, event.type, event.stage, event.time, event.client,
            event.creation?.name, event.linked,
            event.merged, event.metadata,
          ]
        }
      }
    }
    #expect(try parts("cloudevents", literal) != parts("cloudevents", plain))
    #expect(try parts("stripe", literal) == parts("stripe", plain))
  }

  /// Whatever canonical type a vendor's rule makes can also be published as a CloudEvent: there is one vocabulary.
  @Test(arguments: [ShippedMappings.Profile.defaultProfile, .literal])
  func takesEveryTypeThatVendorsMappingsMake(_ profile: ShippedMappings.Profile) throws {
    let catalog = try ShippedMappings.load(profile)
    let canonical = try #require(catalog["cloudevents"])
    var types: Set<String> = []
    // What the profile `literal` leaves out, the new sources may use.
    let sources =
      profile == .literal
      ? ["stripe", "hubspot", "zendesk"] : catalog.sources.filter { !["cloudevents", "journey"].contains($0) }
    for source in sources {
      for case .event(let template) in try #require(catalog[source]).rules.map(\.outcome) {
        switch template.type {
        case .constant(let type): types.insert(type.text)
        case .then(_, .table(let table, _)): types.formUnion(table.values.map(\.text))
        default: Issue.record("\(source): \(template.type)")
        }
      }
    }
    if profile == .literal { types.subtract(["client_merged", "contact_updated"]) }
    #expect(types.count > 30)
    for type in types.sorted() where EventTypes.actor(of: type) != nil {
      let taken = canonical.rules.contains { rule in
        rule.types.contains { $0.covers(.exactly(type)) }
      }
      #expect(taken, "\(type)")
    }
  }

  static let cases: [MappingCase] = [
    MappingCase(
      "data passes through", event("invoice_overdue", data: #"{"invoiceId":"in_1", "amountDue": 12000.00}"#),
      "event invoice_overdue >=billing e1 \(client) 2026-11-20T10:00:00.123Z", metadata: ["amountDue": "12000.00"]),
    MappingCase(
      "client in the data", event("invoice_paid", data: #"{"clientId":"c-7"}"#, subject: "null"),
      "event invoice_paid billing e1 c-7 2026-11-20T10:00:00.123Z"),
    MappingCase(
      "customer in the data", event("invoice_paid", data: #"{"customerId":42}"#, subject: "\"\""),
      "event invoice_paid billing e1 42 2026-11-20T10:00:00.123Z"),
    MappingCase(
      "no client", event("invoice_paid", subject: "null"),
      "rejected missing_field $.subject or $.data.clientId or $.data.customerId"),
    MappingCase(
      "NPS becomes a sentiment", event("survey_answered", data: #"{"nps":3}"#),
      "event survey_answered awaiting_feedback e1 \(client) 2026-11-20T10:00:00.123Z",
      metadata: ["sentiment": "\"negative\"", "nps": "3"]),
    MappingCase(
      "a sentiment stays", event("survey_answered", data: #"{"nps":3,"sentiment":"neutral"}"#),
      "event survey_answered awaiting_feedback e1 \(client) 2026-11-20T10:00:00.123Z",
      metadata: ["sentiment": "\"neutral\""]),
    MappingCase(
      "usage by its other name", event("usage_low", data: #"{"usagePercent":7.5}"#),
      "event usage_low keep e1 \(client) 2026-11-20T10:00:00.123Z", metadata: ["usage": "7.5"]),
    MappingCase(
      "a batch", "[\(event("invoice_paid")),\(event("unheard_of"))]",
      "event invoice_paid billing e1 \(client) 2026-11-20T10:00:00.123Z",
      "rejected unknown_type $.type unheard_of"),
    MappingCase(
      "binary data",
      #"""
      {"specversion":"1.0","id":"e1","source":"/s","type":"invoice_paid","orgid":"\#(MappingCase.org)","subject":"c",
      "time":"2026-11-20T10:00:00Z","data_base64":"eyJhIjoxfQ=="}
      """#,
      "event invoice_paid billing e1 c 2026-11-20T10:00:00Z", metadata: ["a": "1"]),
    MappingCase(
      "binary data that is no JSON",
      #"""
      {"specversion":"1.0","id":"e1","source":"/s","type":"invoice_paid","orgid":"\#(MappingCase.org)","subject":"c",
      "time":"2026-11-20T10:00:00Z","data_base64":"AAEC"}
      """#,
      "rejected unsupported_content_type $.data_base64"),
    MappingCase(
      "the specification's example", event("com.example.someevent"), "ignored the specification's examples"),
    MappingCase(
      "time without a zone", event("invoice_paid", time: "\"2026-11-20T10:00:00\""),
      "rejected invalid_field $.time 2026-11-20T10:00:00"),
    MappingCase(
      "time of 1970", event("invoice_paid", time: "\"1970-01-01T00:00:00Z\""),
      "rejected invalid_field $.time 1970-01-01T00:00:00Z"),
    MappingCase(
      "time of 2999", event("invoice_paid", time: "\"2999-01-01T00:00:00Z\""),
      "rejected invalid_field $.time 2999-01-01T00:00:00Z"),
    MappingCase("no time", event("invoice_paid", time: "null"), "rejected missing_field $.time or property:timestamp"),
    MappingCase(
      "an amount of 10^30", event("invoice_paid", data: #"{"lines":[{"amount":1e30}]}"#),
      "rejected invalid_field $.data.lines[0].amount 1e30"),
    MappingCase(
      "data is a list", event("invoice_paid", data: "[1]"), "rejected invalid_field $.data or $.data_base64 [1]"),
    MappingCase("not an object", "[3]", "rejected malformed $"),
    MappingCase("nothing", "[]", "rejected malformed $[*]"),
  ]

  @Test(arguments: cases) func maps(_ example: MappingCase) throws {
    try example.check(try #require(try ShippedMappings.load()["cloudevents"]), headers: [:])
  }

  @Test func namesTheSourceOfTheEnvelopeAndCreatesALead() throws {
    let mapping = try #require(try ShippedMappings.load()["cloudevents"])
    let body = Self.event("lead_created", data: #"{"company":"Acme","email":"kim@example.org","phone":"+49 30 1"}"#)
    let input = MappingInput(
      document: try JSONDocument(parsing: body),
      limits: EventLimits(now: try #require(Timestamp(iso8601: "2026-11-23T00:00:00Z"))))
    guard case .event(let event) = mapping.map(input).outcomes[0] else {
      Issue.record("no event")
      return
    }
    #expect(event.source == "/crm/acme")
    #expect(event.client.id == UUID(uuidString: Self.client))
    #expect(event.client.creation == NewClient(name: "Acme", email: "kim@example.org", phone: "+49 30 1"))
    let orphan = try MappingInput(
      document: JSONDocument(parsing: body.dropping(#""source":"/crm/acme","#)), limits: input.limits)
    #expect(MappingCase.line(mapping.map(orphan).outcomes[0]) == "rejected missing_field $.source")
    let stateless = try MappingInput(
      document: JSONDocument(parsing: body.dropping(#""orgid":"\#(MappingCase.org)","#)), limits: input.limits)
    #expect(MappingCase.line(mapping.map(stateless).outcomes[0]) == "rejected missing_field $.orgid or header:x-org-id")
  }

  static let journey: [MappingCase] = [
    MappingCase(
      "the design document's body",
      #"{"clientId":"\#(client)","stage":"onboarding","eventType":"meeting_scheduled","metadata":{"meetingDate":"2025-11-25"}}"#,
      "event meeting_scheduled onboarding m1 \(client) 2026-11-20T10:00:00Z",
      metadata: ["meetingDate": "\"2025-11-25\""]),
    MappingCase(
      "with its own id and time",
      #"{"id":5,"clientId":"c","stage":"lead","eventType":"Any Type","occurredAt":"2026-11-19T10:00:00Z"}"#,
      "event Any Type lead 5 c 2026-11-19T10:00:00Z"),
    MappingCase(
      "an unknown stage", #"{"clientId":"c","stage":"won","eventType":"x"}"#, "rejected invalid_field $.stage won"),
    MappingCase("no stage", #"{"clientId":"c","eventType":"x"}"#, "rejected missing_field $.stage"),
    MappingCase("no type", #"{"clientId":"c","stage":"lead"}"#, "rejected missing_field $.eventType"),
    MappingCase("no client", #"{"stage":"lead","eventType":"x"}"#, "rejected missing_field $.clientId"),
  ]

  @Test(arguments: journey) func mapsTheJourneyBody(_ example: MappingCase) throws {
    let time = Timestamp(iso8601: "2026-11-20T10:00:00Z")
    try example.check(try #require(try ShippedMappings.load()["journey"]), messageID: "m1", timestamp: time)
  }
}

extension String {
  fileprivate func dropping(_ part: String) -> String { split(separator: part).joined() }
}
