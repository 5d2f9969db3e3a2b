import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres

/// `journey events remap`
struct EventsRemap: Command {
  static let configuration = CommandConfiguration(
    commandName: "remap", abstract: "Make stored events what the current mapping says, from the messages as they came.",
    discussion: """
      It maps the messages that are kept (rawBodies.retentionDays) by the mapping files as they are now, and compares: changed events are rewritten, \
      new ones stored, events that the rules make no more are voided, and the clients are recomputed. It shows what it would do and asks; --yes does \
      not ask, --dry-run only shows. It can run beside journey serve once serve has the new rules, and can be interrupted and repeated: what is \
      right is left alone. It publishes no actions without --publish. \
      Exit status: 0 done, or nothing to do; 1 not done, or not all of it; 65 input refused; 69 the database is not available.
      """,
    examples: [
      "journey events remap --source stripe --dry-run",
      "journey events remap --source stripe --since 3d --reason \"amount was read wrongly\"",
    ])

  @Option(help: "The source: the name of the mapping, or the source of the events.", completion: .sources)
  var source: String
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Messages received at this time or later: 2026-11-20T10:00:00Z, 2026-11-20, or how long ago: 90m, 2h, 3d.",
      valueName: "time"))
  var since: String?
  @Option(help: ArgumentHelp("Messages received before this time. Default: now.", valueName: "time"))
  var until: String?
  @Option(help: "Only events of this organisation.")
  var org: String?
  @Option(help: "Only messages with events of this client, before or after.")
  var client: String?
  @Option(help: ArgumentHelp("Continue after this batch of messages.", valueName: "id"))
  var after: String?
  @Option(help: "The reason, for the record.")
  var reason: String?
  @OptionGroup var options: EventChangeOptions

  func execute() async throws {
    var remap = EventRemap(source: source, author: options.author(why: reason))
    remap.since = try since.map { try DeadLetterFilterOptions.time($0, "--since") }
    remap.until = try until.map { try DeadLetterFilterOptions.time($0, "--until") } ?? SystemClock().now()
    remap.orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    remap.clientID = try client.map { try Input.id($0, "--client", of: "a client") }
    remap.after = try after.map { try Input.id($0, "--after", of: "a batch of messages") }
    remap.publishes = options.publish
    let settings = try await options.common.settings()
    var selection = EventSelection()
    selection.source = source
    try await settings.withDatabase { [selection] in
      try await settings.requireSource(selection, EventReader(worker: $0))
    }
    let rules = try await settings.decisions()
    let mapper = RawMessageReader(decoder: try await settings.decoder(rules))
    if options.dryRun || !options.yes {
      var rehearsal = remap
      rehearsal.isRehearsal = true
      let progress = try await run(rehearsal, settings, rules, mapper)
      show(progress, isDone: false)
      try requireComplete(progress)
      guard !options.dryRun, progress.counts.different > 0 else { return }
      guard try options.confirm("apply \(progress.counts.different.of("change"))?") else {
        throw Failure(.failed, "nothing was changed")
      }
    }
    let progress = try await run(remap, settings, rules, mapper)
    show(progress, isDone: true)
    try requireComplete(progress)
  }

  private func run(
    _ remap: EventRemap, _ settings: JourneyConfiguration.Settings, _ rules: DecisionRules, _ mapper: RawMessageReader
  ) async throws -> EventRemap.Progress {
    do {
      return try await settings.withStore(rules) { store in
        try await remap.run(on: store, mapper: mapper) { Output.progress(Self.text($0.counts)) }
      }
    } catch let stopped as EventRemap.Stopped {
      show(stopped.progress, isDone: !remap.isRehearsal)
      let status: Failure.Status = stopped.error.kind == .transient ? .unavailable : .failed
      throw Failure(status, "the database refuses the work: \(stopped.error). \(howToContinue(stopped.progress))")
    }
  }

  private func requireComplete(_ progress: EventRemap.Progress) throws {
    for failure in progress.failed { Output.error("journey: \(failure)") }
    guard progress.isComplete else {
      let why =
        progress.held > 0 ? "\(progress.held.of("message")) of clients locked by another session" : "interrupted"
      throw Failure(.failed, "\(why). \(howToContinue(progress))")
    }
    guard progress.failed.isEmpty else {
      throw Failure(.failed, "\(progress.failed.count.of("message")) refused by the database")
    }
  }

  private func howToContinue(_ progress: EventRemap.Progress) -> String {
    guard progress.held == 0, let after = progress.after else { return "Run the command again for the rest" }
    return "Continue with the same command and --after \(after.text)"
  }

  private static func text(_ counts: RemapCounts) -> String {
    "\(counts.messages.of("message")): \(counts.unchanged) unchanged, \(counts.changed) changed, \(counts.new) new, \(counts.gone) gone"
  }

  private func show(_ progress: EventRemap.Progress, isDone: Bool) {
    let counts = progress.counts
    guard !options.output.json else {
      if isDone || options.dryRun { printJSON(json(progress)) }
      return
    }
    if !isDone, !progress.differences.isEmpty {
      Output.table(
        ["", "source", "source's id", "type", "what differs"],
        progress.differences.map {
          [
            $0.kind.rawValue, $0.source.line(24), $0.sourceEventID.line(40), ($0.type ?? "").line(32),
            $0.fields.map(\.rawValue).joined(separator: ", "),
          ]
        })
      if counts.different > progress.differences.count {
        Output.line("… and \(counts.different - progress.differences.count) more")
      }
    }
    Output.line(Self.text(counts))
    if counts.changed > 0 {
      let fields = RemapCounts.Field.allCases.compactMap { field in
        counts.fields[field].map { "\(field.rawValue) \($0)" }
      }
      Output.line("changed: \(fields.joined(separator: ", "))")
    }
    if !counts.rejected.isEmpty {
      let codes = counts.rejected.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
      Output.line("rejected by the rules, and left as stored: \(codes.joined(separator: ", "))")
    }
    if counts.redacted > 0 {
      Output.line("left as stored, because the rules read redacted values: \(counts.redacted.of("message"))")
    }
    if counts.unresolved > 0 {
      Output.line(
        "left as stored, because nobody is known yet whose they are: \(counts.unresolved.of("message"))")
    }
    if counts.voided > 0 { Output.line("voided by a person, and left so: \(counts.voided.of("event"))") }
    if progress.unreadable > 0 { Output.line("not readable by this version: \(progress.unreadable.of("message"))") }
    if isDone {
      Output.line(
        "\(counts.clients.of("outcome")) of clients changed"
          + (options.publish ? ", \(counts.actions.of("action")) to be published" : ""))
    }
  }

  private func json(_ progress: EventRemap.Progress) -> JSONObject {
    let counts = progress.counts
    return [
      "dryRun": options.dryRun, "complete": progress.isComplete, "messages": counts.messages,
      "unchanged": counts.unchanged, "changed": counts.changed,
      "fields": Dictionary(uniqueKeysWithValues: counts.fields.map { ($0.key.rawValue, $0.value) }),
      "new": counts.new, "gone": counts.gone, "rejected": counts.rejected, "redacted": counts.redacted,
      "unresolved": counts.unresolved,
      "voided": counts.voided, "unreadable": progress.unreadable, "outcomes": counts.clients,
      "actions": counts.actions, "held": progress.held, "failed": progress.failed, "after": progress.after,
      "differences": progress.differences.map {
        [
          "kind": $0.kind.rawValue, "source": $0.source, "sourceEventId": $0.sourceEventID, "type": $0.type,
          "fields": $0.fields.map(\.rawValue),
        ] as JSONObject
      },
    ]
  }
}
