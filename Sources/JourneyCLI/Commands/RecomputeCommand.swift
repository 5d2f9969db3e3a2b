import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres
import UnixSignals

/// `journey recompute`
struct RecomputeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recompute",
    abstract: "Make the states of clients anew, from their stored events and under the present rules.",
    discussion: """
      For changed rules, and before evaluateOverTime is switched on for clients that have been silent for long. It works beside journey serve, and can be \
      interrupted: it says then how to go on. Nothing is published unless --publish says so; what would follow is withheld. \
      Exit status: 0 done; 1 interrupted, or not all of it done; 65 where there is no such client; 69 where the database is away.
      """)

  @Option(name: .long, help: "Only this client.")
  var client: String?
  @Option(name: .long, help: "Only the clients of this organisation.")
  var org: String?
  @Option(name: .long, help: ArgumentHelp("Go on after this client, in the order of the ids.", valueName: "id"))
  var after: String?
  @Flag(name: .long, help: "Count what would change, write nothing.")
  var dryRun = false
  @Flag(
    name: .long,
    help: "Have the actions published that follow where the outcome changes; any instance of journey serve does so.")
  var publish = false
  @Option(name: .long, help: "The most clients in one transaction.")
  var batch = 200
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      guard client == nil || after == nil else { throw Failure(.refusedInput, "--after is of no use with --client") }
      var recompute = Recompute()
      recompute.clientID = try client.map { try IdentityOptions.id($0, "--client", "a client") }
      recompute.orgID = try org.map { try IdentityOptions.id($0, "--org", "an organisation") }
      recompute.after = try after.map { try IdentityOptions.id($0, "--after", "a client") }
      recompute.isRehearsal = dryRun
      recompute.publishes = publish
      recompute.limit = max(1, min(batch, 2000))
      try await run(recompute, try await common.settings())
    }
  }

  private func run(_ recompute: Recompute, _ settings: JourneyConfiguration.Settings) async throws {
    let decider = Decider(rules: try await settings.decisions(), message: ActionEvent.message)
    let store = try await failing(.failed) {
      try await PostgresEventStore.open(
        settings.database(role: settings.workingRole), workers: 1, decider: decider, clock: SystemClock())
    }
    let work = Task { try await recompute.run(on: store) { Output.progress(text($0)) } }
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    let interruption = Task {
      for await _ in signals { work.cancel() }
    }
    let result = await work.result
    interruption.cancel()
    Output.endProgress()
    await store.close()
    switch result {
    case .success(let progress): try end(progress)
    case .failure(let error):
      guard let stopped = error as? Recompute.Stopped else { throw error }
      show(stopped.progress)
      let status: Failure.Status = stopped.error.kind == .transient ? .unavailable : .failed
      throw Failure(status, "the database refuses the work: \(stopped.error). \(goOn(stopped.progress))")
    }
  }

  private func end(_ progress: Recompute.Progress) throws {
    if client != nil, progress.looked == 0 {
      throw Failure(.refusedInput, "no client \(client ?? "") has any events; one that was merged is part of another")
    }
    show(progress)
    for (id, reason) in progress.failed { Output.error("journey: \(id.text) cannot be made anew: \(reason)") }
    guard progress.isComplete else {
      let why = progress.held > 0 ? "\(progress.held.of("client")) held by somebody else" : "interrupted"
      throw Failure(.failed, "\(why). \(goOn(progress))")
    }
    guard progress.failed.isEmpty else {
      throw Failure(.failed, "\(progress.failed.count.of("client")) left as they were")
    }
  }

  private func goOn(_ progress: Recompute.Progress) -> String {
    var words = ["Go on with: journey recompute"]
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
    if progress.held > 0 { text += ", \(progress.held) held by somebody else" }
    return text
  }

  private func show(_ progress: Recompute.Progress) {
    guard output.json else { return Output.line(text(progress)) }
    printJSON { json in
      json.beginObject()
      json.key("dryRun")
      json.bool(dryRun)
      json.key("complete")
      json.bool(progress.isComplete)
      for (name, number) in [
        ("looked", progress.looked), ("changed", progress.changed), ("refreshed", progress.refreshed),
        ("actions", progress.actions),
        ("held", progress.held),
      ] {
        json.key(name)
        json.int(number)
      }
      json.key("failed")
      json.beginArray()
      for (id, _) in progress.failed { json.string(id.text) }
      json.endArray()
      json.member("after", progress.after?.text)
      json.endObject()
    }
  }
}
