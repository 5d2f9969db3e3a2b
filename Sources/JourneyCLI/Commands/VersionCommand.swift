import ArgumentParser

/// `journey version`
struct VersionCommand: Command {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Print version, commit and date of the program. Needs no settings and no server.",
    examples: ["journey version", "journey version --json"])

  @OptionGroup var output: OutputOptions

  func execute() async throws {
    if output.json { printJSON(Build()) } else { Output.line(Build().description) }
  }
}
