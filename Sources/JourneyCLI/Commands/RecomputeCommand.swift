import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres

/// `journey recompute`
struct RecomputeCommand: Command {
  static let configuration = CommandConfiguration(
    commandName: "recompute",
    abstract: "Recompute the states of clients from their stored events, by the current rules.",
    discussion: """
      Use it after changed rules, and before you turn on evaluateOverTime for clients without recent events. It can run beside journey serve, and \
      can be interrupted: it then prints how to continue. It publishes no actions without --publish. \
      Exit status: 0 done; 1 interrupted or incomplete; 65 no such client; 69 the database is not available.
      """,
    examples: [
      "journey recompute --dry-run",
      "journey recompute --org ORG",
      "journey recompute --client CLIENT --publish",
    ])

  @Option(help: "Only this client.")
  var client: String?
  @Option(help: "Only the clients of this organisation.")
  var org: String?
  @Option(help: ArgumentHelp("Continue after this client, in the order of the ids.", valueName: "id"))
  var after: String?
  @Flag(help: "Count what would change; write nothing.")
  var dryRun = false
  @Flag(help: "Publish the actions that follow from changed outcomes; an instance of journey serve publishes them.")
  var publish = false
  @Option(help: "How many clients per transaction at most.")
  var batch = 200
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    guard client == nil || after == nil else {
      throw Failure(.refusedInput, "--after and --client exclude each other")
    }
    var recompute = Recompute()
    recompute.clientID = try client.map { try Input.id($0, "--client", of: "a client") }
    recompute.orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    recompute.after = try after.map { try Input.id($0, "--after", of: "a client") }
    recompute.isRehearsal = dryRun
    recompute.publishes = publish
    recompute.limit = max(1, min(batch, 2000))
    try await run(recompute, try await common.settings())
  }

  private func run(_ recompute: Recompute, _ settings: JourneyConfiguration.Settings) async throws {
    do {
      try end(
        try await settings.withStore(try await settings.decisions()) { store in
          try await recompute.run(on: store) { Output.progress(text($0)) }
        })
    } catch let stopped as Recompute.Stopped {
      show(stopped.progress)
      let status: Failure.Status = stopped.error.kind == .transient ? .unavailable : .failed
      throw Failure(status, "the database refuses the work: \(stopped.error). \(howToContinue(stopped.progress))")
    }
  }

  private func end(_ progress: Recompute.Progress) throws {
    if client != nil, progress.looked == 0 {
      throw Failure(.refusedInput, "no client \(client ?? "") with events; a merged client is part of another")
    }
    show(progress)
    for (id, reason) in progress.failed { Output.error("journey: \(id.text) cannot be recomputed: \(reason)") }
    guard progress.isComplete else {
      let why = progress.held > 0 ? "\(progress.held.of("client")) locked by another session" : "interrupted"
      throw Failure(.failed, "\(why). \(howToContinue(progress))")
    }
    guard progress.failed.isEmpty else {
      throw Failure(.failed, "\(progress.failed.count.of("client")) not recomputed")
    }
  }

  private func howToContinue(_ progress: Recompute.Progress) -> String {
    var words = ["Continue with: journey recompute"]
    if let client { words.append("--client \(client)") }
    if let org { words.append("--org \(org)") }
    if let after = progress.after { words.append("--after \(after.text)") }
    if dryRun { words.append("--dry-run") }
    if publish { words.append("--publish") }
    return words.joined(separator: " ")
  }

  private func text(_ progress: Recompute.Progress) -> String {
    let would = dryRun ? "would be " : ""
    var text =
      "\(progress.looked.of("client")): \(progress.changed) \(would)changed, \(progress.refreshed) \(would)brought up to date"
    if publish { text += ", \(progress.actions.of("action"))" + (dryRun ? "" : " to be published") }
    if progress.held > 0 { text += ", \(progress.held) locked by another session" }
    return text
  }

  private func show(_ progress: Recompute.Progress) {
    guard output.json else { return Output.line(text(progress)) }
    let answer: JSONObject = [
      "dryRun": dryRun, "complete": progress.isComplete, "looked": progress.looked, "changed": progress.changed,
      "refreshed": progress.refreshed, "actions": progress.actions, "held": progress.held,
      "failed": progress.failed.map(\.id), "after": progress.after,
    ]
    printJSON(answer)
  }
}
