import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey decisions …`
struct Decisions: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decisions", abstract: "Check the decision rules, and make recorded decisions again.",
    subcommands: [DecisionsVerify.self])
}

/// `journey decisions verify`
struct DecisionsVerify: Command {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Make recorded decisions again from what they depended on, and report those that come out otherwise.",
    discussion: """
      Decisions are recorded with their inputs where the rules say `recordInputs: true`. One that was made by rules of another version is counted \
      and left out: give these rules with --rules. It reads only, and can be interrupted: it then prints how to continue. \
      Exit status: 0 all come out as they were recorded; 1 some do not, or it was interrupted; 65 input refused; 69 the database is not available.
      """,
    examples: [
      "journey decisions verify --since 1d",
      "journey decisions verify --org ORG --rules old/decisions.yaml --json",
    ])

  @Option(
    help: ArgumentHelp(
      "Only decisions since: 2026-11-20T10:00:00Z, or how long ago: 90m, 2h, 30d.", valueName: "time"))
  var since: String?
  @Option(help: "Only the decisions of this organisation.")
  var org: String?
  @Option(
    help: ArgumentHelp("The rules to make them by. Default: those of the settings.", valueName: "file"),
    completion: .file(extensions: ["yaml"]))
  var rules: String?
  @Option(help: ArgumentHelp("Continue after this decision.", valueName: "id"))
  var after: String?
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    var verification = DecisionVerification(rules: try await chosenRules(settings))
    verification.since = try since.map { try DeadLetterFilterOptions.time($0, "--since") }
    verification.orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    verification.after = try after.map { try Input.id($0, "--after", of: "a decision") }
    let progress = try await settings.withDatabase { [verification] worker in
      try await verification.run(on: worker) { Output.progress("\($0.verified.of("decision")) made again") }
    }
    if output.json { printJSON(progress.json) } else { show(progress, verification.rules.version) }
    guard progress.isComplete else {
      throw Failure(.failed, "interrupted; continue with --after \(progress.after?.text ?? "")")
    }
    guard progress.differing == 0, progress.unreadable == 0 else {
      throw Failure(.failed, "\((progress.differing + progress.unreadable).of("decision")) could not be made again")
    }
  }

  private func chosenRules(_ settings: JourneyConfiguration.Settings) async throws -> DecisionRules {
    guard let rules else { return try await settings.decisions() }
    do { return try DecisionLoader.load(file: rules) } catch { throw Failure(.refusedInput, "\(error)") }
  }

  private func show(_ progress: DecisionVerification.Progress, _ version: String) {
    Output.line("\(progress.same.of("decision")) of the rules \(version.plain(80)) came out as recorded")
    for (version, count) in progress.otherRules.sorted(by: { $0.key < $1.key }) {
      Output.line("\(count.of("decision")) of the rules \(version.plain(80)) left out: give them with --rules")
    }
    if progress.differing > 0 { Output.line("\(progress.differing.of("decision")) came out otherwise") }
    if progress.unreadable > 0 { Output.line("\(progress.unreadable.of("decision")) cannot be read") }
    guard !progress.differences.isEmpty else { return }
    Output.table(
      ["decision", "client", "what differs"],
      progress.differences.map {
        [
          $0.decision.text, $0.clientID.text,
          $0.members.isEmpty ? "cannot be read" : $0.members.joined(separator: ", ").plain(120),
        ]
      })
  }
}

extension DecisionVerification.Progress {
  fileprivate var json: JSONObject {
    [
      "verified": verified, "same": same, "differing": differing, "unreadable": unreadable, "complete": isComplete,
      "otherRules": otherRules.sorted { $0.key < $1.key }.map { version, count in
        ["ruleVersion": version, "decisions": count] as JSONObject
      },
      "differences": differences.map { difference in
        ["decision": difference.decision, "clientId": difference.clientID, "members": difference.members]
          as JSONObject
      },
    ]
  }
}
