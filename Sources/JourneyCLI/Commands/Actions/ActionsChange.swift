import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres

/// `journey actions outcome`
struct ActionsOutcome: Command {
  private static let outcomes = ActionOutcome.allCases.map(\.rawValue)

  static let configuration = CommandConfiguration(
    commandName: "outcome", abstract: "Report what has become of an action.",
    discussion: """
      The report takes the way of the workers' reports: journey serve records it a moment later. Reported twice, it counts once. \
      Exit status: 0 published, or known already; 1 no such action, or not published; 65 input refused, or the action cannot take it; \
      69 a server is not available.
      """,
    examples: [
      "journey actions outcome ACTION accepted",
      "journey actions outcome ACTION snoozed --until 3d",
      "journey actions outcome ACTION rejected --detail \"not now\" --dry-run",
    ])

  @OptionGroup var action: ActionArgument

  @Argument(help: "One of \(Self.outcomes.joined(separator: ", ")).", completion: .list(Self.outcomes))
  var outcome: String

  @Option(
    help: ArgumentHelp(
      "When it happened: 2026-11-20T10:00:00Z, or how long ago: 90m, 2h, 3d. Default: now.", valueName: "time"))
  var at: String?

  @Option(
    help: ArgumentHelp(
      "Until when it is snoozed: 2026-11-20T10:00:00Z, 2026-11-20, or in how long: 90m, 2h, 3d.", valueName: "time"))
  var until: String?

  @Option(help: "What else is to be known of it.")
  var detail: String?

  @Flag(help: "Check the report; publish nothing.")
  var dryRun = false

  @OptionGroup var timeout: WaitOptions
  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let id = try action.id()
    guard let outcome = ActionOutcome(rawValue: outcome) else {
      let name = self.outcome
      throw Failure(
        .refusedInput, "\(name.plain(60)): there is no such outcome\(suggestion(for: name, among: Self.outcomes))",
        advice: "there are: \(Self.outcomes.joined(separator: ", "))")
    }
    let settings = try await common.settings(), now = SystemClock().now()
    let found = try await settings.withDatabase { try await ActionRepository(worker: $0).standing(of: id) }
    guard var standing = found else { throw ActionArgument.unknown(id) }
    let report = OutcomeReport(
      actionID: id, outcome: outcome, occurredAt: try at.map { try DeadLetterFilterOptions.time($0, "--at") } ?? now,
      detail: detail?.shortened(to: OutcomeReport.maxDetail),
      until: try until.map { try Input.time(ahead: $0, "--until", at: now) },
      reporter: "person:\(actor.name)", orgID: standing.orgID)
    do throws(Rejection) { try report.checkTimes(at: now) } catch {
      let option = error.field == "data.until" ? "--until" : "--at"
      throw Failure(.refusedInput, "\(option)\(error.value.map { " " + $0 } ?? ""): \(error.message)")
    }
    var status = dryRun ? "checked" : "published"
    switch standing.life.apply(report) {
    case .refused(let reason): throw Failure(.refusedInput, "the action cannot take this outcome: \(reason)")
    case .repeated: status = "known"
    case .changed: if !dryRun { try await publish(report, settings) }
    }
    guard !output.json else {
      let answer: JSONObject = [
        "actionId": id, "outcome": outcome.rawValue, "occurredAt": report.occurredAt, "status": status,
        "dryRun": dryRun,
      ]
      return printJSON(answer)
    }
    switch status {
    case "known": Output.line("it was reported before; nothing was published")
    case "checked": Output.line("it can be reported; nothing was published")
    default: Output.line("published; see journey actions show \(id.text)")
    }
  }

  private func publish(_ report: OutcomeReport, _ settings: JourneyConfiguration.Settings) async throws {
    let exchange = settings.messagingNames.outcomes
    let message = OutcomeEvent.message(report, to: exchange, userID: settings.brokerUser)
    let (_, failures) = try await timeout.publish([message], to: exchange, settings, afterwards: "Report it again")
    if let failure = failures.first { throw Failure(.failed, "the report is not confirmed: \(failure)") }
  }
}

/// `journey actions revoke`
struct ActionsRevoke: Command {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Take an action back that was not run.",
    discussion: """
      An instance of journey serve informs the worker, once it is certain that the action was published. What was run, or has ended, is not \
      revoked. Exit status: 0 revoked, or revoked before; 1 no such action; 65 input refused, or it was run or has ended; 69 the database is not \
      available.
      """,
    examples: [
      "journey actions revoke ACTION --reason \"paid by cheque\"",
      "journey actions revoke ACTION --reason test --dry-run",
    ])

  @OptionGroup var action: ActionArgument
  @OptionGroup var reason: ReasonOption

  @Flag(help: "Check whether it can be revoked; change nothing.")
  var dryRun = false

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let id = try action.id(), reason = try reason.text()
    let result = try await common.settings().withDatabase { [dryRun, actor] in
      try await ActionRepository(worker: $0).revoke(
        id, because: reason.shortened(to: OutcomeReport.maxDetail), by: "person:\(actor.name)", dryRun: dryRun)
    }
    let text: String, status: String
    switch result {
    case .unknown: throw ActionArgument.unknown(id)
    case .refused(_, let why): throw Failure(.refusedInput, "the action cannot be revoked: \(why)")
    case .repeated: (text, status) = ("it was revoked before", "known")
    case .revoked:
      (text, status) = dryRun ? ("it can be revoked; nothing was changed", "checked") : ("revoked", "revoked")
    }
    guard !output.json else { return printJSON(["actionId": id, "status": status, "dryRun": dryRun] as JSONObject) }
    Output.line(text)
  }
}
