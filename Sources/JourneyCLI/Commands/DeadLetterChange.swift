import DeadLetters
import ArgumentParser
import Journey
import JourneyPostgres

/// Why an operator makes a change that cannot be undone.
struct ReasonOption: ParsableArguments {
  @Option(help: "The reason, for the record.")
  var reason: String

  /// - Throws: `Failure` if it is empty.
  func text() throws -> String {
    guard !reason.allSatisfy(\.isWhitespace) else {
      throw Failure(.refusedInput, "--reason is empty: give a reason, for the record")
    }
    return reason
  }
}

/// What the commands that discard and delete dead letters have in common.
struct DeadLetterChange: ParsableArguments {
  /// The verb in the output: `discard`, `discarded`.
  struct Wording {
    var verb: String
    var participle: String
    var suffix = ""
  }

  @OptionGroup var selection: DeadLetterSelectionOptions

  @Flag(help: "All dead letters in that state.")
  var all = false

  @OptionGroup var reason: ReasonOption

  @Flag(help: "Count the dead letters; change nothing.")
  var dryRun = false

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  /// - Parameters:
  ///   - states: those that the dead letters may be in.
  ///   - advice: how to select a dead letter that is in another.
  ///   - change: makes the change, and returns how many dead letters it changed.
  func run(
    _ wording: Wording, in states: [DeadLetterState], advice: String = "",
    _ change: @escaping (DeadLetterRepository, DeadLetterFilter, _ why: String) async throws -> Int
  ) async throws {
    let why = try reason.text()
    try selection.require(all: all)
    var deadLetters = try selection.filter()
    if deadLetters.states.isEmpty { deadLetters.states = states }
    let settings = try await common.settings()
    let count = try await withArchive(settings) { [deadLetters] worker in
      let repository = DeadLetterRepository(worker: worker, actor: actor.name)
      try await deadLetters.requireKnown(by: repository, settings)
      try await requireDeadLetters(deadLetters.ids, in: deadLetters.states, repository, advice: advice)
      return dryRun ? try await repository.count(deadLetters) : try await change(repository, deadLetters, why)
    }
    guard output.json else {
      let deadLetters = count.of("dead letter")
      return Output.line(
        dryRun
          ? "would \(wording.verb) \(deadLetters)\(wording.suffix)"
          : "\(deadLetters) \(wording.participle)\(wording.suffix)")
    }
    printJSON(["dryRun": dryRun, wording.participle: count] as JSONObject)
  }
}

/// `journey dlq discard`
struct DLQDiscard: Command {
  static let configuration = CommandConfiguration(
    commandName: "discard",
    abstract: "Discard open dead letters. They stay in the archive, and can be replayed with --state discarded.",
    examples: [
      "journey dlq discard --source stripe --type ping --reason \"no use\" --dry-run",
      "journey dlq discard ID --reason \"no use\"",
    ])

  @OptionGroup var change: DeadLetterChange

  func execute() async throws {
    guard change.selection.options.state == DeadLetterState.new.rawValue else {
      throw Failure(
        .refusedInput, "--state \(change.selection.options.state): only open dead letters can be discarded")
    }
    try await change.run(.init(verb: "discard", participle: "discarded"), in: [.new]) {
      try await $0.discard($1, why: $2)
    }
  }
}

/// `journey dlq delete`
struct DLQDelete: Command {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Delete dead letters permanently, for example when a person asks for their data to be deleted.",
    discussion: """
      Deleted dead letters cannot be restored, and neither can their bodies; the record keeps their ids, who deleted them, and why. \
      The default is open dead letters; --state all also deletes those in other states, except those that a replay has claimed. \
      --text also finds text in the bodies.
      """,
    examples: [
      "journey dlq delete --text ann@example.com --state all --reason \"asked for by Ann\" --dry-run",
      "journey dlq delete ID --reason \"asked for by Ann\"",
    ])

  @OptionGroup var change: DeadLetterChange

  func execute() async throws {
    guard change.selection.options.state != DeadLetterState.replaying.rawValue else {
      throw Failure(
        .refusedInput,
        "--state replaying: a replay has claimed these dead letters; finish it, or give them back: journey dlq replay --give-back"
      )
    }
    try await change.run(
      .init(verb: "delete", participle: "deleted", suffix: " permanently"),
      in: DeadLetterState.allCases.filter { $0 != .replaying },
      advice: " (--state all selects it, unless a replay has claimed it)"
    ) { try await $0.delete($1, why: $2) }
  }
}
