import DeadLetters
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres
import PostgresClient

/// `journey dlq …`
struct DLQ: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dlq", abstract: "Work with dead letters: archived messages that could not be applied.",
    discussion:
      "journey serve archives them, unless deadLetters.archive is false. Every change is recorded: who, when, why, and the result.",
    subcommands: [
      DLQStats.self, DLQList.self, DLQShow.self, DLQReplay.self, DLQDiscard.self, DLQDelete.self, DLQExport.self,
      DLQImport.self,
    ])
}

/// Which dead letters a command is about.
struct DeadLetterSelectionOptions: ParsableArguments {
  @Argument(help: "Ids of dead letters. Without ids, the filter selects them.", completion: .deadLetters)
  var ids: [String] = []

  @OptionGroup var options: DeadLetterFilterOptions

  var isEmpty: Bool { ids.isEmpty && options.isEmpty }

  func filter() throws -> DeadLetterFilter { try options.filter(ids: ids) }

  /// A command that changes dead letters needs a selection: forgetting the filter does not mean all of them.
  func require(all: Bool) throws {
    if isEmpty, !all {
      throw Failure(.refusedInput, "select dead letters by id, by a filter such as --code, or by --all")
    }
  }
}

/// Filters dead letters.
struct DeadLetterFilterOptions: ParsableArguments {
  @Option(
    name: .customLong("code"), help: "The code of the reason, e.g. unknown_client; see journey dlq stats.",
    completion: .codes)
  var code: String?

  @Option(help: "The source, e.g. stripe or /billing/acme.", completion: .sources)
  var source: String?

  @Option(help: "The source's event type, e.g. invoice.paid.")
  var type: String?

  @Option(help: "The organisation's id.")
  var org: String?

  @Option(
    help: ArgumentHelp(
      "Last failed at this time or later: 2026-11-20T10:00:00Z, 2026-11-20, or how long ago: 90m, 2h, 3d.",
      valueName: "time"))
  var since: String?

  @Option(help: ArgumentHelp("Last failed before this time.", valueName: "time"))
  var until: String?

  @Option(help: "A text in the reason, the value, the message id, the routing key or the body.")
  var text: String?

  @Option(
    help: "new, replaying, replayed, discarded or all.",
    completion: .list(DeadLetterState.allCases.map(\.rawValue) + ["all"]))
  var state = "new"

  /// Whether no filter but the state is given.
  var isEmpty: Bool { [code, source, type, org, since, until, text].allSatisfy { $0 == nil } }

  func filter(ids: [String] = []) throws -> DeadLetterFilter {
    var filter = DeadLetterFilter()
    filter.ids = try ids.map(Input.deadLetterID)
    if state != "all" {
      guard let state = DeadLetterState(rawValue: state) else {
        throw Failure(
          .refusedInput,
          "--state \(state): there is no such state"
            + suggestion(for: self.state, among: DeadLetterState.allCases.map(\.rawValue) + ["all"]))
      }
      filter.states = [state]
    }
    filter.code = code
    filter.source = source
    filter.type = type
    filter.orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    filter.since = try since.map { try Self.time($0, "--since") }
    filter.until = try until.map { try Self.time($0, "--until") }
    filter.text = text
    return filter
  }

  static func time(_ text: String, _ option: String) throws -> Timestamp {
    if let time = Timestamp(iso8601: text, zone: .isUTC) { return time }
    if let span = TimeSpan(text: text) { return SystemClock().now() - span }
    throw Failure(
      .refusedInput, "\(option) \(text): expected 2026-11-20T10:00:00Z, 2026-11-20, or how long ago: 90m, 2h, 3d")
  }
}

/// Who runs the command, for the record.
struct ActorOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Your name, for the record. Default: the login name.", valueName: "name"))
  var actor: String?

  var name: String {
    let environment = ProcessInfo.processInfo.environment
    let candidates = [
      actor, environment["JOURNEY_ACTOR"], environment["SUDO_USER"], environment["USER"], environment["LOGNAME"],
      ProcessInfo.processInfo.userName,
    ]
    return candidates.compactMap(\.self).first { !$0.isEmpty } ?? "unknown"
  }
}

/// Refuses ids that no dead letter has, and ids of dead letters in another state than those asked for.
/// - Parameter advice: how to select a dead letter in another state.
func requireDeadLetters(
  _ ids: [UUID], in states: [DeadLetterState], _ repository: DeadLetterRepository, advice: String = ""
) async throws {
  guard !ids.isEmpty else { return }
  let known = try await repository.states(of: ids)
  for id in ids {
    guard let state = known[id] else { throw Failure(.failed, "there is no dead letter \(id.text); nothing was done") }
    guard states.isEmpty || states.contains(state) else {
      throw Failure(
        .failed, "dead letter \(id.text) is \(state.rawValue), not \(states[0].rawValue)\(advice); nothing was done")
    }
  }
}

/// Runs a body with a connection to the archive.
func withArchive<Value>(
  _ settings: JourneyConfiguration.Settings, _ body: (PostgresWorker) async throws -> Value
) async throws -> Value {
  if !settings.archivesDeadLetters {
    let queue = settings.messagingNames.deadLetters
    Output.error(
      "note: deadLetters.archive is false in these settings: journey serve then leaves dead letters in the queue \(queue)"
    )
  }
  return try await failing(.failed) { try await settings.withDatabase(body) }
}

extension String {
  /// Escaped for a terminal, line by line: text from outside cannot move the cursor or change the direction of text.
  var printable: String {
    if unicodeScalars.allSatisfy({ $0.isPlain || $0 == "\n" || $0 == "\t" }) { return self }
    return split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.split(separator: "\t", omittingEmptySubsequences: false).map { $0.plain() }.joined(separator: "\t")
    }.joined(separator: "\n")
  }

  /// One line of at most that many characters.
  func line(_ limit: Int) -> String {
    let line = String(map { $0.isNewline || $0 == "\t" ? " " : $0 }).printable
    return line.shortened(to: limit)
  }
}

extension Timestamp {
  /// For tables, to the second.
  var toTheSecond: String { String(iso8601.prefix(19)) + "Z" }
}
