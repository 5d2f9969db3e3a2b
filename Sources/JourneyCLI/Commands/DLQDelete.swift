import DeadLetters
import ArgumentParser
import JourneyPostgres

/// `journey dlq delete`
struct DLQDelete: Command {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Delete dead letters permanently, for example when a person asks for their data to be deleted.",
    discussion: """
      Deleted dead letters cannot be restored, and neither can their bodies; the record keeps their ids, who deleted them, and why. \
      The default is open dead letters; --state all also deletes those in other states, except those that a replay has claimed. \
      --text also finds text in the bodies.
      """)

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
