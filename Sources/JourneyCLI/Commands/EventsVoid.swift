import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey events void`
struct EventsVoid: Command {
  static let configuration = CommandConfiguration(
    commandName: "void", abstract: "Void events: they stay in the table and count no more.",
    discussion: """
      It shows what it would void and asks; --yes does not ask, --dry-run only shows. journey events restore undoes it. \
      Exit status: 0 done, or nothing to do; 1 not done, or not all of it; 65 input refused; 69 the database is not available.
      """,
    examples: [
      "journey events void --source stripe --type invoice_paid --since 2h --reason \"test account\" --dry-run",
      "journey events void --event evt_4711 --reason \"sent by mistake\" --yes",
    ])

  @OptionGroup var selection: EventSelectionOptions
  @OptionGroup var reason: ReasonOption
  @OptionGroup var options: EventChangeOptions

  func execute() async throws {
    var selection = try selection.selection()
    guard selection.source != nil || !selection.ids.isEmpty else {
      throw Failure(.refusedInput, "select events by --source, and further by --type, --since, … or by --event")
    }
    selection.isVoided = false
    try await options.change(selection, restores: false, why: reason.text())
  }
}

/// `journey events restore`
struct EventsRestore: Command {
  static let configuration = CommandConfiguration(
    commandName: "restore", abstract: "Restore voided events: they count again.",
    discussion: """
      It shows what it would restore and asks; --yes does not ask, --dry-run only shows. An event that a remap voided is voided again by the next \
      remap under the same rules. Exit status: as for void.
      """,
    examples: [
      "journey events restore --source stripe --reason \"it was right\" --dry-run",
      "journey events restore --change 12 --reason \"it was right\" --yes",
    ])

  @OptionGroup var selection: EventSelectionOptions
  @Option(
    name: .long,
    help: ArgumentHelp("Only what this change voided: voidedBy of journey events list --json.", valueName: "number"))
  var change: Int64?
  @OptionGroup var reason: ReasonOption
  @OptionGroup var options: EventChangeOptions

  func execute() async throws {
    var selection = try selection.selection()
    guard selection.source != nil || !selection.ids.isEmpty || change != nil else {
      throw Failure(.refusedInput, "select events by --source, by --change or by --event")
    }
    selection.changeID = change
    selection.isVoided = true
    try await options.change(selection, restores: true, why: reason.text())
  }
}

extension EventChangeOptions {
  fileprivate func change(_ selection: EventSelection, restores: Bool, why: String) async throws {
    let settings = try await common.settings()
    let verb = restores ? "restore" : "void"
    let groups = try await settings.withDatabase {
      let reader = EventReader(worker: $0)
      try await settings.requireSource(selection, reader)
      return try await reader.groups(selection)
    }
    let count = groups.reduce(0) { $0 + $1.events }
    if !output.json { show(groups, verb, count) }
    guard !dryRun, count > 0 else {
      if output.json { printJSON(answer(groups, nil, restores)) }
      return
    }
    guard try confirm("\(verb) \(count.of("event"))?") else { throw Failure(.failed, "nothing was changed") }
    var voiding = EventVoiding(selection, restores: restores, author: author(why: why))
    voiding.publishes = publish
    let participle = restores ? "restored" : "voided"
    let progress = try await settings.withStore(try await settings.decisions()) { [voiding] store in
      try await voiding.run(on: store) { Output.progress("\($0.events) of \(count) \(participle)") }
    }
    if output.json {
      printJSON(answer(groups, progress, restores))
    } else {
      Output.line(
        "\(progress.events.of("event")) \(participle), \(progress.clients.of("outcome")) of clients changed"
          + (publish ? ", \(progress.actions.of("action")) to be published" : ""))
    }
    for failure in progress.failed { Output.error("journey: not changed: event \(failure)") }
    guard progress.failed.isEmpty else {
      throw Failure(.failed, "the database refuses to change \(progress.failed.count.of("event")), see above")
    }
    guard progress.isComplete else {
      let why = progress.held > 0 ? "\(progress.held.of("event")) locked by another session" : "interrupted"
      throw Failure(.failed, "\(why); run the command again for the rest")
    }
  }

  private func show(_ groups: [EventGroup], _ verb: String, _ count: Int) {
    guard count > 0 else { return Output.line("no events to \(verb)") }
    Output.table(
      ["source", "type", "events", "clients", "first", "last"],
      groups.map {
        [
          $0.source.line(24), $0.type.line(32), "\($0.events)", "\($0.clients)", $0.first.toTheSecond,
          $0.last.toTheSecond,
        ]
      })
    if dryRun { Output.line("would \(verb) \(count.of("event"))") }
  }

  private func answer(_ groups: [EventGroup], _ progress: EventVoiding.Progress?, _ restores: Bool) -> JSONObject {
    [
      "dryRun": dryRun, "complete": progress?.isComplete ?? true,
      (restores ? "restored" : "voided"): progress?.events ?? 0, "outcomes": progress?.clients ?? 0,
      "actions": progress?.actions ?? 0, "held": progress?.held ?? 0,
      "selected": groups.map {
        ["source": $0.source, "type": $0.type, "events": $0.events, "clients": $0.clients] as JSONObject
      },
    ]
  }
}
