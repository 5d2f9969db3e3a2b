import DeadLetters
import ArgumentParser
import JourneyPostgres

/// `journey dlq delete`
struct DLQDelete: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Delete letters for good, for instance where somebody asks for their data to be deleted.",
    discussion: """
      The letters are gone, bodies included, and cannot be had back; the record keeps their ids, who deleted them, and why. Open ones are \
      meant unless --state says otherwise; --state all is all but those that a replay has taken. --text also finds a text in the bodies.
      """)

  @OptionGroup var change: DeadLetterChange

  func run() async throws {
    try await withExitStatus {
      guard change.filter.state != DeadLetterState.replaying.rawValue else {
        throw Failure(
          .refusedInput,
          "--state replaying: a replay has taken these letters; finish it, or give them back: journey dlq replay --give-back"
        )
      }
      try await change.run(
        .init(verb: "delete", participle: "deleted", suffix: " for good"),
        in: DeadLetterState.allCases.filter { $0 != .replaying },
        advice: " (--state all takes it, but for one that a replay has taken)"
      ) { try await $0.delete($1, why: $2) }
    }
  }
}
