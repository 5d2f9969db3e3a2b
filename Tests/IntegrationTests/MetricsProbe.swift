import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Reads `/metrics` of a running `serve`, as Prometheus does.
struct MetricsProbe {
  struct Scrape {
    var text: String
    /// By name and labels, as they are written.
    var values: [String: Double]

    subscript(series: String) -> Double? { values[series] }
    /// The metrics that have a value.
    var names: Set<String> { Set(text.matches(of: /# TYPE (\S+)/).map { String($0.1) }) }
  }

  /// More than a scrape may take, and less than Prometheus waits.
  private static let limit = Duration.seconds(2)
  private let port: UInt16

  init(_ program: ChildProcess) async throws { port = try await HTTPPort.find("probes=", program) }

  /// - Throws: if the answer is not in time, or not in the format.
  func scrape() throws -> Scrape {
    let began = ContinuousClock.now
    let answer = try HTTPPort.ask("/metrics", port)
    #expect(.now - began < Self.limit)
    try #require(answer.status == 200)
    #expect(answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
    var values: [String: Double] = [:]
    for line in answer.body.split(separator: "\n") where !line.hasPrefix("#") {
      let space = try #require(line.lastIndex(of: " "))
      let value = try #require(Double(line[line.index(after: space)...]))
      #expect(values.updateValue(value, forKey: String(line[..<space])) == nil, "twice: \(line)")
    }
    return Scrape(text: answer.body, values: values)
  }
}
