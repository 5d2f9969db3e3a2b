import FoundationEssentials
import Journey
import JourneyConfiguration
import Testing

/// What the language can say, each feature by a mapping of one rule.
@Suite("Mapping language")
struct MappingLanguageTests {
  private static let org = UUID(uuidString: MappingCase.org)!
  private static let now = Timestamp(seconds: 1_795_200_000)

  private static func outcomes(
    _ body: String, envelope: String = "", when: String = "{type: x}", event: String = "",
    headers: [String: String] = [:],
    timestamp: Timestamp? = nil, received: Timestamp? = nil, tenants: [String: UUID]? = nil
  ) throws -> [MappingOutcome] {
    let yaml = """
      source: test
      envelope:
        type: $.type
        id: [$.id, {value: none}]
        time: [$.at, "property:timestamp", "property:received"]
        client: [$.client, {value: c}]
        org: "header:x-org-id"
      \(envelope)
      rules:
        - name: a
          when: \(when)
          event: {type: t, stage: keep\(event)}
        - {name: b, when: {type: "*"}, ignore: b}
      """
    var mapping = try MappingLoader.load(yaml: yaml, file: "m.yaml")
    if let tenants { mapping.tenants = tenants }
    return mapping.map(
      MappingInput(
        document: try JSONDocument(parsing: body), header: { headers[$0] }, timestamp: timestamp, received: received,
        orgID: tenants == nil ? org : nil, limits: EventLimits(now: now))
    ).outcomes
  }

  private static func value(_ expression: String, in body: String) throws -> String {
    guard case .event(let event)? = try outcomes(body, event: ", metadata: {v: \(expression)}").first else {
      return "no event"
    }
    return try JSONDocument(parsing: event.metadata).root["v"].map { String(decoding: $0.rawBytes, as: UTF8.self) }
      ?? "absent"
  }

  @Test(arguments: [
    ("{path: $.a, then: [trim, lower]}", #"{"type":"x","a":"  ABC "}"#, #""abc""#),
    ("{path: $.a, then: [upper]}", #"{"type":"x","a":"eur"}"#, #""EUR""#),
    ("{path: $.a, then: [base64]}", #"{"type":"x","a":"aMOpbGxv"}"#, #""héllo""#),
    ("{path: $.a, then: [base64]}", #"{"type":"x","a":"a-_-"}"#, "absent"),
    ("{path: $.a, then: [base64, {json: $.b.c}]}", #"{"type":"x","a":"eyJiIjp7ImMiOlsxLjUwXX19"}"#, "[1.50]"),
    ("{path: $.a, then: [{json: $.b}]}", #"{"type":"x","a":"{\"b\": 12345678901234567890}"}"#, "12345678901234567890"),
    ("{path: $.a, then: [{json: $.b}]}", #"{"type":"x","a":"not json"}"#, "absent"),
    (#"{path: $.a, then: [{match: "to:([0-9]+)"}, number]}"#, #"{"type":"x","a":"{from:4,to:6}"}"#, "6"),
    (#"{path: $.a, then: [{match: "[a-z]+"}]}"#, #"{"type":"x","a":"42 abc"}"#, #""abc""#),
    (#"{path: $.a, then: [{match: "z"}]}"#, #"{"type":"x","a":"42 abc"}"#, "absent"),
    ("{path: $.a, then: [number]}", #"{"type":"x","a":"9007199254740993"}"#, "9007199254740993"),
    ("{path: $.a, then: [number]}", #"{"type":"x","a":"1.500,00"}"#, "absent"),
    ("{path: $.a, then: [{minor-units: EUR}]}", #"{"type":"x","a":"12.50"}"#, "1250"),
    ("{path: $.a, then: [{minor-units: EUR}]}", #"{"type":"x","a":0.1}"#, "10"),
    ("{path: $.a, then: [{minor-units: $.c}]}", #"{"type":"x","a":-1250,"c":"jpy"}"#, "-1250"),
    ("{path: $.a, then: [{minor-units: $.c}]}", #"{"type":"x","a":"1.2345","c":"KWD"}"#, "1234.5"),
    ("{path: $.a, then: [{minor-units: EUR}]}", #"{"type":"x","a":"17,51 €"}"#, "absent"),
    ("{path: $.a, scale: words}", #"{"type":"x","a":"bad"}"#, #""negative""#),
    ("{path: {path: $.a, then: [lower]}, scale: words}", #"{"type":"x","a":"Very Satisfied"}"#, #""positive""#),
    ("{path: $.a, scale: ces}", #"{"type":"x","a":2}"#, #""negative""#),
    ("{path: $.a, scale: signed}", #"{"type":"x","a":-100}"#, #""negative""#),
    ("{path: $.a, then: [lower], table: {a: 1}, otherwise: 2}", #"{"type":"x","a":"A"}"#, "1"),
    ("{path: $.a, then: [lower], table: {a: 1}, otherwise: 2}", #"{"type":"x"}"#, "2"),
    ("$['$time']", #"{"type":"x","$time":1696270193.486}"#, "1696270193.486"),
    (#"$['total billed']"#, #"{"type":"x","total billed":830}"#, "830"),
    (#"$['a.b']['it''s']"#.replacing("''", with: #"\'"#), #"{"type":"x","a.b":{"it's":1}}"#, "1"),
  ]) func transforms(_ expression: String, _ body: String, _ expected: String) throws {
    #expect(
      try Self.value(
        "\(expression.hasPrefix("$") ? "\"\(expression.replacing("\\", with: "\\\\"))\"" : expression)", in: body)
        == expected)
  }

  @Test(arguments: [
    ("{type: x, path: $.a, matches: '^[A-Z]{2}$'}", #"{"type":"x","a":"AB"}"#, true),
    ("{type: x, path: $.a, matches: '^[A-Z]{2}$'}", #"{"type":"x","a":"ABC"}"#, false),
    ("{type: x, path: '$.l[*]', equals: StageName}", #"{"type":"x","l":["Fax","StageName"]}"#, true),
    ("{type: x, path: '$.l[*]', equals: StageName}", #"{"type":"x","l":["Fax"]}"#, false),
    ("{type: x, path: '$.l[*].f', in: [a, b]}", #"{"type":"x","l":[{"f":"z"},{"f":"b"}]}"#, true),
    ("{type: x, path: '$.l[*].f', missing: true}", #"{"type":"x","l":[{"g":1}]}"#, true),
    ("{type: x, path: '$.l[*].f', missing: true}", #"{"type":"x","l":[{"f":1}]}"#, false),
    ("{type: x, path: $.a, same-as: $.b}", #"{"type":"x","a":5,"b":"5"}"#, true),
    ("{type: x, path: $.a, same-as: $.b}", #"{"type":"x"}"#, false),
    ("{type: x, path: [$.a, $.b], equals: 1}", #"{"type":"x","a":null,"b":1}"#, true),
    ("{type: x, path: {path: $.a, then: [lower]}, equals: done}", #"{"type":"x","a":"DONE"}"#, true),
  ]) func conditions(_ when: String, _ body: String, _ holds: Bool) throws {
    let outcome = try #require(try Self.outcomes(body, when: when).first)
    if case .event = outcome { #expect(holds) } else { #expect(!holds) }
  }

  @Test func splitsListsWithinListsAndSeesWhatIsAround() throws {
    let found = try Self.outcomes(
      #"{"g":[{"n":"one","e":[{"type":"x","at":1795000000},{"type":"y"}]},{"n":"two","e":[{"type":"x","at":1795000000}]}]}"#,
      envelope: "  split: \"$.g[*].e[*]\"",
      event: ", metadata: {n: \"outer:$.n\", all: \"body:$.g[0].n\"}")
    #expect(found.count == 3)
    #expect(found.compactMap(\.metadata) == [#"{"n":"one","all":"one"}"#, #"{"n":"two","all":"one"}"#])
  }

  @Test func findsAWrappedEventAndABareOne() throws {
    for body in [#"{"type":"y","payload":{"type":"x","a":1,"at":1795000000}}"#, #"{"type":"x","a":1,"at":1795000000}"#]
    {
      let found = try Self.outcomes(body, envelope: "  root: $.payload", event: ", metadata: {a: $.a}")
      #expect(found.first?.metadata == #"{"a":1}"#)
    }
  }

  @Test func ignoresABodyWithoutEventsWhereTheMappingSaysSo() throws {
    #expect(
      try Self.outcomes(#"{"e":[]}"#, envelope: "  split: \"$.e[*]\"\n  empty: a check").first
        == .ignored(rule: "(no event)", reason: "a check"))
  }

  @Test func tellsWhereTheTimeComesFrom() throws {
    let received = Timestamp(seconds: 1_795_100_000)
    let own = try #require(try Self.outcomes(#"{"type":"x","at":1795000000}"#).first)
    let sent = try #require(
      try Self.outcomes(#"{"type":"x"}"#, timestamp: Timestamp(seconds: 1_795_000_001), received: received).first)
    let arrived = try #require(try Self.outcomes(#"{"type":"x"}"#, received: received).first)
    #expect(
      [own.metadata, sent.metadata, arrived.metadata] == [
        "{}", #"{"timeFrom":"message"}"#, #"{"timeFrom":"received"}"#,
      ])
    guard case .event(let event) = arrived else { return #expect(Bool(false)) }
    #expect(event.occurredAt == received)
  }

  @Test func redactsPersonalMembersWhereverTheyStand() throws {
    let found = try Self.outcomes(
      #"{"type":"x","at":1795000000,"p":{"Email":"a@b.example","n":[{"phone":"1","k":2}],"e":{"email":null}},"mail":"m@b.example"}"#,
      envelope: "  redact: [email, phone]", event: ", metadata: {p: $.p, email: $.mail}")
    #expect(
      found.first?.metadata
        == #"{"p":{"Email":"[redacted]","n":[{"phone":"[redacted]","k":2}],"e":{"email":"[redacted]"}},"email":"m@b.example"}"#
    )
  }

  @Test func findsTheOrganisationByTheVendorsAccount() throws {
    let tenants = ["77": Self.org]
    let envelope = "  tenant: $.account"
    guard
      case .event(let event)? = try Self.outcomes(#"{"type":"x","account":77}"#, envelope: envelope, tenants: tenants)
        .first
    else {
      return #expect(Bool(false))
    }
    #expect(event.orgID == Self.org)
    let unknown = try #require(
      try Self.outcomes(#"{"type":"x","account":78}"#, envelope: envelope, tenants: tenants).first)
    guard case .rejected(let rejection, _) = unknown else { return #expect(Bool(false)) }
    #expect(rejection.code == .unknownOrganization && rejection.field == "$.account" && rejection.value == "78")
    guard case .event? = try Self.outcomes(#"{"type":"x"}"#, envelope: envelope, tenants: ["*": Self.org]).first else {
      return #expect(Bool(false))
    }
  }

  @Test func namesFurtherIdsOfTheClient() throws {
    let found = try Self.outcomes(
      #"{"type":"x","client":1,"mail":" a@b.example ","old":[2,3],"t":9}"#,
      event:
        ", client: {from: $.client, email: $.mail, emailVerified: true, unknown: retry}, merge: '$.old[*]', link: {join: [{value: ticket}, $.t]}"
    )
    guard case .event(let event)? = found.first else { return #expect(Bool(false)) }
    #expect(
      event.client
        == ClientReference(
          externalID: "1", email: "a@b.example", linked: ["ticket:9"], merged: ["2", "3"], whenUnknown: .retry))
  }

  /// Unless a mapping says that its source verifies addresses, one is kept with a client that is created, and finds
  /// none.
  @Test(arguments: [("", false), (", emailVerified: false", false), (", emailVerified: true", true)])
  func onlyAVerifiedAddressFindsAClient(_ words: String, _ isVerified: Bool) throws {
    let found = try Self.outcomes(
      #"{"type":"x","client":1,"mail":"a@b.example"}"#,
      event: ", client: {from: $.client, email: $.mail\(words)}, create: {email: $.mail}")
    guard case .event(let event)? = found.first else { return #expect(Bool(false)) }
    #expect(event.client.email == (isVerified ? "a@b.example" : nil) && event.client.ignoresEmail == !isVerified)
    #expect(event.client.creation == NewClient(email: "a@b.example", isEmailVerified: isVerified))
  }
}

extension MappingOutcome {
  fileprivate var metadata: String? {
    if case .event(let event) = self { String(decoding: event.metadata, as: UTF8.self) } else { nil }
  }
}
