import DeadLetters
import ArgumentParser
import Journey
import JourneyPostgres

/// Why an operator makes a change that cannot be undone.
struct ReasonOption: ParsableArguments {
  @Option(name: .long, help: "The reason, for the record.")
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

  @Flag(name: .long, help: "All dead letters in that state.")
  var all = false

  @OptionGroup var reason: ReasonOption

  @Flag(name: .long, help: "Count the dead letters; change nothing.")
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
    let count = try await withArchive(try await common.settings()) { [deadLetters] worker in
      let repository = DeadLetterRepository(worker: worker, actor: actor.name)
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
