import FoundationEssentials
import Journey
import JourneyConfiguration
import Testing

/// What a mapping can say about the meaning of a body: changes, comparisons, lists, stages, actors, tests.
@Suite("Mapping: meaning")
struct MappingMeaningTests {
  private static let now = Timestamp(seconds: 1_795_200_000)

  private static func mapping(_ rules: String, envelope: String = "", head: String = "") throws -> Mapping {
    try MappingLoader.load(
      yaml: """
        source: test
        \(head)
        envelope:
          type: [$.type, "outer:$.type"]
          id: [$.id, "property:message_id"]
          time: "property:received"
          client: [$.client, {value: c}]
          org: "header:x-org-id"
        \(envelope)
        rules:
        \(rules)
        """, file: "m.yaml")
  }

  private static func outcomes(_ mapping: Mapping, _ body: String, tests: Bool = false) throws -> [MappingOutcome] {
    var input = MappingInput(
      document: try JSONDocument(parsing: body), messageID: "m", orgID: UUID(uuidString: MappingCase.org),
      limits: EventLimits(now: now))
    input.takesTestTraffic = tests
    return mapping.map(input).outcomes
  }

  private static func isMatch(_ condition: String, _ body: String) throws -> Bool {
    let mapping = try mapping("  - {name: a, when: \(condition), event: {type: note_added, stage: keep}}")
    if case .event? = try outcomes(mapping, body).first { return true }
    return false
  }

  @Test(arguments: [
    ("{type: x, path: $.a, gt: $.b}", #""a":"10","b":9"#, true),
    ("{type: x, path: $.a, gt: $.b}", #""a":9,"b":9"#, false),
    ("{type: x, path: $.a, gte: $.b}", #""a":9,"b":9.0"#, true),
    ("{type: x, path: $.a, lt: $.b}", #""a":9"#, false),
    ("{type: x, path: $.a, lte: $.b}", #""a":"x","b":1"#, false),
    ("{type: x, path: $.a, lte: 5}", #""a":5"#, true),
    ("{type: x, path: $.a, later-than: $.b}", #""a":"2026-06-02","b":"2026-05-29T23:00:00Z""#, true),
    ("{type: x, path: $.a, later-than: $.b}", #""a":"2026-05-29","b":"2026-06-02""#, false),
    ("{type: x, path: $.a, earlier-than: $.b}", #""a":1795200000,"b":"2027-01-01""#, true),
    ("{type: x, path: $.a, earlier-than: $.b}", #""a":null,"b":"2027-01-01""#, false),
    (
      "{type: x, path: $.list[?@.k == 'due'].to, later-than: $.list[?@.k == 'due'].from}",
      #""list":[{"k":"s"},{"k":"due","from":"2026-01-01","to":"2026-02-01"}]"#, true
    ),
    (
      "{type: x, path: \"$.list[?@.on == true].id\", equals: 7}", #""list":[{"on":true,"id":6},{"on":true,"id":7}]"#,
      true
    ),
  ])
  func comparesTwoValuesOfABody(_ condition: String, _ members: String, _ holds: Bool) throws {
    let quoted = condition.replacing(
      "path: $.list[?@.k == 'due'].to", with: "path: {path: \"$.list[?@.k == 'due'].to\"}"
    )
    .replacing("later-than: $.list[?@.k == 'due'].from", with: "later-than: \"$.list[?@.k == 'due'].from\"")
    #expect(try Self.isMatch(quoted, #"{"type":"x",\#(members)}"#) == holds)
  }

  @Test func aSplitYieldsPlainValuesBelowTheRoot() throws {
    let mapping = try Self.mapping(
      """
        - name: a
          when: {type: case, path: "outer:$.header.fields[*]", equals: Status}
          event:
            type: ticket_closed
            stage: keep
            id: {join: [{value: k}, $]}
            client: $
            metadata: {status: "outer:$.status"}
      """, envelope: "  root: $.payload\n  split: \"$.header.ids[*]\"\n".replacing("type: [", with: "type: ["))
    let body = #"{"payload":{"type":"case","status":"Closed","header":{"ids":["a",12],"fields":["Status"]}}}"#
    // The type is read outside of the element, so that plain values are elements.
    let plain = try MappingLoader.load(
      yaml: """
        source: test
        envelope:
          root: $.payload
          split: "$.header.ids[*]"
          type: "outer:$.type"
          id: {join: [{value: k}, $]}
          time: "property:received"
          client: $
          org: "header:x-org-id"
        rules:
          - name: a
            when: {type: case, path: "outer:$.header.fields[*]", equals: Status}
            event: {type: ticket_closed, stage: keep, metadata: {status: "outer:$.status"}}
        """, file: "m.yaml")
    let found = try Self.outcomes(plain, body)
    #expect(
      found.compactMap { if case .event(let event) = $0 { event.sourceEventID } else { nil } } == ["k:a", "k:12"])
    #expect(
      found.compactMap { if case .event(let event) = $0 { event.client.externalID } else { nil } } == ["a", "12"])
    for case .event(let event) in found {
      #expect(String(decoding: event.metadata, as: UTF8.self).contains(#""status":"Closed""#))
    }
    // Where the type is read from the element, a plain value is a mistake.
    guard case .rejected(let rejection, _)? = try Self.outcomes(mapping, body).first else {
      Issue.record("a plain value was taken")
      return
    }
    #expect(rejection.code == .malformed)
  }

  @Test func percentLinksAndKeysAreComputed() throws {
    let mapping = try Self.mapping(
      """
        - name: a
          when: {type: x}
          event:
            type: usage_reported
            stage: keep
            link: [{join: [{value: deal}, "$.deals[*]"]}, "$.tags[?@.kind == 'ticket'].id"]
            naturalKey: $.key
            metadata: {usage: {percent: [$.used, $.limit]}}
      """)
    let body =
      #"{"type":"x","used":"1","limit":3,"key":"k1","deals":[1,2],"tags":[{"kind":"ticket","id":"t"},{"id":"u"}]}"#
    guard case .event(let event)? = try Self.outcomes(mapping, body).first else {
      Issue.record("no event")
      return
    }
    #expect(event.client.linked == ["deal:1", "deal:2", "t"])
    #expect(
      String(decoding: event.metadata, as: UTF8.self) == #"{"usage":33.3333,"naturalKey":"k1","timeFrom":"received"}"#)
    guard case .event(let none)? = try Self.outcomes(mapping, #"{"type":"x","used":1,"limit":0}"#).first else {
      Issue.record("no event")
      return
    }
    #expect(String(decoding: none.metadata, as: UTF8.self) == #"{"timeFrom":"received"}"#)
  }

  @Test func stagesCanBeLowerBoundsAndRulesSayWhoActs() throws {
    let mapping = try Self.mapping(
      """
        - {name: a, when: {type: a}, event: {type: deal_created, stage: {at-least: qualified_lead}}}
        - {name: b, when: {type: b}, event: {type: invoice_paid, stage: billing, by: system}}
        - {name: c, when: {type: c}, event: {type: visit, stage: keep}}
      """, head: "types: {visit: us}")
    let events = try ["a", "b", "c"].compactMap { type -> JourneyEvent? in
      guard case .event(let event)? = try Self.outcomes(mapping, #"{"type":"\#(type)"}"#).first else { return nil }
      return event
    }
    #expect(events.map(\.stage) == [nil, .billing, nil])
    #expect(events.map(\.minStage) == [.qualifiedLead, nil, nil])
    #expect(events.map(\.actor) == [nil, .system, .us])
  }

  @Test func testTrafficIsIgnoredUnlessItIsTaken() throws {
    let mapping = try Self.mapping(
      "  - {name: a, when: {type: x}, event: {type: note_added, stage: keep}}",
      envelope: "  testTraffic: {path: \"body:$.live\", equals: false}")
    let body = #"{"type":"x","live":false}"#
    #expect(try Self.outcomes(mapping, body).map(MappingCase.line) == ["ignored test traffic"])
    for (body, tests) in [(body, true), (#"{"type":"x","live":true}"#, false), (#"{"type":"x"}"#, false)] {
      guard case .event? = try Self.outcomes(mapping, body, tests: tests).first else {
        Issue.record("\(body) is no event")
        continue
      }
    }
  }

  @Test func whatNoRuleNamesIsUnlistedOrADeadLetter() throws {
    let rules = "  - {name: a, when: {type: x}, ignore: why}"
    for head in ["", "unlisted: count"] {
      #expect(
        try Self.outcomes(Self.mapping(rules, head: head), #"{"type":"y"}"#).map(MappingCase.line) == ["unlisted y"])
      // Without a type it is no event of the vendor.
      let untyped = try Self.outcomes(Self.mapping(rules, head: head), "{}").map(MappingCase.line)
      #expect(untyped.first?.hasPrefix("rejected missing_field") == true)
    }
    let rejected = try Self.outcomes(Self.mapping(rules, head: "unlisted: reject"), #"{"type":"y"}"#)
    #expect(rejected.map(MappingCase.line).first?.hasPrefix("rejected unknown_type") == true)
  }
}
