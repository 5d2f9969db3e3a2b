import ArgumentParser
import JourneyConfiguration

/// `journey settings …`
struct SettingsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "settings",
    abstract: "Describe the settings.",
    subcommands: [SettingsDescribe.self])
}

/// `journey settings describe`
struct SettingsDescribe: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "describe",
    abstract: "Print every setting with its default, its range and its meaning. Needs no server.",
    discussion: "Prints the program's own table, not the values that are in force.",
    examples: [
      "journey settings describe",
      "journey settings describe --yaml > journey.yaml",
    ])

  enum Format: String, EnumerableFlag {
    case markdown, yaml, json

    static func help(for value: Format) -> ArgumentHelp? {
      switch value {
      case .markdown: "Print the table of docs/operations.md."
      case .yaml: "Print a settings file with every default."
      case .json: "Print JSON."
      }
    }
  }

  @Flag(exclusivity: .exclusive) var format: Format?

  func run() async throws {
    let settings = JourneyConfiguration.Settings.all
    switch format {
    case .markdown: Output.write(SettingsReference(settings).markdown, to: 1)
    case .yaml: Output.write(SettingsReference(settings).yaml, to: 1)
    case .json: Output.json(try String(describingAsJSON: settings))
    case nil:
      for setting in settings {
        let values = [setting.defaultText(list: ",").map { "default \($0)" }, setting.range, setting.environment]
        Output.line("\(setting.key)  \(setting.isSecret ? "secret; " : "")\(setting.meaning)")
        Output.line("  \(values.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: "; "))")
      }
    }
  }
}
