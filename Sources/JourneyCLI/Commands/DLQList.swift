import ArgumentParser
import FoundationEssentials
import Journey
import JourneyMessaging
import JourneyPipeline
import JourneyStore

/// `journey dlq list`
struct DLQList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List letters, the newest first.",
    discussion: "With --json a list of objects; the last one's id, given to --after, gets the next page.")

  @OptionGroup var filter: LetterFilterOptions

  @Option(name: .long, help: "The most letters to list. 1...1000.")
  var limit = 20

  @Option(name: .long, help: ArgumentHelp("The last letter of the page before.", valueName: "id"))
  var after: String?

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      guard (1...1000).contains(limit) else { throw Failure(.refusedInput, "--limit \(limit): it is from 1 to 1000") }
      let settings = try await common.settings()
      let filter = try filter.filter()
      let before = try after.map { try self.filter.filter(ids: [$0]).ids[0] }
      let (letters, total) = try await withArchive(settings) { worker in
        let desk = LetterDesk(worker: worker, actor: "")
        let page = try await desk.list(filter, before: before, limit: limit, withBodies: false)
        // A page that holds them all is its own count.
        return (page, before == nil && page.count < limit ? page.count : try await desk.count(filter))
      }
      if output.json {
        printJSON { json in
          json.beginArray()
          for letter in letters { LetterJSON.write(letter, body: .leftOut, into: &json) }
          json.endArray()
        }
      } else {
        show(letters, total)
      }
    }
  }

  private func show(_ letters: [ArchivedLetter], _ total: Int) {
    guard !letters.isEmpty else {
      return Output.line(
        filter.state == "all" || after != nil
          ? "no letters" : "no letters that are \(filter.state); --state all looks at the others, too")
    }
    // Where all are asked for, each says what it is.
    let showsState = filter.state == "all"
    Output.table(
      ["id", "failed", "code"] + (showsState ? ["state"] : []) + ["source", "type", "tried", "reason"],
      letters.map { archived in
        let letter = archived.letter
        return [archived.id.text, letter.failedAt.toTheSecond, letter.code]
          + (showsState ? [archived.state.rawValue] : []) + [
            (letter.source ?? "").line(24), (letter.type ?? "").line(28),
            "\(letter.attempts)" + (letter.replayCount > 0 ? "+\(letter.replayCount)" : ""), letter.reason.line(72),
          ]
      })
    Output.line(
      "\(letters.count) of \(total)"
        + (letters.count == limit && total > limit ? "; next page: --after \(letters[letters.count - 1].id.text)" : ""))
  }
}
