import AMQPClient
import FoundationEssentials
import Journey
import TestSupport
import Testing

@testable import JourneyAMQP

@Suite struct HeaderAndUnlistedTests {
  private let body = #"{"id":"evt_9","type":"invoice.exploded","created":1763500000,"data":{"object":{"id":"in_9"}}}"#

  @Test(arguments: [["X-Source", "X-Org-Id"], ["x-source", "X-ORG-ID"]])
  func headersMatchInAnyCase(_ names: [String]) throws {
    let headers = FieldTable([
      FieldTable.Field(names[0], "delighted"), FieldTable.Field(names[1], .string(org)),
    ])
    let data = #"{"id":"1","person":{"id":"p"},"score":9,"created_at":1763500000}"#
    let answer = #"{"event_type":"survey_response.created","event_id":"7","event_data":\#(data)}"#
    let result = try decoder().decode(delivery(answer, contentType: "application/json", headers: headers))
    #expect(result.rejections.isEmpty && result.events.first?.event.orgID == UUID(uuidString: org))
  }

  @Test func aHeaderInTwoCasesIsAmbiguous() throws {
    let headers = FieldTable([
      FieldTable.Field("x-source", "stripe"), FieldTable.Field("x-org-id", .string(org)),
      FieldTable.Field("X-Org-Id", .string(UUID().uuidString)),
    ])
    let result = try decoder().decode(delivery(body, contentType: "application/json", headers: headers))
    #expect(result.rejections.first?.field == "header x-org-id")
  }

  @Test func typesThatNoRuleNamesAreCountedWithASample() throws {
    let unlisted = UnlistedEvents(keepsSamples: true)
    let decoder = InboundDecoder(
      live: LiveMappings(try decoder().mappings), signals: SignalRules(), unlisted: unlisted, clock: SystemClock())
    for _ in 0..<3 {
      let result = decoder.decode(
        delivery(body, contentType: "application/json", headers: ["x-source": "stripe", "x-org-id": .string(org)]))
      #expect(result.events.isEmpty && result.rejections.isEmpty)
    }
    let types = unlisted.removeAll()
    #expect(types.map(\.type) == ["invoice.exploded"] && types.map(\.count) == [3])
    #expect(types.first?.sample == Array(body.utf8) && types.first?.orgID == UUID(uuidString: org))
    #expect(unlisted.total == 3 && unlisted.removeAll().isEmpty)
    unlisted.restore(types)
    #expect(unlisted.removeAll().map(\.count) == [3])
  }

  @Test func withoutSamplesTheyAreOnlyCounted() {
    let unlisted = UnlistedEvents(keepsSamples: false)
    for _ in 0..<2 {
      unlisted.record(source: "s", type: "t", orgID: UUID(), at: Timestamp(seconds: 1)) {
        Issue.record("nobody asks for the body")
        return []
      }
    }
    let types = unlisted.removeAll()
    #expect(types.map(\.count) == [2] && types.map(\.isFirst) == [true])
    #expect(types.allSatisfy { $0.sample == nil && $0.orgID == nil })
  }

  /// Senders choose the types, so there are never more than a bounded number.
  @Test func typesAreBounded() {
    let unlisted = UnlistedEvents(keepsSamples: true)
    for n in 0..<1500 {
      unlisted.record(source: "s", type: "t\(n)", orgID: nil, at: Timestamp(seconds: 1)) { Array("{}".utf8) }
    }
    let types = unlisted.removeAll()
    #expect(types.count == 1001 && types.map(\.count).reduce(0, +) == 1500)
    #expect(types.first { $0.type == UnlistedEvents.others }?.count == 500)
  }
}
