import DeadLetters
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyPostgres

/// `journey dlq list`
struct DLQList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List letters, the newest first.",
    discussion: "With --json a list of objects; the last one's id, given to --after, gets the next page.")

  @OptionGroup var filter: DeadLetterFilterOptions

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
      let (deadLetters, total) = try await withArchive(settings) { worker in
        let repository = DeadLetterRepository(worker: worker, actor: "")
        let page = try await repository.list(filter, before: before, limit: limit, withBodies: false)
        // A page that holds them all is its own count.
        return (page, before == nil && page.count < limit ? page.count : try await repository.count(filter))
      }
      if output.json {
        printJSON { json in
          json.beginArray()
          for deadLetter in deadLetters { DeadLetterJSON.write(deadLetter, body: .leftOut, into: &json) }
          json.endArray()
        }
      } else {
        show(deadLetters, total)
      }
    }
  }

  private func show(_ deadLetters: [ArchivedDeadLetter], _ total: Int) {
    guard !deadLetters.isEmpty else {
      return Output.line(
        filter.state == "all" || after != nil
          ? "no letters" : "no letters that are \(filter.state); --state all looks at the others, too")
    }
    // Where all are asked for, each says what it is.
    let showsState = filter.state == "all"
    Output.table(
      ["id", "failed", "code"] + (showsState ? ["state"] : []) + ["source", "type", "tried", "reason"],
      deadLetters.map { archived in
        let deadLetter = archived.deadLetter
        return [archived.id.text, deadLetter.failedAt.toTheSecond, deadLetter.code]
          + (showsState ? [archived.state.rawValue] : []) + [
            (deadLetter.source ?? "").line(24), (deadLetter.type ?? "").line(28),
            "\(deadLetter.attempts)" + (deadLetter.replayCount > 0 ? "+\(deadLetter.replayCount)" : ""),
            deadLetter.reason.line(72),
          ]
      })
    Output.line(
      "\(deadLetters.count) of \(total)"
        + (deadLetters.count == limit && total > limit
          ? "; next page: --after \(deadLetters[deadLetters.count - 1].id.text)" : ""))
  }
}
