import TestSupport
import AMQPClient
import FoundationEssentials
import Journey
import Testing

@testable import JourneyAMQP

/// Who may report what, and messages that say two things at once.
@Suite struct PublisherPolicyTests {
  private static let other = "00000000-0000-4000-8000-000000000002"
  private static let grants = [
    "billing": PublisherPolicy.Grant(sources: .init(["/billing/*"]), organizations: [UUID(uuidString: org)!]),
    "relay": PublisherPolicy.Grant(sources: .init(["stripe"]), organizations: nil),
  ]

  private func decode(
    _ body: String, _ headers: FieldTable = [:], contentType: String = "application/cloudevents+json",
    user: String? = nil, appID: String? = nil,
    policy: PublisherPolicy = PublisherPolicy(ownUser: "adapter", grants: grants)
  ) throws -> (sources: [String], rejections: [Rejection]) {
    let plain = delivery(body, contentType: contentType, headers: headers)
    var properties = plain.properties
    properties.userID = user
    properties.appID = appID
    let message = plain.with(exchange: plain.exchange, routingKey: plain.routingKey, properties: properties)
    let result = try decoder(publishers: policy).decode(message)
    return (result.events.map(\.event.source), result.rejections)
  }

  private static let own =
    #"{"id":"e1","orgId":"\#(org)","clientId":"c-1","stage":"lead","eventType":"lead_created","occurredAt":"2025-11-19T10:00:00Z"}"#

  @Test func whatIsGrantedPasses() throws {
    #expect(try decode(event(), user: "billing").sources == ["/billing/acme"])
    #expect(try decode(event(), user: nil, policy: PublisherPolicy()).sources == ["/billing/acme"])
    var open = Self.grants
    open[PublisherPolicy.others] = .init(sources: .init(["*"]), organizations: nil)
    #expect(try decode(event(), user: nil, policy: PublisherPolicy(grants: open)).sources == ["/billing/acme"])
  }

  @Test func anotherSourceOrOrganizationOrUserIsRefused() throws {
    let elsewhere = event().replacing(org, with: Self.other)
    let cases: [(String, String?, String)] = [
      (event().replacing("/billing/acme", with: "stripe"), "billing", "source"), (elsewhere, "billing", "organization"),
      (event(), "stranger", "property:user_id"), (event(), nil, "property:user_id"), (event(), "relay", "source"),
    ]
    for (body, user, field) in cases {
      let result = try decode(body, user: user)
      #expect(result.sources.isEmpty)
      #expect(result.rejections.map(\.code) == [.forbiddenPublisher])
      #expect(result.rejections.first?.field == field)
    }
  }

  @Test func historyIsLoadedOnlyByThoseWhoMay() throws {
    func isBackfill(_ value: FieldValue?, user: String?, _ policy: PublisherPolicy) throws -> (Bool?, String?) {
      let plain = delivery(event(), headers: value.map { ["x-backfill": $0] } ?? [:])
      var properties = plain.properties
      properties.userID = user
      let message = plain.with(exchange: plain.exchange, routingKey: plain.routingKey, properties: properties)
      let result = try decoder(publishers: policy).decode(message)
      return (result.events.first?.isBackfill, result.rejections.first?.field)
    }
    var granted = Self.grants
    granted["billing"]?.mayBackfill = true
    let open = PublisherPolicy(), refusing = PublisherPolicy(ownUser: "adapter", grants: Self.grants)
    let granting = PublisherPolicy(ownUser: "adapter", grants: granted)
    #expect(try isBackfill(.string("true"), user: nil, open) == (true, nil))
    #expect(try isBackfill(.string("TRUE"), user: nil, open) == (true, nil))
    #expect(try isBackfill(nil, user: nil, open) == (false, nil))
    #expect(try isBackfill(.string("false"), user: "billing", refusing) == (false, nil))
    #expect(try isBackfill(.string("true"), user: "billing", granting) == (true, nil))
    #expect(try isBackfill(.string("true"), user: "billing", refusing) == (nil, "header x-backfill"))
    #expect(try isBackfill(.bool(true), user: nil, open) == (true, nil))
    #expect(try isBackfill(.bool(false), user: nil, open) == (false, nil))
    for value in [FieldValue.string("yes"), .string(""), .int(1), .array([])] {
      #expect(try isBackfill(value, user: nil, open) == (nil, "header x-backfill"), "\(value)")
    }
  }

  @Test func oneElementOfABatchIsRefusedByItself() throws {
    let batch = "[\(event()),\(event().replacing("\"e1\"", with: "\"e2\"").replacing(org, with: Self.other))]"
    let result = try decode(batch, contentType: "application/cloudevents-batch+json", user: "billing")
    #expect(result.sources == ["/billing/acme"])
    #expect(result.rejections.map(\.field) == ["element 1, organization"])
  }

  @Test func headerAndBodyMustNameTheSameOrganization() throws {
    let open = PublisherPolicy()
    for (body, contentType) in [(event(), "application/cloudevents+json"), (Self.own, "application/json")] {
      #expect(try decode(body, ["x-org-id": .string(org)], contentType: contentType, policy: open).sources.count == 1)
      let result = try decode(body, ["x-org-id": .string(Self.other)], contentType: contentType, policy: open)
      #expect(result.sources.isEmpty)
      #expect(result.rejections.map(\.code) == [.invalidField])
      #expect(result.rejections.first?.message == "the message names another organization as well")
    }
  }

  @Test func headerAndCloudEventMustNameTheSameSource() throws {
    let open = PublisherPolicy()
    for agreeing in ["/billing/acme", "cloudevents"] {
      #expect(try decode(event(), ["x-source": .string(agreeing)], policy: open).sources.count == 1)
    }
    let result = try decode(event(), ["x-source": "stripe"], policy: open)
    #expect(result.sources.isEmpty)
    #expect(result.rejections.first?.field == "header x-source")
  }

  /// One reader of such a message may take the first, another the last.
  @Test func aHeaderThatIsThereTwiceOrNoTextIsRefused() throws {
    let open = PublisherPolicy()
    for name in ["x-org-id", "x-source"] {
      let twice = FieldTable(dictionaryLiteral: (name, .string(org)), (name, .string(Self.other)))
      for headers in [twice, [name: .array([.string(org)])], [name: .bytes([0xFF])]] {
        for (body, contentType) in [(event(), "application/cloudevents+json"), (Self.own, "application/json")] {
          let result = try decode(body, headers, contentType: contentType, policy: open)
          #expect(result.sources.isEmpty)
          #expect(result.rejections.map(\.field) == ["header \(name)"])
        }
      }
    }
    #expect(
      try decode(Self.own, ["x-org-id": .bytes(Array(org.utf8))], contentType: "application/json", policy: open).sources
        == ["journey"])
  }

  @Test func anAccountOfAnotherOrganizationIsRefused() throws {
    var mapping = try #require(decoder().mappings["stripe"])
    mapping.tenants = ["acct_1": UUID(uuidString: org)!]
    let decoder = InboundDecoder(live: LiveMappings(["stripe": mapping]), signals: SignalRules(), clock: FixedClock())
    let invoice = #"{"id":"in_9","customer":"cus_9","amount_paid":100,"currency":"eur"}"#
    let body =
      #"{"id":"evt_9","type":"invoice.paid","account":"acct_1","created":1763500000,"livemode":true,"data":{"object":\#(invoice)}}"#
    func decode(_ organization: String?) -> (events: [UUID], rejections: [String?]) {
      var headers: FieldTable = ["x-source": "stripe"]
      if let organization { headers["x-org-id"] = .string(organization) }
      let result = decoder.decode(delivery(body, contentType: "application/json", headers: headers))
      return (result.events.map(\.event.orgID), result.rejections.map(\.field))
    }
    #expect(decode(nil).events == [UUID(uuidString: org)!])
    #expect(decode(org).events == [UUID(uuidString: org)!])
    #expect(decode(Self.other).rejections == ["$.account"])
  }

  /// The API's ids are made of what its callers choose. In a source that others can use they would be guessed.
  @Test func theAPIHasASourceOfItsOwn() throws {
    for policy in [PublisherPolicy(ownUser: "adapter"), PublisherPolicy(ownUser: "adapter", grants: Self.grants)] {
      let own = try decode(
        Self.own, contentType: "application/json", user: "adapter", appID: "journey-api", policy: policy)
      #expect(own.sources == ["journey-api"])
    }
    let open = PublisherPolicy(ownUser: "adapter")
    for user in [nil, "billing"] {
      let forged = try decode(Self.own, contentType: "application/json", user: user, appID: "journey-api", policy: open)
      #expect(forged.sources == ["journey"])
    }
    let named = try decode(event().replacing("/billing/acme", with: "journey-api"), user: "billing", policy: open)
    #expect(named.rejections.map(\.code) == [.forbiddenPublisher])
    // Nobody says in the adapter's name that nothing came, not even its own broker user.
    let silence = event().replacing("/billing/acme", with: SilenceContract.source)
    for user in ["billing", "adapter"] {
      #expect(try decode(silence, user: user, policy: open).rejections.map(\.field) == ["source"])
    }
    let unknown = try decode(Self.own, contentType: "application/json", appID: "journey-api", policy: PublisherPolicy())
    #expect(unknown.sources == ["journey"])
  }
}
