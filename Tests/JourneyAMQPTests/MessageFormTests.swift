import TestSupport
import AMQPClient
import FoundationEssentials
import Journey
import Testing

@testable import JourneyAMQP

/// The forms in which messages come beside the plain ones.
@Suite struct MessageFormTests {
  private func decode(
    _ body: [UInt8], _ contentType: String? = "application/json", headers: FieldTable = [:], encoding: String? = nil,
    timestamp: Int64? = nil
  ) throws -> (events: [JourneyEvent], rejections: [Rejection]) {
    let plain = delivery("", contentType: contentType, headers: headers, messageID: "m1", timestamp: timestamp)
    var properties = plain.properties
    properties.contentEncoding = encoding
    let message = Delivery(
      tag: plain.tag, exchange: plain.exchange, routingKey: plain.routingKey, isRedelivered: false,
      properties: properties, body: body,
      bodySize: body.count, problem: nil)
    let result = try decoder().decode(message)
    return (result.events.map(\.event), result.rejections)
  }

  private static let attributes: [(String, FieldValue)] = [
    ("specversion", "1.0"), ("id", "e1"), ("source", "/billing/acme"), ("type", "invoice_overdue"), ("subject", "c-1"),
    ("orgid", .string(org)),
  ]

  private static func headers(_ prefix: String, _ more: [(String, FieldValue)] = [("time", "2025-11-19T10:00:00Z")])
    -> FieldTable
  {
    var headers = FieldTable()
    for (name, value) in attributes + more { headers[prefix + name] = value }
    return headers
  }

  @Test(arguments: ["cloudEvents:", "cloudEvents_", "ce-", "ce_", "CE-"])
  func aCloudEventInBinaryModeIsTheSameEvent(prefix: String) throws {
    let structured = try decode(Array(event().utf8), "application/cloudevents+json")
    let binary = try decode(Array(#"{"invoiceId":"in_1"}"#.utf8), headers: Self.headers(prefix))
    #expect(binary.rejections.isEmpty)
    #expect(binary.events == structured.events)
  }

  /// A relay has added headers to an event that is whole in its body.
  @Test(arguments: ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"])
  func aStructuredContentTypeWinsOverHeaders(contentType: String) throws {
    let plain = try decode(Array(event().utf8), "application/cloudevents+json")
    let relayed = try decode(Array(event().utf8), contentType, headers: Self.headers("ce-"))
    #expect(relayed.rejections.isEmpty && relayed.events == plain.events)
  }

  @Test func timesInHeadersOfBinaryModeMayBeTextsOrTimes() throws {
    let binary = try decode([], nil, headers: Self.headers("cloudEvents:", [("time", .timestamp(1_763_546_400))]))
    #expect(binary.events.map(\.occurredAt) == [Timestamp(seconds: 1_763_546_400)])
  }

  @Test func binaryModeNamesMissingAndUnreadableAttributes() throws {
    var incomplete = Self.headers("ce-")
    incomplete["ce-type"] = nil
    let cases: [(FieldTable, String?, String, Rejection.Code, String)] = [
      (incomplete, "application/json", "{}", .missingField, "header ce-type"),
      (Self.headers("ce-"), "text/plain", "hello", .unsupportedContentType, "content_type"),
      (Self.headers("ce-"), "application/json", "{", .malformed, "$"),
      (Self.headers("ce-", [("data", "{}")]), "application/json", "{}", .invalidField, "header ce-data"),
      (Self.headers("ce-", [("list", .array([]))]), "application/json", "{}", .invalidField, "header ce-list"),
      // A body that would add members of the event beside its data.
      (Self.headers("ce-"), "application/json", #"{},"orgid":"00000000-0000-4000-8000-000000000002""#, .malformed, "$"),
    ]
    for (headers, contentType, body, code, field) in cases {
      let result = try decode(Array(body.utf8), contentType, headers: headers)
      #expect(result.events.isEmpty)
      #expect(result.rejections.map(\.code) == [code], "\(field)")
      #expect(result.rejections.first?.field == field)
    }
  }

  @Test func aStructuredCloudEventIsKnownAsOneWhenItsContentTypeIsPlainJSON() throws {
    let structured = try decode(Array(event().utf8), "application/cloudevents+json")
    #expect(try decode(Array(event().utf8)).events == structured.events)
    #expect(try decode(Array("[\(event())]".utf8)).events == structured.events)
    // Where the message names a source, that source's mapping reads it.
    #expect(try decode(Array(event().utf8), headers: ["x-source": "journey"]).rejections.isEmpty == false)
  }

  @Test func compressionIsRejectedAndOtherEncodingsAreNot() throws {
    let gzip: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]
    for (body, encoding, field) in [
      (gzip, "gzip", "content_encoding"), (gzip, nil, "body"), (Array("x".utf8), "DEFLATE", "content_encoding"),
    ] {
      let result = try decode(body, "application/cloudevents+json", encoding: encoding)
      #expect(result.rejections.map(\.code) == [.unsupportedContentType])
      #expect(result.rejections.first?.field == field)
    }
    #expect(try decode(Array(event().utf8), "application/cloudevents+json", encoding: "utf-8").events.count == 1)
  }

  @Test func headersThatAreBytesAreTexts() throws {
    let body = #"{"clientId":"c-1","stage":"lead","eventType":"lead_created","occurredAt":"2025-11-19T10:00:00Z"}"#
    let result = try decode(
      Array(body.utf8), headers: ["x-source": .bytes(Array("journey".utf8)), "x-org-id": .bytes(Array(org.utf8))])
    #expect(result.rejections.isEmpty)
    #expect(result.events.map { $0.orgID.uuidString.lowercased() } == [org])
    #expect(try decode(Array(body.utf8), headers: ["x-org-id": .bytes([0xFF, 0xFE])]).events.isEmpty)
  }

  @Test func aTimestampPropertyInMillisecondsIsRecognised() throws {
    let body = Array(#"{"clientId":"c-1","stage":"lead","eventType":"lead_created","orgId":"\#(org)"}"#.utf8)
    for value: Int64 in [1_763_546_400, 1_763_546_400_000] {
      #expect(try decode(body, timestamp: value).events.map(\.occurredAt) == [Timestamp(seconds: 1_763_546_400)])
    }
    #expect(try decode(body, timestamp: .max).events.isEmpty)
  }
}
