import Foundation
import PostgresClient
import TestServers

/// The executed plans of a program's statements. The server's auto_explain writes them into its log, for sessions that
/// ask for it.
///
/// So the tests check the real statements, as they were prepared, with their parameters and in their transactions. No
/// other test asks for plans, so every plan in the log belongs to the user of this log. Users must run one after the
/// other.
struct PlanLog {
  /// How the server plans prepared statements.
  enum Planning: String, CaseIterable, Sendable {
    /// For the given values, as in the first five executions.
    case custom = "force_custom_plan"
    /// For any values, as from the sixth execution on if the plan does not seem more expensive.
    case generic = "force_generic_plan"
  }

  /// An empty log must fail, because every check would pass without plans.
  struct Silence: Error, CustomStringConvertible {
    var description: String { "the server wrote no plan: is auto_explain there, and does the session ask for it?" }
  }

  private let path: String

  init(_ servers: TestServers) { path = servers.directory + "/postgres/output.log" }

  /// A connection string whose sessions log their plans.
  /// - Parameter planning: nil if the program sets it.
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

  /// The plans of the statements that `body` ran, in order. The server writes a plan before it answers.
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

  /// An entry continues on lines that begin with a tab.
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
