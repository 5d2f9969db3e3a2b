import Foundation
import Testing

@testable import JourneyConfiguration

/// What the program says about mapping files.
@Suite struct MappingReferenceTests {
  @Test func noKeyIsListedTwice() {
    for object in MappingLanguage.objects + [MappingLanguage.condition] {
      let names = object.keys.map(\.name)
      #expect(Set(names).count == names.count, "\(object.name)")
      #expect(object.exactlyOneOf.allSatisfy(names.contains), "\(object.name)")
      #expect(object.keys.allSatisfy { !$0.meaning.isEmpty }, "\(object.name)")
    }
  }

  @Test func everyKeyIsInTheReferenceAndInTheSchema() throws {
    let markdown = MappingLanguageReference().markdown, schema = try MappingSchema.json()
    for key in MappingLanguage.objects.flatMap(\.keys) {
      #expect(markdown.contains("| `\(key.name)` | "), "\(key.name)")
      #expect(schema.contains("\"\(key.name)\" : {"), "\(key.name)")
    }
    for word in MappingLanguage.stepWords { #expect(markdown.contains("| `\(word.name)` | "), "\(word.name)") }
  }

  @Test func everyTestOfTheTableIsRead() throws {
    for test in MappingLanguage.tests {
      let argument =
        switch test.form {
        case .flag: "true"
        case .number, .either: "5"
        case .reference: "$.other"
        default: "abc"
        }
      let yaml = """
        source: test
        envelope: {type: $.type, org: $.org}
        rules:
          - {name: a, when: {path: $.x, \(test.name): \(argument)}, ignore: why}
        """
      #expect(throws: Never.self, "\(test.name)") { try MappingLoader.load(yaml: yaml, file: "m.yaml") }
    }
  }

  @Test func aPageSaysWhatTheRulesDo() throws {
    let file = NSTemporaryDirectory() + "journey-page-\(UUID().uuidString).yaml"
    defer { try? FileManager.default.removeItem(atPath: file) }
    try """
    # Of the shop.
    source: shop
    description: The shop
    envelope: {type: $.kind, org: "header:x-org-id", client: {from: $.who, unknown: retry}, time: {path: $.at, unit: ms}}
    rules:
      - name: large order
        when: {type: [order, sale], all: [{path: $.sum, gte: 100}, {path: $.test, missing: true}]}
        event: {type: order_placed, stage: {path: $.s, table: {a: billing, b: billing, c: retention}}, create: {name: $.n}}
      - name: rest
        when: {type: "*"}
        ignore: not an order
    """.write(toFile: file, atomically: true, encoding: .utf8)
    let page = try MappingPage.markdown(file: file)
    for line in [
      "# shop", "Of the shop.", "| time | `$.at` (ms) |", "| client | `$.who` |",
      "| if the client is unknown | retry |",
      "| large order | `order`, `sale` | (`$.sum` is at least `100` and `$.test` is missing) | `order_placed`, stage `billing`, `retention`; creates the client |",
      "| rest | `*` |  | ignored: not an order |",
    ] { #expect(page.contains("\(line)\n"), "\(line)") }
  }
}
