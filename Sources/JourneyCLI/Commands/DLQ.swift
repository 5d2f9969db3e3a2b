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
    commandName: "dlq", abstract: "Dead letters: messages that could not be applied, archived with why.",
    discussion:
      "They are archived by serve, unless deadLetters.archive is false. Every change is recorded: who, when, why, and what came of it.",
    subcommands: [
      DLQStats.self, DLQList.self, DLQShow.self, DLQReplay.self, DLQDiscard.self, DLQDelete.self, DLQExport.self,
      DLQImport.self,
    ])
}

/// Which letters.
struct DeadLetterFilterOptions: ParsableArguments {
  @Option(name: .customLong("code"), help: "The reason's code, e.g. unknown_client; see stats.")
  var code: String?

  @Option(name: .long, help: "The source, e.g. stripe or /billing/acme.")
  var source: String?

  @Option(name: .long, help: "The type that the source gives it, e.g. invoice.paid.")
  var type: String?

  @Option(name: .long, help: "The organisation's id.")
  var org: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Failed at this time or later: 2026-11-20T10:00:00Z, 2026-11-20, or 90m, 2h, 3d ago.", valueName: "time"))
  var since: String?

  @Option(name: .long, help: ArgumentHelp("Failed before this time.", valueName: "time"))
  var until: String?

  @Option(name: .long, help: "A text in the reason, the value, the message's id, the routing key or the body.")
  var text: String?

  @Option(
    name: .long, help: "new, replaying, replayed, discarded or all.",
    completion: .list(DeadLetterState.allCases.map(\.rawValue) + ["all"]))
  var state = "new"

  /// Whether anything narrows the letters down.
  var isEmpty: Bool { [code, source, type, org, since, until, text].allSatisfy { $0 == nil } }

  func filter(ids: [String] = []) throws -> DeadLetterFilter {
    var filter = DeadLetterFilter()
    filter.ids = try ids.map { text in
      guard let id = UUID(uuidString: text) else {
        throw Failure(.refusedInput, "\(text) is not a letter's id; see journey dlq list")
      }
      return id
    }
    if state != "all" {
      guard let state = DeadLetterState(rawValue: state) else {
        throw Failure(
          .refusedInput,
          "--state \(state): it is one of \(DeadLetterState.allCases.map(\.rawValue).joined(separator: ", ")), all")
      }
      filter.states = [state]
    }
    filter.code = code
    filter.source = source
    filter.type = type
    filter.orgID = try org.map { text in
      guard let id = UUID(uuidString: text) else {
        throw Failure(.refusedInput, "--org \(text): an organisation is named by its UUID")
      }
      return id
    }
    filter.since = try since.map { try Self.time($0, "--since") }
    filter.until = try until.map { try Self.time($0, "--until") }
    filter.text = text
    return filter
  }

  private static func time(_ text: String, _ option: String) throws -> Timestamp {
    if let time = Timestamp(iso8601: text, zone: .isUTC) { return time }
    let seconds: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    if let unit = text.last.flatMap({ seconds[$0] }), let number = Int64(text.dropLast()),
      (0...1_000_000).contains(number)
    {
      return SystemClock().now() - .seconds(number * unit)
    }
    throw Failure(
      .refusedInput, "\(option) \(text): write 2026-11-20T10:00:00Z, 2026-11-20, or how long ago: 90m, 2h, 3d")
  }

  /// The filter as it was given, for the record.
  func json(ids: [String] = []) -> [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    for (name, value) in [
      ("code", code), ("source", source), ("type", type), ("org", org), ("since", since), ("until", until),
      ("text", text),
      ("state", state),
    ] { json.member(name, value) }
    if !ids.isEmpty {
      json.key("ids")
      json.beginArray()
      for id in ids { json.string(id) }
      json.endArray()
    }
    json.endObject()
    return json.bytes
  }
}

/// Who works, for the record.
struct ActorOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("Who you are, for the record. Left out, the login's name.", valueName: "name"))
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

/// Refuses ids that name no letter, or one in another state than those asked for: whoever types an id means a letter.
/// - Parameter advice: how to get at a letter in another state.
func requireDeadLetters(
  _ ids: [UUID], in states: [DeadLetterState], _ repository: DeadLetterRepository, advice: String = ""
) async throws {
  guard !ids.isEmpty else { return }
  let known = try await repository.states(of: ids)
  for id in ids {
    guard let state = known[id] else { throw Failure(.failed, "there is no letter \(id.text); nothing was done") }
    guard states.isEmpty || states.contains(state) else {
      throw Failure(
        .failed, "letter \(id.text) is \(state.rawValue), not \(states[0].rawValue)\(advice); nothing was done")
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
      "note: deadLetters.archive is off in these settings; a serve with them leaves dead letters in the queue \(queue)")
  }
  return try await failing(.failed) { try await withDatabase(settings, role: settings.workingRole, "dlq", body) }
}

extension String {
  /// As a terminal may show it, on lines of its own: what came from outside does not move the cursor and turns no text.
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

extension Int {
  /// `1 deadLetter`, `2 deadLetters`.
  func of(_ thing: String) -> String { "\(self) \(thing)\(self == 1 ? "" : "s")" }
}

extension Timestamp {
  /// For tables, to the second.
  var toTheSecond: String { String(iso8601.prefix(19)) + "Z" }
}
