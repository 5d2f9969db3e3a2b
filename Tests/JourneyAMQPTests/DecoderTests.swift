import TestSupport
import AMQPClient
import FoundationEssentials
import Journey
import Testing

@testable import JourneyAMQP

struct Misrouted: Sendable {
  var contentType: String?
  var headers: FieldTable
  var code: String
  var field: String

  init(_ contentType: String?, _ headers: FieldTable, _ code: String, _ field: String) {
    self.contentType = contentType
    self.headers = headers
    self.code = code
    self.field = field
  }
}

@Suite struct DecoderTests {
  @Test func cloudEventBecomesAnIncomingEvent() throws {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    let result = try decoder().decode(
      delivery(event(#","traceparent":"\#(traceparent)""#), contentType: "application/cloudevents+json; charset=utf-8"))
    let incoming = try #require(result.events.first)
    #expect(result.rejections.isEmpty)
    #expect(incoming.event.type == "invoice_overdue")
    #expect(incoming.event.minStage == .billing)
    #expect(incoming.event.sourceEventID == "e1")
    #expect(incoming.event.source == "/billing/acme")
    #expect(incoming.signals.invoice == .overdue(id: "in_1"))
    #expect(incoming.signals.isOverdueNotice)
    #expect(incoming.traceparent == traceparent)
  }

  @Test func vendorBodyComesWithHeaders() throws {
    let invoice = #"{"id":"in_9","customer":"cus_9","amount_paid":100,"currency":"eur"}"#
    let body = #"{"id":"evt_9","type":"invoice.paid","created":1763500000,"data":{"object":\#(invoice)}}"#
    let result = try decoder().decode(
      delivery(body, contentType: "application/json", headers: ["x-source": "stripe", "x-org-id": .string(org)]))
    let incoming = try #require(result.events.first)
    #expect(incoming.event.client.externalID == "cus_9")
    #expect(incoming.event.orgID == UUID(uuidString: org))
    #expect(incoming.signals.invoice == .settled(id: "in_9"))
  }

  @Test(arguments: [
    Misrouted("text/plain", [:], "unsupported_content_type", "content_type"),
    Misrouted(nil, [:], "unsupported_content_type", "content_type"),
    Misrouted("application/json", ["x-source": "nobody"], "unknown_source", "header x-source"),
    Misrouted("application/json", ["x-source": "stripe", "x-org-id": "acme"], "invalid_field", "header x-org-id"),
  ])
  func whatCannotBeRoutedIsRejectedByField(_ message: Misrouted) throws {
    let (code, field) = (message.code, message.field)
    let result = try decoder().decode(delivery(event(), contentType: message.contentType, headers: message.headers))
    #expect(result.events.isEmpty)
    #expect(result.rejections.first?.code.rawValue == code)
    #expect(result.rejections.first?.field == field)
  }

  @Test(arguments: ["", "{", "[1,2", "nul", "{\"a\":\"\\u0000\"}", "\"text\"", "[]", "42"])
  func whatIsNoEventIsRejected(body: String) throws {
    let result = try decoder().decode(delivery(body))
    #expect(result.events.isEmpty)
    #expect(result.rejections.count == 1)
  }

  @Test func tooLargeABodyIsRefusedUnread() throws {
    let result = try decoder(maxBodyBytes: 100).decode(delivery(event()))
    #expect(result.rejections.first?.code == .tooLarge)
    #expect(result.rejections.first?.value?.hasSuffix("bytes") == true)
  }

  @Test func deeplyNestedHeadersAreRejected() throws {
    #expect(try decoder().decode(delivery(event(), problem: .headersTooDeep)).rejections.first?.field == "headers")
  }

  /// The property counts seconds, but a publisher may put anything there.
  @Test(arguments: [Int64.max, Int64.min, 1_763_600_000_000_000_000, -1])
  func absurdTimestampPropertyNeverTraps(seconds: Int64) throws {
    let body =
      #"{"specversion":"1.0","id":"e1","source":"/s","type":"invoice_overdue","subject":"c-1","orgid":"\#(org)","data":{}}"#
    let result = try decoder().decode(delivery(body, timestamp: seconds))
    #expect(result.events.isEmpty)
    #expect(result.rejections.count == 1)
  }

  @Test func elementsOfAListAreNamedInTheirRejections() throws {
    let elements = [("1763500000000", 7), (#""never""#, 8)].map {
      #"{"eventId":\#($0.1),"subscriptionType":"contact.creation","occurredAt":\#($0.0),"objectId":\#($0.1)}"#
    }
    let body = "[" + elements.joined(separator: ",") + "]"
    let result = try decoder().decode(
      delivery(body, contentType: "application/json", headers: ["x-source": "hubspot", "x-org-id": .string(org)]))
    #expect(result.events.count == 1)
    #expect(result.rejections.first?.field?.hasPrefix("element 1") == true)
  }
}
