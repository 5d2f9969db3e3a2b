import DeadLetters
import ArgumentParser
import Journey
import JourneyPostgres

/// Why somebody changes something for good.
struct ReasonOption: ParsableArguments {
  @Option(name: .long, help: "Why, for the record.")
  var reason: String

  /// - Throws: `Failure` where it says nothing.
  func text() throws -> String {
    guard !reason.allSatisfy(\.isWhitespace) else {
      throw Failure(.refusedInput, "--reason is empty: say why, for the record")
    }
    return reason
  }
}

/// The arguments of the commands that change letters for good, and what they have in common.
struct DeadLetterChange: ParsableArguments {
  /// What is done, for a person: `discard`, `discarded`.
  struct Wording {
    var verb: String
    var participle: String
    var suffix = ""
  }

  @Argument(help: "The letters' ids; left out, the filter or --all says which.")
  var ids: [String] = []

  @OptionGroup var filter: DeadLetterFilterOptions

  @Flag(name: .long, help: "All letters in that state.")
  var all = false

  @OptionGroup var reason: ReasonOption

  @Flag(name: .long, help: "Count them, change nothing.")
  var dryRun = false

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  /// - Parameters:
  ///   - states: those that letters may be in.
  ///   - advice: what to do where one that is named is in another.
  ///   - change: changes the letters, and answers how many.
  func run(
    _ wording: Wording, in states: [DeadLetterState], advice: String = "",
    _ change: @escaping (DeadLetterRepository, DeadLetterFilter, _ why: String) async throws -> Int
  ) async throws {
    let why = try reason.text()
    try requireChoice(ids, filter, all: all)
    var deadLetters = try filter.filter(ids: ids)
    if deadLetters.states.isEmpty { deadLetters.states = states }
    let count = try await withArchive(try await common.settings()) { [deadLetters] worker in
      let repository = DeadLetterRepository(worker: worker, actor: actor.name)
      try await requireDeadLetters(deadLetters.ids, in: deadLetters.states, repository, advice: advice)
      return dryRun ? try await repository.count(deadLetters) : try await change(repository, deadLetters, why)
    }
    guard output.json else {
      let deadLetters = count.of("letter")
      return Output.line(
        dryRun
          ? "would \(wording.verb) \(deadLetters)\(wording.suffix)"
          : "\(deadLetters) \(wording.participle)\(wording.suffix)")
    }
    printJSON { json in
      json.beginObject()
      json.key("dryRun")
      json.bool(dryRun)
      json.key(wording.participle)
      json.int(count)
      json.endObject()
    }
  }
}

/// What changes letters wants to be told which: forgetting the filter is not meaning all of them.
func requireChoice(_ ids: [String], _ filter: DeadLetterFilterOptions, all: Bool) throws {
  if ids.isEmpty, filter.isEmpty, !all {
    throw Failure(.refusedInput, "which letters? Give ids, a filter such as --code, or --all")
  }
}
