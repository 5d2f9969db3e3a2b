import Foundation
import Testing

@testable import Telemetry
@testable import TestSupport

/// The set of metrics itself: its names, its documentation, and whether Prometheus's own tool likes it.
@Suite struct MetricTests {
  @Test(arguments: Metric.allCases) func aNameSaysUnitAndKind(metric: Metric) {
    let definition = metric.definition
    #expect(metric.name.wholeMatch(of: /(journey|process)_[a-z_]+/) != nil)
    // Prometheus's convention; the names of the process are its own.
    #expect(metric.name.hasSuffix("_total") == (definition.kind == .counter))
    let name = metric.name.replacing("_total", with: "")
    let isUnitNamed =
      definition.unit != "seconds" && definition.unit != "bytes" || name.hasSuffix("_\(definition.unit)")
    #expect(isUnitNamed, "\(metric.name): \(definition.unit)")
    #expect(definition.help.hasSuffix(".") && !definition.help.contains("\n"))
    #expect((definition.kind == .histogram) == !definition.bounds.isEmpty)
    #expect(definition.bounds == definition.bounds.sorted() && Set(definition.bounds).count == definition.bounds.count)
  }

  @Test func noLabelNamesAClientOrAnOrganisation() {
    let labels = Set(Metric.allCases.flatMap(\.definition.labels).map(\.name))
    #expect(
      labels == [
        "reason", "tier", "message", "outcome", "action", "queue", "pool", "part", "connection", "certificate",
        "version",
        "commit",
      ])
  }

  @Test func theDocumentationListsEveryMetricAsItIs() throws {
    let rows = try Self.documented()
    let expected = Metric.allCases.map { metric in
      let definition = metric.definition
      let labels = definition.labels.map { "`\($0.name)`" }.joined(separator: ", ")
      return ["`\(metric.name)`", definition.kind.rawValue, definition.unit, labels]
    }
    #expect(rows.map(\.[0]).sorted() == expected.map(\.[0]).sorted())
    for row in expected { #expect(rows.contains(row), "docs/metrics.md lacks the row \(row)") }
  }

  /// The first four cells of each row of a table whose first cell is a name.
  private static func documented() throws -> [[String]] {
    let page = try String(contentsOfFile: "\(Repository.root)/docs/metrics.md", encoding: .utf8)
    return page.split(separator: "\n").filter { $0.hasPrefix("| `") }.map { line in
      line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().prefix(4).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
    }
  }

  @Test func promtoolAcceptsTheText() async throws {
    var scrape = Scrape()
    ScrapeTests.fill(&scrape)
    #expect(try Self.check(scrape.text) == "")
    // It would say so.
    #expect(try Self.check(Array("# TYPE a counter\na 1\n".utf8)) != "")
  }

  /// Of the package `prometheus`.
  fileprivate static let promtool = ProcessInfo.processInfo.environment["PROMTOOL"] ?? "/usr/bin/promtool"

  /// - Returns: what `promtool check metrics` has to say.
  private static func check(_ text: [UInt8]) throws -> String {
    let process = Process(), input = Pipe(), output = Pipe()
    process.executableURL = URL(fileURLWithPath: promtool)
    process.arguments = ["check", "metrics"]
    process.standardInput = input
    process.standardOutput = output
    process.standardError = output
    try process.run()
    try input.fileHandleForWriting.write(contentsOf: text)
    try input.fileHandleForWriting.close()
    let said = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return String(decoding: said, as: UTF8.self)
  }
}
