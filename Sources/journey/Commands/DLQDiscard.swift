import ArgumentParser
import Journey
import JourneyPipeline
import JourneyStore

/// `journey dlq discard`
struct DLQDiscard: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "discard",
    abstract: "Set open letters aside for good. They stay in the archive, and can be replayed with --state discarded.")

  @Argument(help: "The letters' ids; left out, the filter or --all says which.")
  var ids: [String] = []

  @OptionGroup var filter: LetterFilterOptions

  @Flag(name: .long, help: "All open letters.")
  var all = false

  @Option(name: .long, help: "Why, for the record.")
  var reason: String

  @Flag(name: .long, help: "Count them, change nothing.")
  var dryRun = false

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await journey.run {
      guard !reason.allSatisfy(\.isWhitespace) else { throw Failure(.refusedInput, "--reason is empty: say why, for the record") }
      guard filter.state == LetterState.new.rawValue else {
        throw Failure(.refusedInput, "--state \(filter.state): only open letters can be discarded")
      }
      try requireChoice(ids, filter, all: all)
      let letters = try filter.filter(ids: ids)
      let count = try await withArchive(try await common.settings()) { worker in
        let desk = LetterDesk(worker: worker, actor: actor.name)
        try await requireLetters(letters.ids, in: [.new], desk)
        return dryRun ? try await desk.count(letters) : try await desk.discard(letters, why: reason)
      }
      if output.json {
        printJSON { json in
          json.beginObject()
          json.key("dryRun")
          json.bool(dryRun)
          json.key("discarded")
          json.int(count)
          json.endObject()
        }
      } else {
        Output.line(dryRun ? "would discard \(count.of("letter"))" : "\(count.of("letter")) discarded")
      }
    }
  }
}

/// What changes letters wants to be told which: forgetting the filter is not meaning all of them.
func requireChoice(_ ids: [String], _ filter: LetterFilterOptions, all: Bool) throws {
  if ids.isEmpty, filter.isEmpty, !all { throw Failure(.refusedInput, "which letters? Give ids, a filter such as --code, or --all") }
}
