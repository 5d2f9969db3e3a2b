import Testing

@testable import Journey

/// What is limited in characters is limited in bytes as well: a character may be made of any number of them.
@Suite struct TextLimitTests {
  /// One character of 40,001 bytes.
  private static let one = "e" + String(repeating: "\u{301}", count: 20_000)

  @Test(arguments: [
    ("short", "short"), (String(repeating: "é", count: 20), String(repeating: "é", count: 20)),
    (String(repeating: "é", count: 21), String(repeating: "é", count: 19) + "…"),
  ])
  func aTextIsCutBetweenCharacters(_ text: String, _ shown: String) {
    #expect(text.shortened(to: 20) == shown)
  }

  @Test func aCharacterOfManyBytesIsCutItself() {
    for (text, length) in [(Self.one, 20), (String(repeating: Self.one, count: 30), 20), ("\u{1F1E6}" + Self.one, 1)] {
      let cut = text.shortened(to: length)
      #expect(cut.utf8.count <= 4 * length && cut.hasSuffix("…") && !cut.unicodeScalars.contains("\u{FFFD}"))
    }
    // Wherever the limit falls within a scalar.
    for lead in 0..<4 {
      let text = String(repeating: "x", count: lead) + "e" + String(repeating: "\u{20DD}", count: 100)
      let cut = text.shortened(to: 20)
      #expect((77...80).contains(cut.utf8.count) && text.utf8.starts(with: cut.dropLast().utf8), "\(lead)")
    }
  }

  @Test func aTraceAndAPathHoldNoSuchText() throws {
    let fixture = try MappingFixture()
    let rules = [
      MappingRule(
        name: "test", types: [], condition: .test(try MappingReference("$.client"), .atLeast(10)),
        outcome: .ignore(reason: "r")),
      MappingRule(
        name: "changed", types: [],
        condition: .changed(
          before: try MappingReference("$.client"), now: try MappingReference("$.id"),
          from: [JSONConstant(string: "a")], to: nil),
        outcome: .ignore(reason: "r")),
      MappingRule(name: "type", types: [TypePattern("other")], condition: nil, outcome: .ignore(reason: "r")),
    ]
    let mapping = Mapping(source: "test", envelope: fixture.envelope, rules: rules + fixture.mapping.rules)
    let body = #"{"id":"\#(Self.one)","type":"\#(Self.one)","client":"\#(Self.one)","at":1795000000}"#
    let element = mapping.trace(fixture.input(body)).elements[0]
    #expect(element.fields.count > 3 && element.rules.count == 4)
    #expect(element.type?.utf8.count ?? 0 <= 800)
    for field in element.fields { #expect(field.value?.utf8.count ?? 0 <= 800, "\(field.name)") }
    for rule in element.rules { #expect(rule.refusal?.utf8.count ?? 0 <= 1800, "\(rule.name)") }
    // In the path to what a rejection is about.
    let odd = fixture.map(
      #"{"id":"1","type":"x","client":"c","at":1795000000,"data":{"\#(Self.one)":1e999}}"#)[0]
    let path = try #require(odd.rejection?.field)
    #expect(path.utf8.count < 400 && path.hasPrefix("$.data"))
    let error = #expect(throws: JSONError.self) { try JSONDocument(parsing: #"{"\#(Self.one)": nonsense}"#) }
    #expect(error?.path.utf8.count ?? 0 < 400)
  }

  @Test func anExpressionLooksAtNoMoreThanFourBytesACharacter() throws {
    let pattern = try TextPattern("z$")
    #expect(pattern.matches(String(repeating: "a", count: 4095) + "z"))
    #expect(!pattern.matches(String(repeating: "a", count: 4096) + "z"))
    // Few characters, but more bytes than any text of 4,096 ordinary ones.
    #expect(!pattern.matches(Self.one + "z"))
  }
}
