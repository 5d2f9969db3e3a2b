import Foundation
import PostgresClient
import TestServers

/// The plans by which the server runs what a program sends: its own auto_explain writes them, in the sessions that ask
/// for it, into its log.
///
/// So it is the very statements that are looked at, as they were prepared, with their parameters and in their
/// transactions, and not copies of their text. No other test asks for plans, so every plan in the log is of whoever
/// uses this; its users have to run one after the other.
struct PlanLog {
  /// How the server makes plans of prepared statements.
  enum Planning: String, CaseIterable, Sendable {
    /// For the values at hand, as the first five times.
    case custom = "force_custom_plan"
    /// For any values, as from the sixth time on where that seems no dearer.
    case generic = "force_generic_plan"
  }

  /// Without a plan every check of plans would pass.
  struct Silence: Error, CustomStringConvertible {
    var description: String { "the server wrote no plan: is auto_explain there, and does the session ask for it?" }
  }

  private let path: String

  init(_ servers: TestServers) { path = servers.directory + "/postgres/output.log" }

  /// A connection string whose sessions write their plans.
  /// - Parameter planning: nil where the program says so itself.
  static func url(_ database: String, _ planning: Planning? = nil) -> String {
    var settings = [
      "session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0",
      "auto_explain.log_format": "json",
      "auto_explain.log_analyze": "on", "auto_explain.log_timing": "off", "auto_explain.log_buffers": "on",
      "auto_explain.log_nested_statements": "on",
    ]
    settings["plan_cache_mode"] = planning?.rawValue
    let options = settings.map { "-c%20\($0)%3D\($1)" }.joined(separator: "%20")
    return database + (database.contains("?") ? "&" : "?") + "options=" + options
  }

  /// What `body` had the server run, in order. The server writes a statement's plan before it answers.
  func plans(_ body: () async throws -> Void) async throws -> [ExecutedPlan] {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    defer { try? file.close() }
    try file.seekToEnd()
    try await body()
    let text = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
    let plans = try Self.plans(in: text)
    guard !plans.isEmpty else { throw Silence() }
    return plans
  }

  /// An entry goes on over the lines that begin with a tab.
  private static func plans(in log: String) throws -> [ExecutedPlan] {
    var plans: [ExecutedPlan] = []
    var json: [Substring]?
    func finish() throws {
      guard let lines = json else { return }
      plans.append(try JSONDecoder().decode(ExecutedPlan.self, from: Data(lines.joined(separator: "\n").utf8)))
      json = nil
    }
    for line in log.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("\t") {
        json?.append(line.dropFirst())
        continue
      }
      let isFirstAfterPlan = json != nil
      try finish()
      if line.contains("LOG:  duration: "), line.hasSuffix("plan:") {
        json = []
      } else if isFirstAfterPlan, line.contains("CONTEXT:  ") {
        plans[plans.count - 1].isNested = true
      }
    }
    try finish()
    return plans
  }
}
