import FoundationEssentials
public import Journey

/// Runs the tests beside mappings: `tests/<source>.yaml` in a directory of mappings.
public struct MappingTestRun: Sendable, Encodable {
  public struct Failure: Sendable, Encodable {
    public var file: String
    public var line: Int
    public var test: String
    public var differences: [String]
  }

  /// The number of tests that ran.
  public private(set) var tests = 0
  public private(set) var pairs = 0
  public private(set) var failures: [Failure] = []
  /// The rules that make an event in no test, by source.
  public private(set) var untested: [String: [String]] = [:]
  /// Files of tests of which there is no mapping.
  public private(set) var filesWithoutMapping: [String] = []
  /// The sources without tests.
  public private(set) var withoutTests: [String] = []

  /// - Parameters:
  ///   - sources: the sources to test; empty: all.
  ///   - signals: what the events mean, for the pairs.
  /// - Throws: `MappingLoadError` with the problems of files of tests.
  public init(
    _ catalog: MappingCatalog, directories: [String], sources: [String] = [], signals: SignalRules
  ) throws(MappingLoadError) {
    let reader = SignalReader(signals)
    for directory in sources.isEmpty ? directories : [] {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/tests")) ?? []
      filesWithoutMapping += names.sorted().filter { $0.hasSuffix(".yaml") && catalog[String($0.dropLast(5))] == nil }
        .map { "\(directory)/tests/\($0)" }
    }
    for source in catalog.sources where sources.isEmpty || sources.contains(source) {
      guard let mapping = catalog[source] else { continue }
      let files = directories.map { "\($0)/tests/\(source).yaml" }.filter {
        FileManager.default.fileExists(atPath: $0)
      }
      if files.isEmpty { withoutTests.append(source) }
      var used: Set<String> = []
      for file in files { try run(file, mapping, reader, &used) }
      let untested = mapping.rules.filter { rule in
        guard case .event = rule.outcome else { return false }
        return !used.contains(rule.name)
      }
      if !files.isEmpty, !untested.isEmpty { self.untested[source] = untested.map(\.name) }
    }
  }

  private mutating func run(
    _ file: String, _ mapping: Mapping, _ reader: SignalReader, _ used: inout Set<String>
  ) throws(MappingLoadError) {
    let tests = try MappingTestFile.load(file)
    if tests.source != mapping.source {
      failures.append(
        Failure(
          file: file, line: 1, test: "source", differences: ["\(tests.source) is not the source of the file's name"]))
    }
    var results: [String: [(JourneyEvent, Signals)]] = [:]
    for test in tests.tests {
      self.tests += 1
      let result = mapping.map(test.input, signals: reader)
      for element in mapping.trace(test.input).elements {
        if let rule = element.rules.last(where: \.isMatch) { used.insert(rule.name) }
      }
      let events = result.outcomes.compactMap { if case .event(let event) = $0 { event } else { nil } }
      results[test.name] = Array(zip(events, result.signals))
      record(Self.differences(result.outcomes, test.expected), file, test.line, test.name)
    }
    for pair in tests.pairs {
      for open in pair.opens {
        for close in pair.closes {
          pairs += 1
          let name = "\(open), then \(close)"
          let opened = results[open] ?? [], closed = results[close] ?? []
          var differences = Self.risks(of: opened + closed).map { "leaves \($0)" }
          if Self.risks(of: opened).isEmpty { differences.append("opens neither a late invoice nor churn_risk") }
          differences += Self.risks(of: closed + opened).map { "leaves \($0) if they arrive in the other order" }
          record(differences, file, pair.line, name)
        }
      }
    }
  }

  private mutating func record(_ differences: [String], _ file: String, _ line: Int, _ test: String) {
    if differences.isEmpty { return }
    failures.append(Failure(file: file, line: line, test: test, differences: differences))
  }

  private static func differences(_ outcomes: [MappingOutcome], _ expected: [MappingExpectation]) -> [String] {
    guard outcomes.count == expected.count else {
      return ["expected \(expected.count) elements, found \(outcomes.count)"]
    }
    return zip(expected, outcomes).enumerated().flatMap { position, pair in
      pair.0.differences(from: pair.1).map { expected.count > 1 ? "element \(position): \($0)" : $0 }
    }
  }

  /// What remains of the events of one client: a late invoice, or the stage `churn_risk`.
  private static func risks(of events: [(JourneyEvent, Signals)]) -> [String] {
    var summary = ClientSummary()
    var invoices: [String: InvoiceState] = [:]
    for (event, signals) in events {
      summary.insert(event.stamp, stage: event.stage, minStage: event.minStage, signals: signals)
      switch signals.invoice {
      case .overdue(let id): invoices[id, default: InvoiceState()].merge(InvoiceState(overdueAt: event.occurredAt))
      case .settled(let id): invoices[id, default: InvoiceState()].merge(InvoiceState(settledAt: event.occurredAt))
      case nil: break
      }
    }
    var risks = invoices.filter(\.value.isLate).keys.sorted().map { "the invoice \($0) late" }
    if summary.stage?.stage == .churnRisk { risks.append("the stage churn_risk") }
    return risks
  }
}
