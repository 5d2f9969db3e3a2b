import FoundationEssentials
import Journey
import Yams

/// The tests of a mapping: bodies, each with what it must become.
struct MappingTestFile {
  var source: String
  var tests: [MappingTest]
  var pairs: [MappingTestPair]

  struct MappingTest {
    var name: String
    var input: MappingInput
    var expected: [MappingExpectation]
    var line: Int
  }

  /// Tests of which each of `opens` and each of `closes` leave no risk together.
  struct MappingTestPair {
    var opens: [String]
    var closes: [String]
    var line: Int
  }

  /// - Throws: `MappingLoadError` with all problems of the file.
  static func load(_ file: String) throws(MappingLoadError) -> MappingTestFile {
    let problems = YAMLDiagnosticList(file: file)
    let root = YAMLDocument.root(of: try MappingLoader.text(of: file), problems)
    guard let tests = root.flatMap({ $0.mappingTests() }), problems.problems.isEmpty else {
      throw MappingLoadError(problems: problems.sorted)
    }
    return tests
  }
}

extension YAMLField {
  private static let organization = "11111111-1111-4111-8111-111111111111"
  private static let testKeys = ["name", "headers", "properties", "body", "json", "testTraffic", "expect"]

  fileprivate func mappingTests() -> MappingTestFile? {
    guard let members = members(["source", "org", "tests", "pairs"]), let source = members["source"]?.text() else {
      return nil
    }
    let org = members["org"]?.text() ?? Self.organization
    guard let fields = members["tests"]?.elements() else { return nil }
    let tests = fields.compactMap { $0.mappingTest(source: source, org: org) }
    let pairs = members["pairs"].map { ($0.elements() ?? []).compactMap { $0.mappingTestPair(among: tests) } } ?? []
    return MappingTestFile(source: source, tests: tests, pairs: pairs)
  }

  private func mappingTest(source: String, org: String) -> MappingTestFile.MappingTest? {
    guard let members = members(Self.testKeys), let name = members["name"]?.text() else {
      report("a test needs a name")
      return nil
    }
    guard let body = members["json"]?.text().map({ Array($0.utf8) }) ?? members["body"]?.json(),
      let expected = members["expect"]?.oneOrMany()
    else {
      report("a test needs a body (or json) and what it expects")
      return nil
    }
    guard let document = try? JSONDocument(parsing: body) else {
      report("the body is not JSON")
      return nil
    }
    var headers = ["x-source": source]
    for (key, field) in members["headers"]?.members() ?? [] { headers[key.text.lowercased()] = field.text() }
    if headers["x-org-id"] == nil { headers["x-org-id"] = org }
    var properties: [String: String] = [:]
    for (key, field) in members["properties"]?.members() ?? [] { properties[key.text] = field.text() }
    let texts = headers
    var input = MappingInput(
      document: document, header: { texts[$0.lowercased()] }, messageID: properties["message_id"],
      timestamp: properties["timestamp"].flatMap { TimeUnit.auto.timestamp($0) }, type: properties["type"],
      appID: properties["app_id"], routingKey: properties["routing_key"],
      limits: EventLimits(now: Timestamp(seconds: 4_102_444_800)))
    input.takesTestTraffic = members["testTraffic"]?.bool() ?? false
    return MappingTestFile.MappingTest(
      name: name, input: input, expected: expected.compactMap { $0.expectation() }, line: node.mark?.line ?? 0)
  }

  private func mappingTestPair(among tests: [MappingTestFile.MappingTest]) -> MappingTestFile.MappingTestPair? {
    guard let members = members(["opens", "closes"]) else { return nil }
    func names(_ key: String) -> [String] {
      (members[key]?.oneOrMany() ?? []).compactMap { field in
        guard let name = field.text() else { return nil }
        if !tests.contains(where: { $0.name == name }) { field.report("there is no test \(name)") }
        return name
      }
    }
    return MappingTestFile.MappingTestPair(
      opens: names("opens"), closes: names("closes"), line: node.mark?.line ?? 0)
  }

  /// The node as JSON. Numbers keep their digits.
  fileprivate func json() -> [UInt8]? {
    var writer = JSONWriter()
    guard write(node, to: &writer) else { return nil }
    return writer.bytes
  }

  private func write(_ node: Node, to writer: inout JSONWriter) -> Bool {
    if let mapping = node.mapping {
      writer.beginObject()
      for (key, value) in mapping {
        writer.key(key.scalar?.string ?? "")
        guard write(value, to: &writer) else { return false }
      }
      writer.endObject()
      return true
    }
    if let sequence = node.sequence {
      writer.beginArray()
      for value in sequence { guard write(value, to: &writer) else { return false } }
      writer.endArray()
      return true
    }
    let field = YAMLField(node: node, name: name, rule: rule, problems: problems)
    if field.isNull {
      writer.null()
      return true
    }
    guard let constant = field.constant() else { return false }
    writer.raw(constant.json)
    return true
  }

  private func expectation() -> MappingExpectation? {
    guard let members = members(MappingExpectation.keys) else { return nil }
    let outcomes = MappingExpectation.outcomes.filter { members[$0] != nil }
    guard outcomes.count == 1, let outcome = outcomes.first, let wanted = members[outcome]?.text() else {
      report("an expectation is one of \(MappingExpectation.outcomes.joined(separator: ", "))")
      return nil
    }
    var expectation = MappingExpectation(outcome: outcome, wanted: wanted)
    for (key, field) in members where key != outcome {
      switch key {
      case "stage" where field.node.mapping?["at-least"] != nil:
        expectation.fields["stage"] = "at least \(field.node.mapping?["at-least"]?.scalar?.string ?? "")"
      case "metadata":
        for (name, value) in field.members() ?? [] {
          expectation.metadata[name.text] = value.json().map { String(decoding: $0, as: UTF8.self) }
        }
      case "link", "merge":
        expectation.fields[key] = field.oneOrMany()?.compactMap { $0.text() }.joined(separator: ", ")
      case "create":
        for (name, value) in field.members() ?? [] { expectation.fields["create.\(name.text)"] = value.text() }
      default: expectation.fields[key] = field.isNull ? "" : field.text()
      }
    }
    return expectation
  }
}
