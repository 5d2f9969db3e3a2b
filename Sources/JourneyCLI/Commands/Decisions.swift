import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey decisions …`
struct Decisions: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decisions", abstract: "Check the decision rules, and make recorded decisions again.",
    subcommands: [DecisionsCheck.self, DecisionsVerify.self])
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
    var verification = DecisionVerification(rules: try await settings.decisions(at: rules))
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

/// `journey decisions check`
struct DecisionsCheck: Command {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract:
      "Check a file of decision rules: mistakes, actions that can never be chosen, and rules that forbid nothing.",
    discussion: "Exit status: 0 nothing found; 65 something found; 78 the settings are wrong.",
    examples: ["journey decisions check", "journey decisions check new/decisions.yaml --json"])

  @Argument(help: "The file. Default: the one of the settings.", completion: .file(extensions: ["yaml"]))
  var file: String?
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let rules = try await settings.decisions(at: file)
    let types = Set(EventTypes.all.map(\.type)).union(try await settings.mappings().ownTypes)
    let findings = rules.findings(types: types)
    if output.json {
      let list = findings.map { ["key": $0.key, "problem": $0.problem] as JSONObject }
      printJSON(["version": rules.version, "findings": list] as JSONObject)
    } else if findings.isEmpty {
      Output.line("the rules \(rules.version.plain(80)) are in order")
    } else {
      for finding in findings { Output.line("\(finding.key): \(finding.problem)".plain(400)) }
    }
    if !findings.isEmpty { throw Failure(.refusedInput, "\(findings.count.of("finding"))") }
  }
}

extension JourneyConfiguration.Settings {
  /// The rules of a file; nil: those of the settings.
  fileprivate func decisions(at file: String?) async throws -> DecisionRules {
    guard let file else { return try await decisions() }
    do { return try DecisionLoader.load(file: file) } catch { throw Failure(.refusedInput, "\(error)") }
  }
}
