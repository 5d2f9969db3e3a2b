import FoundationEssentials
import Journey
import Testing

@Suite("Mapping an element")
struct MappingTests {
  static let whole = #"{"id":"e1","type":"x","client":"c1","at":1795000000,"data":{"a": 1}}"#

  @Test func makesAnEvent() throws {
    let event = try #require(try MappingFixture().map(Self.whole)[0].event)
    #expect(event.orgID == UUID(uuidString: MappingFixture.org))
    #expect(event.source == "test")
    #expect(event.sourceEventID == "e1")
    #expect(event.client == ClientReference(externalID: "c1"))
    #expect(event.type == "x")
    #expect(event.stage == nil)
    #expect(event.occurredAt == Timestamp(seconds: 1_795_000_000))
    #expect(String(decoding: event.metadata, as: UTF8.self) == #"{"a": 1}"#)
  }

  @Test func takesAClientThatLooksLikeAUUIDAsBoth() throws {
    let text = "0193A6F2-7b1e-7c3a-9f0e-1a2b3c4d5e6f"
    let client = try #require(try MappingFixture().map(Self.whole.with("c1", as: text))[0].event).client
    #expect(client.id == UUID(uuidString: text))
    #expect(client.externalID == text)
    for other in [String(text.dropLast()) + "g", String(text.dropLast()), text.with("-", as: "0")] {
      let client = try #require(try MappingFixture().map(Self.whole.with("c1", as: other))[0].event).client
      #expect(client == ClientReference(externalID: other))
    }
  }

  @Test func keepsNumericIDsExact() throws {
    let body = #"{"id":39313930383633353634323835,"type":"x","client":1725357365187780609,"at":1795000000}"#
    let event = try #require(try MappingFixture().map(body)[0].event)
    #expect(event.sourceEventID == "39313930383633353634323835")
    #expect(event.client.externalID == "1725357365187780609")
  }

  @Test(arguments: [
    "\"\"", "null", "\" NULL \"", "\"undefined\"", "\"No response\"", "\" No response \"", "\"undefined   \"",
    "\"REDACTED\"", "\"anonymous\"",
  ])
  func refusesSentinelClients(_ client: String) throws {
    let body = Self.whole.with("\"c1\"", as: client)
    let rejection = try #require(try MappingFixture().map(body)[0].rejection)
    #expect(rejection.code == .missingField)
    #expect(rejection.field?.contains("$.client") == true)
  }

  @Test func looksFurtherWhereTheFirstClientIsASentinel() throws {
    let body = #"{"id":"e1","type":"x","client":"unknown","customer":"c2","at":1795000000}"#
    #expect(try MappingFixture().map(body)[0].event?.client.externalID == "c2")
    var fixture = try MappingFixture()
    fixture.client.refused = ["c2"]
    #expect(fixture.map(body)[0].rejection?.value == "unknown")
  }

  @Test func fallsBackToTheMessageForIDAndTime() throws {
    var fixture = try MappingFixture()
    fixture.messageID = "m1"
    fixture.timestamp = Timestamp(seconds: 1_795_100_000)
    let event = try #require(fixture.map(#"{"type":"x","client":"c","id":"","at":null}"#)[0].event)
    #expect(event.sourceEventID == "m1")
    #expect(event.occurredAt == Timestamp(seconds: 1_795_100_000))
  }

  @Test func tellsElementsApartThatShareAMessageID() throws {
    var fixture = try MappingFixture()
    fixture.messageID = "m1"
    fixture.envelope.splits = [try JSONPath("$[*]")]
    let body =
      #"""
      [{"type":"x","client":"c","at":1795000000},{"type":"x","client":"c","at":1795000000},{"type":"x","client":"c",
      "at":1795000000,"id":"own"}]
      """#
    #expect(fixture.map(body).map { $0.event?.sourceEventID } == ["m1#0", "m1#1", "own"])
    #expect(fixture.map(Self.whole).map { $0.event?.sourceEventID } == ["e1"])
  }

  @Test func splitsNestedListsAndIsolatesFaults() throws {
    var fixture = try MappingFixture()
    fixture.envelope.splits = [try JSONPath("$.groups[*].events[*]")]
    fixture.envelope.organization = [.reference(try MappingReference("body:$.org"))]
    let good = #"{"id":"1","type":"x","client":"c","at":1795000000}"#
    let body =
      #"{"org":"\#(MappingFixture.org)","groups":[{"events":[\#(good),7]},{"events":[]},{"events":[{"type":"x"},\#(good)]}]}"#
    let outcomes = fixture.map(body)
    #expect(outcomes.count == 4)
    #expect(outcomes[0].event?.client.externalID == "c")
    #expect(outcomes[1] == .rejected(Rejection(.malformed, field: "$", "is not an object"), element: 1))
    #expect(outcomes[2].rejection?.field == "$.id or property:message_id")
    #expect(outcomes[3].event != nil)
    for empty in ["[]", "{}", #"{"groups":[]}"#, "3", "\"x\""] {
      #expect(fixture.map(empty).map(\.rejection?.code) == [.malformed])
    }
  }

  @Test(
    arguments: [
      (#"{"type":"x","client":"c","at":1795000000}"#, "missing_field", "$.id or property:message_id", nil),
      (#"{"id":"1","client":"c","at":1795000000}"#, "missing_field", "$.type", nil),
      (#"{"id":"1","type":"x","at":1795000000}"#, "missing_field", "$.client or $.customer", nil),
      (#"{"id":"1","type":"x","client":"c"}"#, "missing_field", "$.at or property:timestamp", nil),
      (#"{"id":"1","type":"x","client":{"id":1},"at":1795000000}"#, "invalid_field", "$.client", nil),
      (#"{"id":["1"],"type":"x","client":"c","at":1795000000}"#, "invalid_field", "$.id", nil),
      (#"{"id":"1","type":"x","client":"c","at":0}"#, "invalid_field", "$.at", "1970-01-01T00:00:00Z"),
      (
        #"{"id":"1","type":"x","client":"c","at":"2999-01-01T00:00:00Z"}"#, "invalid_field", "$.at",
        "2999-01-01T00:00:00Z"
      ),
      (#"{"id":"1\u0007","type":"x","client":"c","at":1795000000}"#, "invalid_field", "$.id", "1\u{FFFD}"),
      (#"{"id":"1","type":"x\u0085","client":"c","at":1795000000}"#, "invalid_field", "$.type", "x\u{FFFD}"),
      (#"{"id":"1","type":"x","client":"c","at":1795000000,"data":[1]}"#, "invalid_field", "$.data", "[1]"),
      (
        #"{"id":"1","type":"x","client":"c","at":1795000000,"data":{"n":[0,{"a b":1e30}]}}"#, "invalid_field",
        "$.data.n[1]['a b']", "1e30"
      ),
      (
        #"{"id":"1","type":"x","client":"c","at":1795000000,"data":{"n":1000000000000000000000}}"#, "invalid_field",
        "$.data.n",
        "1000000000000000000000"
      ),
      (
        #"{"id":"1","type":"x","client":"c","at":1795000000,"data":{"n":0.1e-2000}}"#, "invalid_field", "$.data.n",
        "0.1e-2000"
      ),
      (
        #"{"id":"1","type":"x","client":"c","at":1795000000,"data":{"n":0e99999999999999999999}}"#, "invalid_field",
        "$.data.n",
        "0e99999999999999999999"
      ),
    ] as [(String, String, String, String?)])
  func rejectsWithFieldAndValue(_ body: String, _ code: String, _ field: String, _ value: String?) throws {
    let rejection = try #require(try MappingFixture().map(body)[0].rejection)
    #expect(rejection.code.rawValue == code)
    #expect(rejection.field == field)
    #expect(rejection.value == value)
  }

  @Test(arguments: [
    "999999999999999999999", "-999999999999999999999.5", "123456789012345678", "0.000001e26", "1e20", "0e500", "1e-900",
    "-0.0",
  ])
  func takesNumbersThatCanBeStored(_ number: String) throws {
    let body = #"{"id":"1","type":"x","client":"c","at":1795000000,"data":{"n":\#(number)}}"#
    let event = try #require(try MappingFixture().map(body)[0].event)
    #expect(String(decoding: event.metadata, as: UTF8.self) == #"{"n":\#(number)}"#)
  }

  @Test func holdsTheLimitsOfLength() throws {
    let fixture = try MappingFixture()
    func code(id: String) -> Rejection? {
      fixture.map(#"{"id":"\#(id)","type":"x","client":"c","at":1795000000}"#)[0].rejection
    }
    // A single character.
    #expect(code(id: "e" + String(repeating: "\u{301}", count: 600))?.message == "longer than 1024 bytes")
    #expect(code(id: String(repeating: "é", count: 256)) == nil)
    #expect(code(id: String(repeating: "é", count: 257))?.field == "$.id")
    func metadata(_ count: Int) -> MappingOutcome {
      fixture.map(
        #"{"id":"1","type":"x","client":"c","at":1795000000,"data":{"a":"\#(String(repeating: "y", count: count))"}}"#)[
          0]
    }
    #expect(metadata(65_528).event?.metadata.count == 65_536)
    #expect(metadata(65_529).rejection?.code == .tooLarge)
    #expect(metadata(65_529).rejection?.field == "$.data")
  }

  @Test func refusesABodyOfTooManyEventsAsAWhole() throws {
    var fixture = try MappingFixture()
    fixture.envelope.splits = [try JSONPath("$[*]")]
    var input = fixture.input("[\(Self.whole),\(Self.whole),\(Self.whole)]")
    input.limits.maxElements = 3
    #expect(fixture.mapping.map(input).outcomes.map { $0.event?.sourceEventID } == ["e1", "e1", "e1"])
    input.limits.maxElements = 2
    let outcomes = fixture.mapping.map(input).outcomes
    #expect(outcomes.count == 1)
    #expect(outcomes[0].rejection?.code == .tooLarge)
    #expect(outcomes[0].rejection?.value == "3 events")
    #expect(fixture.mapping.trace(input).elements.map(\.outcome) == outcomes)
  }

  @Test(arguments: [
    (#"{"a":{"secret": tru}}"#, "malformed", "$.a"), (#"{"a":{"b":"secret\u0000"}}"#, "invalid_field", "$.a.b"),
    (#"{"a":["\ud800 secret"]}"#, "invalid_field", "$.a[0]"), (#"[[[["secret"]]]]"#, "malformed", "$[0][0]"),
    (#"{"secret":"0123456789012345678901234567890123456789"}"#, "too_large", "$"),
  ])
  func rejectsABodyThatIsNoJSON(_ body: String, _ code: String, _ field: String) throws {
    let error = #expect(throws: JSONError.self) {
      try JSONDocument(parsing: body, limits: JSONLimits(maxDepth: 3, maxBytes: 40))
    }
    let rejection = Rejection(try #require(error))
    #expect(rejection.code.rawValue == code)
    #expect(rejection.field == field)
    #expect(rejection.value == nil)
    #expect(!rejection.description.contains("secret"))
  }

  @Test func readsTheOrganizationWhereItStands() throws {
    var fixture = try MappingFixture()
    fixture.headers = [:]
    #expect(
      fixture.map(Self.whole)[0].rejection
        == Rejection(.missingField, field: "header:x-org-id or $.org", "the organization is missing"))
    #expect(fixture.map(Self.whole.with("\"id\"", as: #""org":"\#(MappingFixture.org)","id""#))[0].event != nil)
    fixture.headers = ["x-org-id": "acme"]
    #expect(fixture.map(Self.whole)[0].rejection?.field == "header:x-org-id")
    #expect(fixture.map(Self.whole)[0].rejection?.value == "acme")
  }

  @Test func takesTheStageFromABody() throws {
    var fixture = try MappingFixture()
    fixture.stage = .named(.reference(try MappingReference("$.stage")))
    func outcome(_ stage: String) -> MappingOutcome {
      fixture.map(Self.whole.with("\"id\"", as: #""stage":\#(stage),"id""#))[0]
    }
    for stage in Stage.allCases { #expect(outcome("\"\(stage.rawValue)\"").event?.stage == stage) }
    #expect(outcome("\"won\"").rejection?.value == "won")
    #expect(outcome("\"won\"").rejection?.code == .invalidField)
    #expect(outcome("null").rejection?.code == .missingField)
  }

  @Test func composesMetadata() throws {
    var fixture = try MappingFixture()
    fixture.metadata.fields = [
      .init("a", .constant(JSONConstant(string: "over"))), .init("price", .reference(try MappingReference("$.price"))),
      .init("nothing", .reference(try MappingReference("$.nothing"))),
      .init("score", .then(.reference(try MappingReference("$.nps")), .bands(ScoreBand.scales["nps"]!))),
    ]
    let body =
      #"{"id":"1","type":"x","client":"c","at":1795000000,"price":12.50,"nps":"6","nothing":null,"data":{"a":1,"b":{"c" : 2}}}"#
    let event = try #require(fixture.map(body)[0].event)
    #expect(
      String(decoding: event.metadata, as: UTF8.self) == #"{"b":{"c" : 2},"a":"over","price":12.50,"score":"negative"}"#
    )
    #expect(
      String(
        decoding: try #require(fixture.map(#"{"id":"1","type":"x","client":"c","at":1795000000}"#)[0].event).metadata,
        as: UTF8.self)
        == #"{"a":"over"}"#)
  }

  @Test(
    arguments: [
      ("nps", 0.0, "negative"), ("nps", 6, "negative"), ("nps", 7, "neutral"), ("nps", 8, "neutral"),
      ("nps", 9, "positive"),
      ("nps", 10, "positive"),
      ("nps", 11, nil), ("csat", 1, "negative"), ("csat", 2, "negative"), ("csat", 3, "neutral"),
      ("csat", 4, "positive"), ("csat", 0, nil),
      ("signed", -100, "negative"), ("signed", 0, "neutral"), ("signed", 100, "positive"), ("signed", -101, nil),
    ] as [(String, Double, String?)])
  func knowsTheScalesOfSentiment(_ scale: String, _ score: Double, _ sentiment: String?) {
    let band = ScoreBand.scales[scale]?.first { $0.range.contains(score) }
    #expect(band?.label.text == sentiment)
  }

  @Test func createsAClientFromTheBody() throws {
    var fixture = try MappingFixture()
    fixture.creation = MappingCreation(
      name: .reference(try MappingReference("$.name")), email: .reference(try MappingReference("$.mail")))
    let event = try #require(fixture.map(Self.whole.with("\"id\"", as: #""name":" Kim ","mail":"","id""#))[0].event)
    #expect(event.client.creation == NewClient(name: "Kim"))
  }
}

extension String {
  /// Every `part` written as `other`.
  fileprivate func with(_ part: String, as other: String) -> String {
    split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
  }

  /// Signals are those that the written metadata gives, without parsing it.
  @Test(arguments: [
    (#"{"sentiment":"negative","usage":3}"#, "usage_reported"), (#"{"sentiment":"neg\u0061tive"}"#, "x"),
    (#"{"sentiment":"positive","sentiment":"negative"}"#, "x"), (#"{"invoiceId":12.50}"#, "invoice_paid"),
    (#"{"invoiceId":null,"usage":"7"}"#, "invoice_overdue"), (#"{"nested":{"sentiment":"negative"}}"#, "x"),
    (#"{"Sentiment":"negative","usage":1e1}"#, "usage_low"), ("{}", "invoice_overdue"),
  ])
  func signalsAreThoseOfTheWrittenMetadata(_ data: String, _ type: String) throws {
    let reader = SignalReader(SignalRules())
    let replaced = MappingMetadata.Field("usage", .constant(try #require(JSONConstant(number: "41"))))
    for (fields, redacted) in [([], []), ([replaced], []), ([], ["sentiment", "invoiceid"]), ([replaced], ["usage"])]
      as [([MappingMetadata.Field], Set<String>)]
    {
      var fixture = try MappingFixture()
      fixture.metadata.fields = fields
      fixture.metadata.redacted = redacted
      let body = #"{"id":"e1","type":"\#(type)","client":"c1","at":1795000000,"data":\#(data)}"#
      let result = fixture.mapping.map(fixture.input(body), signals: reader)
      let event = try #require(result.outcomes[0].event)
      let written = try JSONDocument(parsing: event.metadata).root
      #expect(
        result.signals == [
          reader.signals(
            type: type, stage: event.stage, actor: nil, sourceEventID: event.sourceEventID, metadata: written)
        ], "\(String(decoding: event.metadata, as: UTF8.self))")
    }
  }

  /// A header may hold a NUL, which no metadata can: the store refuses the event, and the process goes on.
  @Test(arguments: ["sentiment", "invoiceId", "usage"])
  func aNulInAHeaderGivesNoSignal(_ name: String) throws {
    var fixture = try MappingFixture()
    fixture.headers["x-value"] = "negative\0"
    fixture.metadata.fields = [.init(name, .reference(try MappingReference("header:x-value")))]
    for type in ["x", "invoice_paid", "usage_low"] {
      let body = #"{"id":"e1","type":"\#(type)","client":"c1","at":1795000000,"data":{}}"#
      let result = fixture.mapping.map(fixture.input(body), signals: SignalReader(SignalRules()))
      #expect(result.signals.count == 1 && !result.signals[0].isNegative && result.signals[0].invoice == nil)
    }
    #expect(JSONConstant(string: "a\0").json == Array(#""a\u0000""#.utf8))
  }
}
