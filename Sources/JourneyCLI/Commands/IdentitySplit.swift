import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres

/// `journey identity split CLIENT`
struct IdentitySplit: Command {
  static let configuration = CommandConfiguration(
    commandName: "split", abstract: "Undo a merge: a client that became part of another is separate again.",
    discussion: """
      Everything that belonged to the client goes back to it, and so does what arrived under its ids since: events, scores, ids, links and \
      invoices. Clients that had become part of it before stay part of it. Both states are rebuilt; nothing is published. Events do not merge \
      the two again (without --allow-merge), journey identity merge does. Exit status: 0 if the client is separate now, 65 if there is no merge \
      to undo, or if its history was not recorded.
      """,
    examples: [
      "journey identity split CLIENT --org ORG --reason \"two persons\" --dry-run",
      "journey identity split CLIENT --org ORG --reason \"two persons\"",
    ])

  @Argument(help: "The id of the client that was merged into another.")
  var client: String
  @OptionGroup var reason: ReasonOption
  @Flag(help: "Let later events merge the two again.")
  var allowMerge = false
  @Flag(
    help: "Split a merge of which it was not recorded what moved: ids and later events alone go back.")
  var withoutHistory = false
  @Flag(help: "Show what would go back to the client; change nothing.")
  var dryRun = false
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let id = try Input.id(client, "CLIENT", of: "a client")
    let (why, isRehearsal) = (try reason.text(), dryRun)
    let (keepsApart, allowsPart) = (!allowMerge, withoutHistory)
    let outcome = try await options.perform { repository, org in
      try await repository.split(
        orgID: org, client: id, keepsApart: keepsApart, allowsPart: allowsPart, why: why, isRehearsal: isRehearsal)
    }
    switch outcome {
    case .split(let result):
      let isRebuilt = dryRun ? false : try await rebuild([result.clientID, result.remainingID])
      show(result, isRebuilt: isRebuilt)
    case .separate(let parts) where parts.isEmpty:
      if output.json {
        printJSON(["dryRun": dryRun, "split": false, "clientId": id] as JSONObject)
      } else {
        Output.line("\(id.text) is part of no other client; nothing was changed")
      }
    case .separate(let parts):
      throw Failure(
        .refusedInput,
        "\(id.text) is part of no other client. These became part of it; name the one to split: \(parts.map(\.text).joined(separator: ", "))"
      )
    case .unrecorded(let into, let since):
      throw Failure(
        .refusedInput,
        "\(id.text) became part of \(into.text) by \(since.toTheSecond), before it was recorded what moves with a merge: nothing says which of the events from before are whose, and they would stay with \(into.text). To give back the ids that the identity log names, and what arrived under them since: --without-history"
      )
    case .unknownClient:
      throw Failure(.refusedInput, "the organisation \(options.org) has no client \(id.text)")
    }
  }

  /// - Returns: false if a state is locked by another session.
  private func rebuild(_ clients: [UUID]) async throws -> Bool {
    try await withEventStore(try await options.common.settings()) { store in
      var isComplete = true
      for client in clients {
        var recompute = Recompute()
        recompute.clientID = client
        do {
          isComplete = try await recompute.run(on: store).isComplete && isComplete
        } catch {
          isComplete = false
        }
      }
      return isComplete
    }
  }

  private func show(_ result: SplitResult, isRebuilt: Bool) {
    if output.json {
      let answer: JSONObject = [
        "dryRun": dryRun, "split": !dryRun, "clientId": result.clientID, "remainingId": result.remainingID,
        "mergedInto": result.mergedInto, "mergedAt": result.mergedAt, "events": result.events,
        "scores": result.scores, "ids": result.identities, "invoices": result.invoices, "keptApart": !allowMerge,
        "rebuilt": isRebuilt,
      ]
      return printJSON(answer)
    }
    let (id, remaining) = (result.clientID.text, result.remainingID.text)
    let what = [
      result.events.of("event"), result.scores.of("score"), result.identities.of("id"), result.invoices.of("invoice"),
    ].joined(separator: ", ")
    Output.line("\(id) became part of \(result.mergedInto.text) at \(result.mergedAt.toTheSecond)")
    guard !dryRun else {
      Output.line("\(what) would go back to it from \(remaining)")
      return Output.line("nothing was changed")
    }
    Output.line("it is separate from \(remaining) now: \(what) went back to it")
    if allowMerge {
      Output.line("a later event may merge the two again")
    } else {
      Output.line("no event merges the two again; journey identity merge does")
    }
    Output.line(
      isRebuilt
        ? "the states of both are rebuilt"
        : "another session has locked their states: they are rebuilt with the next events, or by journey recompute --client"
    )
  }
}

/// Runs `body` with an event store. Actions that follow are published by an instance of `journey serve`.
func withEventStore<Value>(
  _ settings: JourneyConfiguration.Settings, _ body: (PostgresEventStore) async throws -> Value
) async throws -> Value {
  let decider = settings.decider(try await settings.decisions())
  let store = try await failing(.failed) {
    try await PostgresEventStore.open(
      settings.database(role: settings.workingRole), workers: 1, decider: decider, groupEvents: settings.groupEvents,
      clock: SystemClock())
  }
  let result: Result<Value, any Error>
  do { result = .success(try await body(store)) } catch { result = .failure(error) }
  await store.close()
  return try result.get()
}
