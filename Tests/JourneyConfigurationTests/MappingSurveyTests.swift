import Foundation
import Journey
import JourneyConfiguration
import Testing

/// What `journey mappings check` and `journey mappings test` find in a directory.
@Suite("Mapping survey and tests")
struct MappingSurveyTests {
  private static func rules(_ lines: String, source: String = "test", head: String = "") -> String {
    """
    source: \(source)
    \(head)
    envelope:
      type: $.type
      id: $.id
      time: {path: $.at, unit: s}
      client: $.client
      org: "header:x-org-id"
    rules:
    \(lines)
    """
  }

  private func withDirectory<T>(_ files: [String: String], _ body: (String) throws -> T) throws -> T {
    let directory = FileManager.default.temporaryDirectory.appending(path: "mappings-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory + "/tests", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    for (name, text) in files { try Data(text.utf8).write(to: URL(filePath: "\(directory)/\(name)")) }
    return try body(directory)
  }

  private func survey(_ yaml: String) throws -> MappingLoader.Survey {
    try withDirectory(["m.yaml": yaml]) { MappingLoader.survey(directories: [$0]) }
  }

  @Test(arguments: [
    ("  - {name: a, when: {type: x}, event: {type: invoice_overdu, stage: keep}}", "did you mean invoice_overdue?"),
    ("  - {name: a, when: {path: $.s, equals: a}, ignore: why}", "an ignore rule names the types"),
    ("  - {name: a, when: {type: \"*\"}, ignore: why}", "an ignore rule names the types"),
    (
      "  - {name: a, when: {type: \"x.*\"}, ignore: why}\n  - {name: b, when: {type: [x.y, z]}, event: {type: note_added, stage: keep}}",
      "\"a\" takes x.y before it"
    ),
    (
      "  - {name: a, when: {type: \"x.*\"}, ignore: why}\n  - {name: b, when: {path: $.gap, equals: true}, reject: why}",
      "\"a\" takes x.* before it"
    ),
  ])
  func refusesWhatItLoadsOfEarlierVersions(_ lines: String, _ part: String) throws {
    let found = try survey(Self.rules(lines))
    #expect(found.problems.isEmpty && found.catalog["test"] != nil, "\(found.problems)")
    #expect(found.refusals.contains { "\($0)".contains(part) }, "\(found.refusals)")
  }

  @Test func takesTypesOfOnesOwnThatAreDeclared() throws {
    let rule = "  - {name: a, when: {type: x}, event: {type: visit_booked, stage: keep}}"
    #expect(try survey(Self.rules(rule, head: "types: {visit_booked: client}")).refusals.isEmpty)
    #expect(try survey(Self.rules(rule)).refusals.count == 1)
    #expect(try survey(Self.rules(rule, head: "types: {visit_booked: nobody}")).problems.count == 1)
    #expect(try survey(Self.rules(rule, head: "types: {visit_booked: us, deal_won: us}")).problems.count == 1)
  }

  @Test(arguments: [
    ("{type: deal.updated, path: $.status, equals: won}", "", true),
    ("{type: deal.updated}", "", true),
    ("{type: deal.won, path: $.status, equals: won}", "", false),
    ("{type: deal.updated, path: $.status, changed: {before: $.was, now: $.status}, equals: won}", "", false),
    ("{type: deal.updated, path: \"$.changedFields[*]\", equals: status}", "", false),
    ("{type: deal.updated, path: $.status, equals: won}", "states: only sent when it changes, ", false),
  ])
  func warnsOfAStateThatIsReadAsAChange(_ when: String, _ states: String, _ warns: Bool) throws {
    let found = try survey(
      Self.rules("  - {name: a, \(states)when: \(when), event: {type: deal_won, stage: onboarding}}"))
    #expect(found.problems.isEmpty && found.warnings.isEmpty != warns, "\(found.warnings)")
  }

  @Test func aMistakeInOneFileLeavesTheOthersUsable() throws {
    let good = Self.rules("  - {name: a, when: {type: x}, ignore: why}", source: "good")
    let bad = Self.rules("  - {name: a, when: {type: x}, ignored: why}", source: "bad")
    try withDirectory(["a.yaml": bad, "b.yaml": good, "c.yaml": bad.replacing("source: bad", with: "source: worse")]) {
      let found = MappingLoader.survey(directories: [$0])
      #expect(found.catalog.sources == ["good"])
      #expect(found.broken.keys.sorted() == ["bad", "worse"])
      #expect(Set(found.problems.map(\.file)).count == 2)
    }
  }

  private static let invoices = rules(
    """
      - {name: late, when: {type: late}, event: {type: invoice_overdue, stage: {at-least: billing}, metadata: {invoiceId: $.invoice}}}
      - {name: paid, when: {type: paid}, event: {type: invoice_paid, stage: billing, metadata: {invoiceId: [$.number, $.invoice]}}}
      - {name: staff, when: {type: staff}, ignore: not the client's}
      - {name: other, when: {type: other}, event: {type: note_added, stage: keep}}
    """)

  private static func tests(_ paid: String, _ expected: String) -> String {
    """
    source: test
    tests:
      - name: late
        body: {type: late, id: 1, at: 1790000000, client: c, invoice: "7"}
        expect: {event: invoice_overdue, stage: {at-least: billing}, client: c, id: 1, by: system, time: "2026-09-21T14:13:20Z", metadata: {invoiceId: "7"}}
      - name: paid
        json: '{"type":"paid","id":90071992547409931,"at":1790000001,"client":"c",\(paid)}'
        expect: {event: invoice_paid, id: \(expected)}
      - name: staff
        body: {type: staff}
        expect: {ignored: staff}
      - name: unlisted
        body: {type: new.thing}
        expect: [{unlisted: new.thing}]
      - name: nobody
        body: {type: other, id: 2, at: 1790000000}
        expect: {rejected: missing_field, field: $.client}
    pairs:
      - {opens: late, closes: [paid]}
    """
  }

  private func run(_ tests: String) throws -> MappingTestRun {
    try withDirectory(["m.yaml": Self.invoices, "tests/test.yaml": tests]) { directory in
      try MappingTestRun(
        MappingLoader.load(directories: [directory]), directories: [directory], signals: SignalRules())
    }
  }

  @Test func testsBesideAMappingPassOrSayWhatDiffers() throws {
    let passed = try run(Self.tests(#""invoice":"7""#, "90071992547409931"))
    #expect(passed.failures.isEmpty && passed.tests == 5 && passed.pairs == 1, "\(passed.failures)")
    #expect(passed.untested.isEmpty && passed.withoutTests.isEmpty)
    // The payment has another key than the notice.
    let failed = try run(Self.tests(#""invoice":"7","number":"R-7""#, "5"))
    #expect(
      failed.failures.map(\.differences) == [
        ["id: expected 5, found 90071992547409931"],
        ["leaves the invoice 7 late", "leaves the invoice 7 late if they arrive in the other order"],
      ])
  }

  @Test func whatIsNotTestedIsListed() throws {
    let one = "source: test\ntests: [{name: s, body: {type: staff}, expect: {ignored: staff}}]"
    #expect(try run(one).untested == ["test": ["late", "paid", "other"]])
    let none = try withDirectory(["m.yaml": Self.invoices]) { directory in
      try MappingTestRun(
        MappingLoader.load(directories: [directory]), directories: [directory], signals: SignalRules())
    }
    #expect(none.withoutTests == ["test"])
  }

  @Test(arguments: [
    "source: test\ntests: [{name: s, body: {type: staff}, expect: {ignore: staff}}]",
    "source: test\ntests: [{name: s, body: {type: staff}}]",
    "source: test\ntests: [{name: s, json: '{', expect: {ignored: staff}}]",
    "source: test\ntests: [{name: s, body: {type: staff}, expect: {ignored: staff}}]\npairs: [{opens: t, closes: s}]",
  ])
  func aFileOfTestsThatCannotBeReadIsAMistake(_ tests: String) {
    #expect(throws: MappingLoadError.self) { try run(tests) }
  }

  /// Every rule of every shipped mapping that makes an event is tested, and what opens is closed.
  @Test(arguments: [["config/mappings"], ["config/mappings", "config/profiles/literal/mappings"]])
  func shippedMappingsPassTheirTests(_ directories: [String]) throws {
    let found = MappingLoader.survey(directories: directories)
    #expect(found.problems.isEmpty && found.refusals.isEmpty && found.warnings.isEmpty)
    // The profile has a mapping of its own for CloudEvents, whose stages are the design document's.
    let sources = directories.count == 1 ? [] : found.catalog.sources.filter { $0 != "cloudevents" }
    let run = try MappingTestRun(
      found.catalog, directories: ["config/mappings"], sources: sources, signals: SignalRules())
    #expect(run.failures.isEmpty && run.untested.isEmpty && run.withoutTests.isEmpty, "\(run)")
    #expect(run.tests > 700 && run.pairs > 90)
  }
}
