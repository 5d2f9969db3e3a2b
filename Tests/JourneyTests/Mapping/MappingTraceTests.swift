import Journey
import Testing

@Suite("Mapping trace")
struct MappingTraceTests {
  @Test func saysWhichRuleMatchedAndWhyOthersDidNot() throws {
    let paid = try MappingReference("$.paid")
    let old = try MappingReference("$.old.status")
    let now = try MappingReference("$.status")
    func rule(_ name: String, _ types: [String], _ condition: MappingCondition?) -> MappingRule {
      MappingRule(name: name, types: types.map(TypePattern.init), condition: condition, outcome: .ignore(reason: "r"))
    }
    var fixture = try MappingFixture()
    fixture.metadata.fields = [.init("note", .reference(try MappingReference("$.note")))]
    let last = fixture.mapping.rules[0]
    let mapping = Mapping(
      source: "test", envelope: fixture.envelope,
      rules: [
        rule("other type", ["a", "b.*"], nil),
        rule("paid", ["x"], .test(paid, .atLeast(10))),
        rule("changed", [], .changed(before: old, now: now, from: [JSONConstant(string: "active")], to: nil)),
        rule("any", ["x"], .any([.test(paid, .missing), .not(.test(now, .exists)), .present(old)])),
        last,
        rule("never reached", [], nil),
      ])
    let body = #"{"id":"1","type":"x","client":"c","at":1795000000,"paid":5,"status":"open","note":"n"}"#
    let trace = mapping.trace(fixture.input(body))
    let element = trace.elements[0]
    #expect(element.type == "x")
    #expect(element.rules.map(\.name) == ["other type", "paid", "changed", "any", last.name])
    #expect(element.rules.map(\.isMatch) == [false, false, false, false, true])
    #expect(element.rules[0].refusal == "type is x, not a, b.*")
    #expect(element.rules[1].refusal == "$.paid is 5, not at least 10.0")
    #expect(element.rules[2].refusal == "$.old.status is missing and $.status is open: no change from active")
    #expect(element.rules[3].refusal?.hasPrefix("none of: $.paid is 5, not missing; ") == true)
    let fields = Dictionary(uniqueKeysWithValues: element.fields.map { ($0.name, $0) })
    #expect(fields["id"]?.path == "$.id or property:message_id")
    #expect(fields["id"]?.value == "1")
    #expect(fields["client"]?.value == "c")
    #expect(fields["metadata"]?.value == nil)
    #expect(fields["metadata.note"]?.value == "n")
    #expect(element.outcome == mapping.map(fixture.input(body)).outcomes[0])
  }
}
