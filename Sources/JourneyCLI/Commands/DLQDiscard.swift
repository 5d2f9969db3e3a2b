import DeadLetters
import ArgumentParser
import JourneyPostgres

/// `journey dlq discard`
struct DLQDiscard: Command {
  static let configuration = CommandConfiguration(
    commandName: "discard",
    abstract: "Discard open dead letters. They stay in the archive, and can be replayed with --state discarded.")

  @OptionGroup var change: DeadLetterChange

  func execute() async throws {
    guard change.selection.options.state == DeadLetterState.new.rawValue else {
      throw Failure(
        .refusedInput, "--state \(change.selection.options.state): only open dead letters can be discarded")
    }
    try await change.run(.init(verb: "discard", participle: "discarded"), in: [.new]) {
      try await $0.discard($1, why: $2)
    }
  }
}
