import ArgumentParser
import Journey
import JourneyPipeline
import JourneyStore

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
struct LetterChange: ParsableArguments {
  /// What is done, for a person: `discard`, `discarded`.
  struct Wording {
    var verb: String
    var participle: String
    var suffix = ""
  }

  @Argument(help: "The letters' ids; left out, the filter or --all says which.")
  var ids: [String] = []

  @OptionGroup var filter: LetterFilterOptions

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
    _ wording: Wording, in states: [LetterState], advice: String = "",
    _ change: @escaping (LetterDesk, LetterFilter, _ why: String) async throws -> Int
  ) async throws {
    let why = try reason.text()
    try requireChoice(ids, filter, all: all)
    var letters = try filter.filter(ids: ids)
    if letters.states.isEmpty { letters.states = states }
    let count = try await withArchive(try await common.settings()) { [letters] worker in
      let desk = LetterDesk(worker: worker, actor: actor.name)
      try await requireLetters(letters.ids, in: letters.states, desk, advice: advice)
      return dryRun ? try await desk.count(letters) : try await change(desk, letters, why)
    }
    guard output.json else {
      let letters = count.of("letter")
      return Output.line(
        dryRun
          ? "would \(wording.verb) \(letters)\(wording.suffix)" : "\(letters) \(wording.participle)\(wording.suffix)")
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
func requireChoice(_ ids: [String], _ filter: LetterFilterOptions, all: Bool) throws {
  if ids.isEmpty, filter.isEmpty, !all {
    throw Failure(.refusedInput, "which letters? Give ids, a filter such as --code, or --all")
  }
}
