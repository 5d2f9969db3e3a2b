import ArgumentParser
import Foundation
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres
import Glibc

/// `journey events …`
struct Events: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Correct stored events: void them, or make them what the current mapping says.",
    discussion: """
      After a mapping was wrong: correct its rules, reload journey serve, then journey events remap. Events that should never have come are voided. \
      Voided events stay in the table, count no more, and stay duplicates if they are delivered again. Every change is recorded: who, when, why, \
      and the events as they were.
      """,
    subcommands: [EventsList.self, EventsRemap.self, EventsVoid.self, EventsRestore.self])
}

/// Which stored events a command is about.
struct EventSelectionOptions: ParsableArguments {
  @Option(help: "The source of the events, e.g. stripe.", completion: .sources)
  var source: String?

  @Option(help: "The canonical event type, e.g. invoice_paid.")
  var type: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Stored at this time or later: 2026-11-20T10:00:00Z, 2026-11-20, or how long ago: 90m, 2h, 3d.", valueName: "time"
    ))
  var since: String?

  @Option(help: ArgumentHelp("Stored before this time.", valueName: "time"))
  var until: String?

  @Option(help: "The organisation's id.")
  var org: String?

  @Option(help: "The client's id.")
  var client: String?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Ids of events: of the rows, or of the source.", valueName: "id"))
  var event: [String] = []

  func selection() throws -> EventSelection {
    var selection = EventSelection()
    selection.source = source
    selection.type = type
    selection.since = try since.map { try DeadLetterFilterOptions.time($0, "--since") }
    selection.until = try until.map { try DeadLetterFilterOptions.time($0, "--until") }
    selection.orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    selection.clientID = try client.map { try Input.id($0, "--client", of: "a client") }
    selection.ids = event
    return selection
  }
}

/// `journey events list`
struct EventsList: Command {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List stored events, the newest first.",
    discussion: "With --json: a list of objects. For the next page, pass the last id to --after.",
    examples: [
      "journey events list --source stripe --since 2h",
      "journey events list --client CLIENT --json",
      "journey events list --voided",
    ])

  @OptionGroup var selection: EventSelectionOptions
  @Flag(help: "Only voided events.")
  var voided = false
  @Option(help: "How many events to list at most: 1 to 1000.")
  var limit = 20
  @Option(
    name: .long, help: ArgumentHelp("Continue after this event, the last of the previous page.", valueName: "id"))
  var after: String?
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    guard (1...1000).contains(limit) else { throw Failure(.refusedInput, "--limit \(limit): expected 1 to 1000") }
    var selection = try selection.selection()
    if voided { selection.isVoided = true }
    let after = try after.map { try Input.id($0, "--after", of: "an event") }
    let settings = try await common.settings()
    let events = try await settings.withDatabase { [selection] in
      let reader = EventReader(worker: $0)
      try await settings.requireSource(selection, reader)
      return try await reader.list(selection, after: after, limit: limit)
    }
    guard !output.json else { return printJSON(events.map(json)) }
    guard !events.isEmpty else { return Output.line("no events") }
    Output.table(
      ["id", "time", "source", "source's id", "type", "stage", "client", "voided"],
      events.map {
        [
          $0.id.text, $0.occurredAt.toTheSecond, $0.source.line(24), $0.sourceEventID.line(40), $0.type.line(32),
          $0.stage ?? "", $0.clientID.text, $0.voidedAt?.toTheSecond ?? "",
        ]
      })
    if events.count == limit { Output.line("next page: --after \(events[events.count - 1].id.text)") }
  }

  private func json(_ event: ListedEvent) -> JSONObject {
    [
      "id": event.id, "clientId": event.clientID, "orgId": event.orgID, "source": event.source,
      "sourceEventId": event.sourceEventID, "type": event.type, "stage": event.stage, "occurredAt": event.occurredAt,
      "storedAt": event.storedAt, "voidedAt": event.voidedAt, "voidedBy": event.voidedBy.map { Int($0) },
    ]
  }
}

/// What the commands that change events have in common.
struct EventChangeOptions: ParsableArguments {
  @Flag(help: "Show what would change; change nothing.")
  var dryRun = false

  @Flag(
    name: .long,
    help: "Publish the actions that follow from changed outcomes; an instance of journey serve publishes them.")
  var publish = false

  @Flag(help: "Do not ask before the change.")
  var yes = false

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func author(why: String?) -> EventChangeAuthor {
    var random = IDRandom()
    return EventChangeAuthor(run: UUID.v7(at: SystemClock().now(), using: &random), actor: actor.name, why: why)
  }

  /// Asks a person at the terminal. Without a terminal, `--yes` is required.
  /// - Returns: whether to go on.
  func confirm(_ question: String) throws -> Bool {
    guard !yes else { return true }
    guard isatty(0) == 1 else {
      throw Failure(.refusedInput, "nothing was changed: confirm with --yes, or look first with --dry-run")
    }
    Output.write("\(question) [y/N] ", to: 2)
    return ["y", "yes"].contains(readLine()?.trimmingCharacters(in: .whitespaces).lowercased() ?? "")
  }
}
