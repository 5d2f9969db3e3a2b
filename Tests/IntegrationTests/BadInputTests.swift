import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Messages that cannot become events are dead letters with an understandable reason. All others are processed.
@Suite struct BadInputTests {
  /// A message that has to be rejected, and what its reason has to name.
  private struct Case {
    var name: String
    var code: String
    var field: String
    /// nil if there is no value to name.
    var value: String?
    var message: OutboundMessage

    init(
      _ name: String, _ code: String, field: String, value: String? = nil, body: [UInt8],
      contentType: String? = "application/cloudevents+json", headers: [(String, FieldValue)] = [],
      properties: (inout MessageProperties) -> Void = { _ in }
    ) {
      self.name = name
      self.code = code
      self.field = field
      self.value = value
      var all = MessageProperties(contentType: contentType)
      all.headers["x-test-case"] = .string(name)
      for (name, value) in headers { all.headers[name] = value }
      properties(&all)
      message = OutboundMessage(exchange: "journey.events", routingKey: "test.bad", properties: all, body: body)
    }
  }

  @Test func eachIsADeadLetterWithItsReasonAndTheRestIsCommitted() async throws {
    var random = SeededRandom(stream: 6)
    let workload = Workload(events: 120, clients: 8, &random)
    let cases = cases(workload)
    try #require(Set(cases.map(\.name)).count == cases.count)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      // All messages are in one queue before the program starts, so that valid and invalid ones share batches.
      let good = workload.messages(&random)
      try await environment.publish((good + cases.map(\.message)).shuffled(using: &random))
      try await RawPublisher.publish(
        to: environment.servers.amqpURL(vhost: environment.vhost), exchange: "journey.events", routingKey: "test.deep",
        contentType: "application/cloudevents+json",
        headers: RawPublisher.nestedHeaders(depth: 20_950, text: [("x-test-case", "nested headers")]),
        body: workload.events[0].message.body)
      let program = try await environment.serve(.literal, ["PIPELINE_BATCH_SIZE": "50"])
      try await environment.settles(events: workload.events.count, program)
      try await eventually(
        "all dead letters", state: { "\(try await environment.admin.messageCount(queue: "journey.dead-letters"))" }
      ) {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == cases.count + 1
      }
      #expect(program.ending == nil, "the program has to live on: \(program.standardError)")
      let deadLetters = try await environment.drain("journey.dead-letters")
      try await environment.stop(program)

      let byName = Dictionary(deadLetters.map { ($0.properties.headers["x-test-case"]?.stringValue ?? "", $0) }) {
        first, _ in first
      }
      for expected in cases {
        guard let deadLetter = byName[expected.name] else {
          Issue.record("no dead letter for: \(expected.name)")
          continue
        }
        check(deadLetter, expected.code, expected.field, expected.value, expected.name)
        #expect(deadLetter.body == expected.message.body, "\(expected.name): the body has to be as it came")
        #expect(deadLetter.properties.contentType == expected.message.properties.contentType, "\(expected.name)")
      }
      if let deep = byName["nested headers"] {
        check(deep, "malformed", "headers", nil, "nested headers")
        #expect(deep.body == workload.events[0].message.body)
      } else {
        Issue.record("no dead letter for the nested headers")
      }
      try await Invariants(environment, workload, .literal).check()
    }
  }

  private func check(_ deadLetter: Delivery, _ code: String, _ field: String, _ value: String?, _ name: String) {
    let headers = deadLetter.properties.headers
    let reason = headers["x-journey-reason"]?.stringValue ?? ""
    #expect(headers["x-journey-reason-code"]?.stringValue == code, "\(name): \(reason)")
    let named = headers["x-journey-field"]?.stringValue ?? ""
    #expect(named.contains(field), "\(name): \(named)")
    #expect(reason.contains(field), "\(name): \(reason)")
    if let value {
      #expect(reason.contains(value), "\(name): \(reason)")
      #expect(headers["x-journey-value"]?.stringValue?.contains(value) == true, "\(name): \(reason)")
    }
    #expect(headers["x-journey-exchange"]?.stringValue == "journey.events", "\(name)")
    #expect(headers["x-journey-routing-key"]?.stringValue == deadLetter.routingKey, "\(name)")
  }

  // MARK: The cases

  private func cases(_ workload: Workload) -> [Case] {
    let client = workload.clients[0]
    let stranger = workload.clients.first { $0.org != client.org }!
    let time = WorkloadEvent.rfc3339(Int64(Date().timeIntervalSince1970 - 3600) * 1_000_000)
    /// A CloudEvent that is valid except for `change`.
    func event(_ id: String, _ change: (inout [(String, String)]) -> Void) -> [UInt8] {
      var members = [
        ("specversion", #""1.0""#), ("id", #""\#(id)""#), ("source", #""/crm""#), ("type", #""contract_signed""#),
        ("time", #""\#(time)""#),
        ("subject", #""\#(client.id)""#), ("orgid", #""\#(client.org)""#), ("data", "{}"),
      ]
      change(&members)
      return Array(("{" + members.map { #""\#($0.0)":\#($0.1)"# }.joined(separator: ",") + "}").utf8)
    }
    func without(_ name: String) -> [UInt8] { event("bad_without_\(name)") { $0.removeAll { $0.0 == name } } }
    func with(_ name: String, _ json: String) -> [UInt8] {
      event("bad_\(name)") { $0 = $0.map { $0.0 == name ? (name, json) : $0 } }
    }
    /// A body in the adapter's own format.
    func own(_ name: String, field: String, value: String, stage: String = "onboarding", org: String = client.org)
      -> Case
    {
      Case(
        name, "invalid_field", field: field, value: value,
        body: Array(
          #"{"clientId":"\#(client.id)","stage":"\#(stage)","eventType":"meeting_scheduled","metadata":{}}"#.utf8),
        contentType: "application/json", headers: [("x-org-id", .string(org))]
      ) {
        $0.messageID = "own_1"
        $0.timestamp = Int64(Date().timeIntervalSince1970) - 3600
      }
    }
    var invalid = event("bad_utf8") { $0.append(("note", #""MARK""#)) }
    if let mark = String(decoding: invalid, as: UTF8.self).range(of: "MARK") {
      let offset = String(decoding: invalid, as: UTF8.self)[..<mark.lowerBound].utf8.count
      invalid.replaceSubrange(offset..<(offset + 4), with: [0xC3, 0x28, 0xFF, 0xFE])
    }
    let huge = with("data", #"{"note":"\#(String(repeating: "x", count: (20 << 20)))"}"#)
    return [
      Case("not JSON", "malformed", field: "$", body: Array("{\"specversion\": ".utf8)),
      Case("empty", "malformed", field: "$", body: []),
      Case(
        "wrong content type", "unsupported_content_type", field: "content_type", value: "text/plain",
        body: event("bad_type") { _ in },
        contentType: "text/plain"),
      Case(
        "no content type", "unsupported_content_type", field: "content_type", body: event("bad_notype") { _ in },
        contentType: nil),
      Case("no id", "missing_field", field: "$.id", body: without("id")),
      Case("no organisation", "missing_field", field: "$.orgid", body: without("orgid")),
      Case("no client", "missing_field", field: "$.subject", body: without("subject")),
      Case("no time", "missing_field", field: "$.time", body: without("time")),
      Case("no type", "missing_field", field: "$.type", body: without("type")),
      Case(
        "unknown type", "unknown_type", field: "$.type", value: "frobnicated", body: with("type", #""frobnicated""#)),
      Case(
        "unknown organisation", "unknown_organization", field: "organization",
        value: "00000000-0000-4000-8000-000000000001",
        body: with("orgid", #""00000000-0000-4000-8000-000000000001""#)),
      Case(
        "organisation that is no UUID", "invalid_field", field: "$.orgid", value: "acme",
        body: with("orgid", #""acme""#)),
      Case(
        "client of another organisation", "foreign_client", field: "client", value: stranger.id,
        body: with("subject", #""\#(stranger.id)""#)),
      Case(
        "unknown client", "unknown_client", field: "client", value: "cus_nobody",
        body: with("subject", #""cus_nobody""#)),
      own("stage not among the nine", field: "$.stage", value: "won", stage: "won"),
      own("organisation header that is no UUID", field: "x-org-id", value: "acme", org: "acme"),
      Case(
        "unknown source", "unknown_source", field: "x-source", value: "fax", body: Array("{}".utf8),
        contentType: "application/json",
        headers: [("x-source", "fax"), ("x-org-id", .string(client.org))]),
      Case("20 MiB", "too_large", field: "body", value: "\(huge.count) bytes", body: huge),
      Case("NUL in text", "malformed", field: "$.data", body: with("data", #"{"note":"a\u0000b"}"#)),
      Case("NUL in the id", "malformed", field: "$.id", body: with("id", #""a\u0000b""#)),
      Case("invalid UTF-8", "malformed", field: "$.note", body: invalid),
      Case("lone surrogate", "malformed", field: "$.data", body: with("data", #"{"note":"\ud800"}"#)),
      Case(
        "1970", "invalid_field", field: "$.time", value: "1970-01-01T00:00:00Z",
        body: with("time", #""1970-01-01T00:00:00Z""#)),
      Case(
        "2999", "invalid_field", field: "$.time", value: "2999-12-31T23:59:59Z",
        body: with("time", #""2999-12-31T23:59:59Z""#)),
      Case("no time at all", "invalid_field", field: "$.time", value: "yesterday", body: with("time", #""yesterday""#)),
      Case(
        "10^30", "invalid_field", field: "$.data.amountDue", value: "1e30", body: with("data", #"{"amountDue":1e30}"#)),
      Case(
        "10^30 in digits", "invalid_field", field: "$.data.amountDue", value: "1000000000000000000000000000000",
        body: with("data", #"{"amountDue":1000000000000000000000000000000}"#)),
    ]
  }
}
