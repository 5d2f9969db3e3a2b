import FoundationEssentials
import Journey
import JourneyConfiguration
import Testing

@Suite("Mapping loader")
struct MappingLoaderTests {
  static let head = """
    source: test
    envelope:
      type: $.type
      client: $.client
      org: "header:x-org-id"
    rules:

    """

  static func problems(_ yaml: String) -> [String] {
    do throws(MappingLoadError) { _ = try MappingLoader.load(yaml: yaml, file: "m.yaml") } catch {
      return error.problems.map(\.description)
    }
    return []
  }

  /// The rule starts in line 7.
  static func rule(_ lines: String) -> [String] { problems(head + lines) }

  @Test func whetherAnAddressIsVerifiedIsTrueOrFalse() {
    func rule(_ flag: String) -> [String] {
      Self.rule(
        "  - {name: a, when: {type: x}, event: {type: y, stage: keep, client: {from: $.c, email: $.m, emailVerified: \(flag)}}}"
      )
    }
    #expect(rule("true") == [] && rule("false") == [])
    #expect(rule("perhaps").count == 1 && rule("$.verified").count == 1)
  }

  @Test func takesAWholeRule() {
    #expect(Self.rule("  - {name: a, when: {type: x}, event: {type: y, stage: keep}}") == [])
  }

  @Test(arguments: [
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: biling}}",
      #"m.yaml:7:56: rule "a": event.stage: biling is not a stage (did you mean billing?)"#
    ),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stagee: keep, stage: keep}}",
      #"m.yaml:7:49: rule "a": event.stagee: this key is not known (did you mean stage?)"#
    ),
    ("  - {name: a, when: {type: x}, event: {type: y, stage: keep, id: $..id}}", "descent (..) is not supported"),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, time: {path: $.t, unit: sec}}}",
      "event.time.unit: the unit sec is not known (known: s, ms, us, ns, rfc3339, iso, auto)"
    ),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, metadata: {a: data.x}}}",
      "fixed values are written as {value: …}"
    ),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, metadata: {a: {path: $.x, scale: stars}}}}",
      "the scale stars is not known (known: ces, csat, nps, signed, words; or write bands)"
    ),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, metadata: {a: {path: $.x, bands: {low: [5, 1]}}}}}",
      "a band is [lowest, highest]"
    ),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, metadata: {a: {path: $.x, value: 1}}}}",
      "exactly one of path, join, percent and value"
    ),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, metadata: {a: {path: $.x, then: [lowr]}}}}",
      #"rule "a": event.metadata.a.then[0]: the step lowr is not known (known: "#
    ),
    ("  - {name: a, when: {type: x, path: $.x, matches: '(('}, ignore: why}", "(( is not a regular expression"),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, metadata: {a: {path: $.x, then: [{minor-units: euro}]}}}}",
      "euro is not a currency (a code of ISO 4217 such as EUR, or its path)"
    ),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, client: {from: $.c, unknown: retri}}}",
      "client.unknown: retri is not known here (did you mean retry?)"
    ),
    (
      "  - {name: a, when: {all: [{path: $.s, equals: a}, {path: $.s, in: [b, c]}]}, ignore: why}",
      "the rule can never match: $.s a and $.s one of b, c never hold together"
    ),
    (
      "  - {name: a, when: {path: $.s, equals: a}, ignore: why}\n  - {name: b, when: {type: x, path: $.s, equals: a}, ignore: why}",
      #"m.yaml:8:5: rule "b": the rule can never match: "a" takes all that it could take before it"#
    ),
    ("  - {name: a, when: {type: x}, event: {stage: keep}}", "event: type is missing"),
    ("  - {name: a, when: {type: x}, event: {type: y}}", "event: stage is missing"),
    ("  - {name: a, when: {type: x}}", "exactly one of event, ignore and reject"),
    ("  - {name: a, when: {type: x}, ignore: why, reject: why}", "exactly one of event, ignore and reject"),
    ("  - {name: a, when: {type: x}, ignore: ''}", "ignore: a text is expected here"),
    ("  - {name: a, when: {type: x}, reject: {reason: r, code: boom}}", "reject.code: the code boom is not known"),
    ("  - {when: {type: x}, ignore: why}", #"rule "rule 1": name is missing"#),
    ("  - {name: a, ignore: why}", "when is missing"),
    ("  - {name: a, when: {}, ignore: why, typo: 1}", "typo: this key is not known"),
    ("  - {name: a, when: {path: $.x}, ignore: why}", "when.path: no test for this path"),
    ("  - {name: a, when: {equals: x}, ignore: why}", "when.equals: equals tests the value of a path"),
    ("  - {name: a, when: {path: $.x, gt: many}, ignore: why}", "when.gt: a number is expected"),
    ("  - {name: a, when: {path: $.x, exists: yes}, ignore: why}", "when.exists: true or false is expected"),
    (
      "  - {name: a, when: {type: x}, event: {type: y, stage: keep, id: '$.x[*]'}}",
      "only allowed in the envelope's split"
    ),
    ("  - {name: a, when: {type: 'x*y'}, ignore: why}", "the star can only stand at the end"),
    ("  - {name: a, when: {changed: {before: $.x}}, ignore: why}", "when.changed: now is missing"),
    ("  - {name: a, when: {any: []}, ignore: why}", "when.any: the list is empty"),
    (
      "  - {name: a, when: {type: x}, ignore: why}\n  - {name: a, when: {type: y}, ignore: why}",
      #"m.yaml:8:5: rule "a": another rule has the same name"#
    ),
    (
      "  - {name: a, when: {type: 'x.*'}, ignore: why}\n  - {name: b, when: {type: [x.y, 'x.z.*']}, ignore: why}",
      #"m.yaml:8:5: rule "b": the rule can never match: "a" takes all of its types before it"#
    ),
  ])
  func saysWhatIsWrongWhere(_ lines: String, _ part: String) {
    let problems = Self.rule(lines)
    #expect(problems.count == 1, "\(problems)")
    #expect(problems.first?.contains(part) == true, "\(problems)")
    #expect(problems.first?.hasPrefix("m.yaml:") == true)
  }

  @Test func reportsAllProblemsAtOnce() {
    let problems = Self.problems(
      """
      source: test
      versoin: 1
      envelope:
        type: type
        split: $.events
        org: "header:"
      rules:
        - {name: a, when: {type: x}, event: {type: y, stage: nowhere}}
        - {name: b, when: {path: $.x}, ignore: why}
      """)
    let starts = problems.map { $0.split(separator: " ")[0] }
    #expect(
      starts == ["m.yaml:2:1:", "m.yaml:4:9:", "m.yaml:5:10:", "m.yaml:6:8:", "m.yaml:8:56:", "m.yaml:9:28:"],
      "\(problems)")
  }

  @Test(arguments: [
    ("source: [", "not YAML"), ("", "the file is empty"), ("- a", "key: value lines"),
    ("source: a\nsource: b", "occurs twice"),
    ("1: a\n\"1\": b", "occurs twice"), ("source: test\nrules: []", "envelope is missing"),
  ])
  func refusesWhatIsNoMapping(_ yaml: String, _ part: String) {
    #expect(Self.problems(yaml).contains { $0.contains(part) }, "\(Self.problems(yaml))")
  }

  @Test func readsWordsAsYAML12Does() throws {
    let mapping = try MappingLoader.load(
      yaml: Self.head + "  - {name: a, when: {path: $.x, in: [no, on, 012, 1.50, true, 'true', ~x]}, ignore: why}",
      file: "m.yaml")
    #expect(
      mapping.rules[0].condition
        == .test(
          try MappingReference("$.x"),
          .isOneOf([
            JSONConstant(string: "no"), JSONConstant(string: "on"), JSONConstant(string: "012"),
            try #require(JSONConstant(number: "1.50")),
            JSONConstant(bool: true), JSONConstant(string: "true"), JSONConstant(string: "~x"),
          ])))
  }

  @Test func laterDirectoriesReplaceSources() throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "mapping-loader-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    func write(_ path: String, _ text: String) throws {
      let file = root.appending(path: path)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    let rule = "  - {name: a, when: {type: x}, ignore: why}"
    try write("one/a.yaml", Self.head + rule)
    try write("one/b.yml", Self.head.replacingSource("other") + rule)
    try write("two/z.yaml", "version: 2\n" + Self.head + rule)
    try write("two/notes.txt", "not a mapping")
    let catalog = try MappingLoader.load(directories: [
      root.appending(path: "one").path, root.appending(path: "two").path,
    ])
    #expect(catalog.sources == ["other", "test"])
    #expect(catalog["test"]?.version == "2")

    try write("two/y.yaml", Self.head + rule)
    try write("two/x.yaml", "source: [")
    let error = #expect(throws: MappingLoadError.self) {
      try MappingLoader.load(directories: [root.appending(path: "two").path, root.appending(path: "three").path])
    }
    #expect(error?.problems.count == 3, "\(String(describing: error))")
  }

  @Test func warnsOfRulesThatMayBothMatch() throws {
    let rules = """
        - {name: a, when: {type: x, path: $.s, equals: p}, ignore: why}
        - {name: b, when: {type: x, path: $.t, equals: q}, ignore: why}
        - {name: c, when: {type: x, all: [{path: $.s, equals: r}, {path: $.t, missing: true}]}, ignore: why}
        - {name: d, when: {type: x}, ignore: the rest}
      """
    let directory = FileManager.default.temporaryDirectory.appending(path: "mappings-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try Data((Self.head + rules).utf8).write(to: URL(filePath: "\(directory)/m.yaml"))
    let overlaps = MappingLoader.survey(directories: [directory]).overlaps
    #expect(
      overlaps.map(\.description) == [
        #"\#(directory)/m.yaml:8:5: rule "b": may match where "a" matches too; the first wins"#
      ])
  }
}

extension String {
  fileprivate func replacingSource(_ name: String) -> String {
    split(separator: "\n", omittingEmptySubsequences: false).map {
      $0 == "source: test" ? "source: \(name)" : String($0)
    }.joined(
      separator: "\n")
  }
}
