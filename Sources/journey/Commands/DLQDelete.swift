import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPipeline
import JourneyStore

/// `journey dlq delete`
struct DLQDelete: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Delete letters for good, for instance where somebody asks for their data to be deleted.",
    discussion: """
      The letters are gone, bodies included, and cannot be had back; the record keeps their ids, who deleted them, and why. Open ones are \
      meant unless --state says otherwise; --state all is all but those that a replay has taken. --text also finds a text in the bodies.
      """)

  @Argument(help: "The letters' ids; left out, the filter or --all says which.")
  var ids: [String] = []

  @OptionGroup var filter: LetterFilterOptions

  @Flag(name: .long, help: "All letters in that state.")
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
      guard filter.state != LetterState.replaying.rawValue else {
        throw Failure(.refusedInput, "--state replaying: a replay has taken these letters; finish it, or give them back: journey dlq replay --give-back")
      }
      try requireChoice(ids, filter, all: all)
      var letters = try filter.filter(ids: ids)
      if letters.states.isEmpty { letters.states = LetterState.allCases.filter { $0 != .replaying } }
      let count = try await withArchive(try await common.settings()) { [letters] worker in
        let desk = LetterDesk(worker: worker, actor: actor.name)
        try await requireLetters(letters.ids, in: letters.states, desk, advice: " (--state all takes it, but for one that a replay has taken)")
        return dryRun ? try await desk.count(letters) : try await desk.delete(letters, why: reason)
      }
      if output.json {
        printJSON { json in
          json.beginObject()
          json.key("dryRun")
          json.bool(dryRun)
          json.key("deleted")
          json.int(count)
          json.endObject()
        }
      } else {
        Output.line(dryRun ? "would delete \(count.of("letter")) for good" : "\(count.of("letter")) deleted for good")
      }
    }
  }
}
