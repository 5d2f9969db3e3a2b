import DeadLetters
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyPostgres

/// `journey dlq list`
struct DLQList: Command {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List dead letters, the newest first.",
    discussion: "With --json: a list of objects. For the next page, pass the last id to --after.",
    examples: [
      "journey dlq list --code unknown_type --since 2h",
      "journey dlq list --state all --limit 100 --json",
    ])

  @OptionGroup var filter: DeadLetterFilterOptions

  @Option(help: "How many dead letters to list at most: 1 to 1000.")
  var limit = 20

  @Option(
    help: ArgumentHelp("Continue after this dead letter, the last of the previous page.", valueName: "id"),
    completion: .deadLetters)
  var after: String?

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    guard (1...1000).contains(limit) else { throw Failure(.refusedInput, "--limit \(limit): expected 1 to 1000") }
    let settings = try await common.settings()
    let filter = try filter.filter()
    let before = try after.map(Input.deadLetterID)
    let (deadLetters, total) = try await withArchive(settings) { worker in
      let repository = DeadLetterRepository(worker: worker, actor: "")
      try await filter.requireKnown(by: repository, settings)
      let page = try await repository.list(filter, before: before, limit: limit, withBodies: false)
      // The only page holds all of them.
      return (page, before == nil && page.count < limit ? page.count : try await repository.count(filter))
    }
    if output.json {
      printJSON(deadLetters.map { DeadLetterJSON($0, body: .omitted) })
    } else {
      show(deadLetters, total)
    }
  }

  private func show(_ deadLetters: [ArchivedDeadLetter], _ total: Int) {
    guard !deadLetters.isEmpty else {
      return Output.line(
        filter.state == "all" || after != nil
          ? "no dead letters" : "no dead letters that are \(filter.state); --state all also lists the others")
    }
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
