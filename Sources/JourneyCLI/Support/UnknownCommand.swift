import ArgumentParser
import JourneyConfiguration

/// A word where a command is expected, and none has this name. The parser would only call it unexpected.
enum UnknownCommand {
  static func failure(in arguments: some Sequence<String>) -> Failure? {
    var command: any ParsableCommand.Type = JourneyCommand.self
    var path = "journey"
    for word in arguments {
      let commands = command.configuration.subcommands
      if word.hasPrefix("-") || word == "help" || commands.isEmpty { return nil }
      guard let next = commands.first(where: { $0._commandName == word }) else {
        return Failure(
          .usage, "\(path) has no command \(word)\(suggestion(for: word, among: commands.map { $0._commandName }))",
          advice: "see \(path) --help")
      }
      command = next
      path += " \(word)"
    }
    return nil
  }
}
