import ArgumentParser
import Journey
import JourneyPostgres

/// `journey actions show`
struct ActionsShow: Command {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show an action: why it was decided, what has happened to it, and whether it may run.",
    discussion: "With --json: one object, as GET /api/journey/actions/{id} answers.",
    examples: ["journey actions show ACTION"])

  @OptionGroup var action: ActionArgument
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let id = try action.id()
    let found = try await common.settings().withDatabase { try await ActionRepository(worker: $0).document(of: id) }
    guard let found else { throw ActionArgument.unknown(id) }
    guard !output.json else { return printJSON(RawJSON(found)) }
    let root = try JSONDocument(parsing: found).root
    func text(_ value: JSONValue?) -> String { (value?.string ?? "").plain(400) }
    Output.line("\(text(root["action"]))  \(text(root["channel"]))  \(text(root["priority"]))  \(id.text)")
    Output.line("", text(root["reason"]))
    Output.line("client \(text(root["clientId"]))  \(text(root["clientName"]))")
    Output.line("organisation \(text(root["orgId"]))")
    if let expiry = root["expiresAt"]?.string.flatMap({ Timestamp(iso8601: $0) }) {
      Output.line("expires \(expiry.local(at: SystemClock().now()))")
    }
    let because = root["because"]?.string
    let state = root["state"]?.string, isListed = because == "delivered" && root["channel"]?.string == "human"
    let answer = isListed ? "on the list of a person" : because == nil ? "may run" : "must not run"
    // Its state is the reason, unless another one is given.
    let reason = because == state ? "" : because.map { ": \($0.plain())" } ?? ""
    Output.line("state \(text(root["state"])), \(answer)\(reason)")
    Output.line("\nhistory")
    Output.table(["when", "what", "by", "detail"], ActionLife.rows(root["history"]), indent: "  ")
    guard let explanation = root["explanation"], explanation.kind == .object else { return }
    Output.line("\nscore \(root["score"]?.double.map { "\($0)" } ?? "-"), risk level \(text(root["riskLevel"]))")
    for risk in explanation["risks"].map({ Array($0.elements) }) ?? [] {
      Output.line("  risk \(text(risk["risk"])): ", text(risk["evidence"]))
    }
    Output.line("  rules \(text(explanation["ruleVersion"]))")
  }
}

extension ActionLife {
  /// The rows of a table: when, what, by whom, detail.
  static func rows(_ history: JSONValue?) -> [[String]] {
    (history.map { Array($0.elements) } ?? []).map { entry in
      let state = entry["state"]?.string, outcome = entry["outcome"]?.string
      let what = [state, outcome.flatMap { $0 == state ? nil : $0 }].compactMap(\.self).joined(separator: ": ")
      let at = entry["at"]?.string.flatMap { Timestamp(iso8601: $0) }?.toTheSecond
      return [at ?? "", what, entry["by"]?.string ?? "", entry["detail"]?.string ?? ""]
    }
  }
}
